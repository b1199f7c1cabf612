"""Tiny models that answer prompts: InternVL and an heir that reads documents."""

from pathlib import Path

from tiny_models.chat_parts import CHATML, EYE, LLM, SIDE, chat_words, ids, turns
from tiny_models.parts import awake, save


def internvl(folder: Path) -> None:
    import transformers as t

    named = {"start_image_token": "<img>", "end_image_token": "</img>"}
    named |= {"context_image_token": "<IMG_CONTEXT>", "video_token": "<video>"}
    words = chat_words("<img>", "</img>", "<IMG_CONTEXT>", "<video>", **named)
    config = t.InternVLConfig(
        text_config=t.Qwen2Config(**LLM, **ids(words)),
        vision_config={**EYE, "image_size": [32, 32], "patch_size": [8, 8]},
        image_token_id=words.convert_tokens_to_ids("<IMG_CONTEXT>"),
        image_seq_length=4,
    )
    processor = t.InternVLProcessor(
        t.GotOcr2ImageProcessor(size=SIDE, crop_to_patches=True, max_patches=4),
        words,
        t.InternVLVideoProcessor(size=SIDE),
        image_seq_length=4,
    )
    template = turns("<IMG_CONTEXT>\n", *CHATML)
    save(folder, awake(t.InternVLForConditionalGeneration(config)), processor, template)


def qianfan_ocr(folder: Path) -> None:
    import transformers as t

    named = {"start_image_token": "<img>", "end_image_token": "</img>"}
    named |= {"context_image_token": "<IMG_CONTEXT>"}
    words = chat_words(*named.values(), "<image>", **named)
    config = t.QianfanOCRConfig(
        text_config={"model_type": "qwen3", **LLM, "head_dim": 8, **ids(words)},
        vision_config={**EYE, "image_size": 32, "patch_size": 8},
        image_token_id=words.convert_tokens_to_ids("<IMG_CONTEXT>"),
        image_seq_length=4,
    )
    images = t.GotOcr2ImageProcessor(size=SIDE, crop_to_patches=True, max_patches=4)
    processor = t.QianfanOCRProcessor(images, words, image_seq_length=4)
    template = turns("<image>\n", *CHATML)
    save(folder, awake(t.QianfanOCRForConditionalGeneration(config)), processor, template)
