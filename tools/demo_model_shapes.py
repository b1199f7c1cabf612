"""Sizes, tokenizers and files of the demo models, all standard `transformers` classes."""

from collections.abc import Iterable
from pathlib import Path

import torch
from demo_corpus import IMAGE_PX, PATCH_PX
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    CLIPProcessor,
    CLIPVisionConfig,
    GenerationConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)

VISION = {
    "hidden_size": 160,
    "intermediate_size": 480,
    "num_attention_heads": 5,
    "image_size": IMAGE_PX,
    "patch_size": PATCH_PX,
}
CAPTIONER_TOWER_LAYERS = 4
# Classes of each attribute head: kind, colour, count, size, texture for two groups; place;
# relation.
ATTRIBUTES = [17, 10, 5, 2, 3] * 2 + [6, 2]
PATCH_HEADS = [17, 11]  # kind, colour, each with "nothing here"
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<user>' if message['role'] == 'user' else '<assistant>' }}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for item in message['content'] %}{% if item['type'] == 'image' %}<image>{% else %}{{ "
    "item['text'] }}{% endif %}"
    "{% endfor %}{% endif %}{% if message['role'] == 'assistant' %}<eos>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


def train_tokenizer(
    texts: Iterable[str], vocabulary: int, for_chat: bool
) -> PreTrainedTokenizerFast:
    """Byte-level BPE; the CLIP's adds <bos> … <eos>, the captioner's leaves that to the chat
    template.

    For the captioner a space before a capital is a token of its own, so that a name is the same
    tokens in `(Kalodor)` and in ` Kalodor`: what copies it copies tokens.
    """
    special = [
        "<pad>",
        "<bos>",
        "<eos>",
        *(["<image>", "<user>", "<assistant>"] if for_chat else []),
    ]
    tokenizer = Tokenizer(models.BPE())
    capital = [pre_tokenizers.Split(Regex(r" (?=\p{Lu})"), "isolated")] if for_chat else []
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [*capital, pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    if not for_chat:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<bos> $A <eos>", special_tokens=[("<bos>", 1), ("<eos>", 2)]
        )
    extra = (
        {
            "extra_special_tokens": {
                "image_token": "<image>",
                "user_token": "<user>",
                "assistant_token": "<assistant>",
            }
        }
        if for_chat
        else {}
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<bos>",
        eos_token="<eos>",
        model_max_length=256 if for_chat else 77,
        padding_side="left" if for_chat else "right",
        clean_up_tokenization_spaces=False,
        **extra,
    )


def image_processor() -> CLIPImageProcessor:
    return CLIPImageProcessor(size={"height": IMAGE_PX, "width": IMAGE_PX}, do_center_crop=False)


def build_clip(tokenizer: PreTrainedTokenizerFast) -> CLIPModel:
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": 160,
        "intermediate_size": 480,
        "num_hidden_layers": 3,
        "num_attention_heads": 5,
        "max_position_embeddings": 77,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    config = CLIPConfig(
        text_config=text, vision_config={**VISION, "num_hidden_layers": 5}, projection_dim=128
    )
    return CLIPModel._from_config(
        config, attn_implementation="eager"
    )  # 2.5 times as fast as sdpa to train on a CPU


def build_captioner(tokenizer: PreTrainedTokenizerFast, tower: torch.nn.Module):
    """A LLaVA whose picture tower starts as the first layers of `tower`."""
    language = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=192,
        intermediate_size=448,
        num_hidden_layers=4,
        num_attention_heads=6,
        num_key_value_heads=6,
        max_position_embeddings=320,
        tie_word_embeddings=True,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    image_id = tokenizer.convert_tokens_to_ids("<image>")
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(**VISION, num_hidden_layers=CAPTIONER_TOWER_LAYERS),
        text_config=language,
        image_token_index=image_id,
        image_token_id=image_id,
        vision_feature_layer=-1,
        vision_feature_select_strategy="default",
        tie_word_embeddings=True,
        pad_token_id=0,
    )
    model = LlavaForConditionalGeneration._from_config(config, attn_implementation="eager")
    wanted = set(model.model.vision_tower.state_dict())
    state = {k: v for k, v in tower.state_dict().items() if k in wanted}
    if len(state) < len(wanted):
        state = {
            f"vision_model.{k}": v
            for k, v in tower.state_dict().items()
            if f"vision_model.{k}" in wanted
        }
    model.model.vision_tower.load_state_dict(state)
    model.generation_config = GenerationConfig(
        max_new_tokens=64, do_sample=False, pad_token_id=0, bos_token_id=1, eos_token_id=2
    )
    processor = LlavaProcessor(
        image_processor=image_processor(),
        tokenizer=tokenizer,
        patch_size=PATCH_PX,
        vision_feature_select_strategy="default",
        chat_template=CHAT_TEMPLATE,
        num_additional_image_tokens=1,
    )
    return model, processor


def save_clip(model: CLIPModel, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    model.to(torch.float16).save_pretrained(folder)
    CLIPProcessor(image_processor=image_processor(), tokenizer=tokenizer).save_pretrained(folder)


def save_captioner(
    model: LlavaForConditionalGeneration, processor: LlavaProcessor, folder: Path
) -> None:
    model.to(torch.float16).save_pretrained(folder)
    processor.save_pretrained(folder)
