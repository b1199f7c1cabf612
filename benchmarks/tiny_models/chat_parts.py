"""Parts of tiny models that answer prompts: sizes, chat templates in a family's style, tokenizers."""

from typing import Any

from tiny_models.parts import tokenizer

LLM = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "vocab_size": 320}
LLM |= {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 4096}
EYE = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
EYE |= {"image_size": 32, "patch_size": 16}
SIDE = {"height": 32, "width": 32}
PARTS = (
    "{% for c in m['content'] %}{% if c['type'] == 'image' %}IMAGE"
    "{% else %}{{ c['text'] }}{% endif %}{% endfor %}"
)


def turns(image: str, begin: str, end: str, answer: str, head: str = "") -> str:
    """A chat template: ROLE in `begin` stands for the role's name."""
    opening = begin.replace("ROLE", "{{ m['role'] }}")
    body = PARTS.replace("IMAGE", image)
    tail = f"{{% if add_generation_prompt %}}{answer}{{% endif %}}"
    return f"{head}{{% for m in messages %}}{opening}{body}{end}{{% endfor %}}{tail}"


CHATML = ("<|im_start|>ROLE\n", "<|im_end|>\n", "<|im_start|>assistant\n")
CHAT_WORDS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def chat_words(*more: str, **named: str) -> Any:
    return tokenizer([*CHAT_WORDS, *more], eos="<|im_end|>", pad="<|endoftext|>", **named)


def llama_words(*more: str, **named: str) -> Any:
    """A tokenizer that puts BOS before every text by itself."""
    specials = ["<s>", "</s>", "<pad>", *more]
    return tokenizer(specials, bos="<s>", eos="</s>", pad="<pad>", wrap=(["<s>"], []), **named)


def ids(words: Any, **tokens: str) -> dict[str, int]:
    found = {"bos_token_id": words.bos_token_id, "eos_token_id": words.eos_token_id}
    found["pad_token_id"] = words.pad_token_id
    return found | {name: words.convert_tokens_to_ids(token) for name, token in tokens.items()}


QWEN = ["<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
QWEN_IMAGE = "<|vision_start|><|image_pad|><|vision_end|>"
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
