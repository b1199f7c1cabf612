"""Tiny models that answer prompts: Cohere's."""

from pathlib import Path

from tiny_models.chat_parts import CHATML, EYE, LLM, SIDE, chat_words, ids, turns
from tiny_models.parts import awake, save


def aya_vision(folder: Path) -> None:
    import transformers as t

    marks = ["<|START_OF_IMG|>", "<|END_OF_IMG|>", "<|IMG_PATCH|>", "<|IMG_LINE_BREAK|>"]
    words = chat_words("<image>", *marks, "TILE", "TILE_GLOBAL", *(f"TILE_{i}" for i in range(9)))
    config = t.AyaVisionConfig(
        text_config=t.Cohere2Config(**LLM, head_dim=8, **ids(words)),
        vision_config=t.SiglipVisionConfig(**{**EYE, "patch_size": 8}, vision_use_head=False),
        image_token_index=words.convert_tokens_to_ids("<|IMG_PATCH|>"),
        adapter_layer_norm_eps=1e-6,
        alignment_intermediate_size=32,
    )
    images = t.GotOcr2ImageProcessor(size=SIDE, crop_to_patches=True, max_patches=2)
    processor = t.AyaVisionProcessor(images, words, patch_size=8, img_size=32, downsample_factor=2)
    model = t.AyaVisionForConditionalGeneration(config)
    save(folder, awake(model, 0.05), processor, turns("<image>", *CHATML))


def cohere2_vision(folder: Path) -> None:
    import transformers as t

    named = {"boi_token": "<|START_OF_IMG|>", "eoi_token": "<|END_OF_IMG|>"}
    named |= {"image_token": "<|IMG_PATCH|>", "img_line_break_token": "<|IMG_LINE_BREAK|>"}
    words = chat_words(*named.values(), **named)
    config = t.Cohere2VisionConfig(
        text_config=t.Cohere2Config(**LLM, head_dim=8, **ids(words)),
        vision_config=t.SiglipVisionConfig(**{**EYE, "patch_size": 8}, vision_use_head=False),
        image_token_id=words.convert_tokens_to_ids("<|IMG_PATCH|>"),
        alignment_intermediate_size=64,
    )
    images = t.Cohere2VisionImageProcessor(size=SIDE, patch_size=2, max_patches=2)
    model = t.Cohere2VisionForConditionalGeneration(config)
    save(folder, awake(model, 0.05), t.Cohere2VisionProcessor(images, words), turns("<|IMG_PATCH|>", *CHATML))  # fmt: skip
