"""Parts of tiny models that answer prompts: sizes, chat templates in a family's style, tokenizers."""

from typing import Any

from tiny_parts import tokenizer

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


GLM_MARKS = ["<|begin_of_image|>", "<|end_of_image|>", "<|begin_of_video|>", "<|end_of_video|>"]
GLM_ROPE = {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 1e4}
GLM_EYE = {"depth": 2, "hidden_size": 32, "num_heads": 4, "out_hidden_size": 32, "image_size": 56}
GLM_TEMPLATE = ("<|begin_of_image|><|image|><|end_of_image|>", *CHATML)


def glm_words() -> tuple[Any, dict[str, int]]:
    """GLM's tokenizer, and the tokens that its config names."""
    named = {"image_token": "<|image|>", "video_token": "<|video|>"}
    words = chat_words(*GLM_MARKS, *named.values(), **named)
    places = {"image": "<|image|>", "video": "<|video|>", "image_start": GLM_MARKS[0]}
    places |= {"image_end": GLM_MARKS[1], "video_start": GLM_MARKS[2], "video_end": GLM_MARKS[3]}
    return words, {f"{n}_token_id": words.convert_tokens_to_ids(m) for n, m in places.items()}
