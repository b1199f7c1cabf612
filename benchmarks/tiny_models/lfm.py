"""Tiny models that answer prompts: Liquid's."""

from pathlib import Path

from tiny_models.chat_parts import CHATML, EYE, LLM, chat_words, ids, turns
from tiny_models.parts import awake, save


def lfm2_vl(folder: Path) -> None:
    """Its text model has a layer of convolutions, whose state padding must not touch."""
    import transformers as t

    named = {"image_token": "<image>", "image_start_token": "<|image_start|>"}
    named |= {"image_end_token": "<|image_end|>", "image_thumbnail": "<|img_thumbnail|>"}
    words = chat_words(*named.values(), *(f"<|img_row_{r}_col_{c}|>" for r in (1, 2) for c in (1, 2)), **named)  # fmt: skip
    text = t.Lfm2Config(**{**LLM, "block_auto_adjust_ff_dim": False}, layer_types=["conv", "full_attention"], **ids(words))  # fmt: skip
    eye = t.Siglip2VisionConfig(**{**EYE, "patch_size": 8}, num_patches=64, vision_use_head=False)
    config = t.Lfm2VlConfig(
        text_config=text,
        vision_config=eye,
        image_token_id=words.convert_tokens_to_ids("<image>"),
        projector_hidden_size=32,
    )
    images = t.Lfm2VlImageProcessor(
        do_image_splitting=False, tile_size=32, encoder_patch_size=8, min_image_tokens=1,
        max_image_tokens=16, max_num_patches=64, use_thumbnail=False, max_tiles=2, min_tiles=1,
    )  # fmt: skip
    model = t.Lfm2VlForConditionalGeneration(config)
    save(folder, awake(model), t.Lfm2VlProcessor(images, words), turns("<image>", *CHATML))


def lfm3_vl(folder: Path) -> None:
    import transformers as t

    named = {"image_token": "<|image_pad|>", "video_token": "<|video_pad|>"}
    marks = {"vision_start_token": "<|vision_start|>", "vision_end_token": "<|vision_end|>"}
    words = chat_words(*named.values(), *marks.values(), **named, **marks)
    eye = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "patch_size": 8}
    config = t.Lfm3VlConfig(
        text_config={
            **LLM, "model_type": "lfm3", "num_hidden_layers": 3, "head_dim": 8, **ids(words),
            "layer_types": ["conv", "sliding_attention", "full_attention"], "sliding_window": 8,
        },
        vision_config={**eye, "num_attention_heads": 4, "num_key_value_heads": 2},
        projector_hidden_size=32,
        **ids(words, **{f"{name}_id": mark for name, mark in (named | marks).items()}),
    )  # fmt: skip
    size = {"shortest_edge": 4 * 8 * 8, "longest_edge": 64 * 8 * 8}
    images = t.Qwen2VLImageProcessor(patch_size=8, size=size)
    processor = t.Lfm3VlProcessor(images, words, t.Qwen3VLVideoProcessor(patch_size=8))
    template = turns("<|vision_start|><|image_pad|><|vision_end|>", *CHATML)
    save(folder, awake(t.Lfm3VlForConditionalGeneration(config)), processor, template)
