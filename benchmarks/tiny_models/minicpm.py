"""Tiny models that answer prompts: MiniCPM-V."""

from pathlib import Path

from tiny_models.chat_parts import CHATML, EYE, LLM, chat_words, ids, turns
from tiny_models.parts import awake, save


def minicpmv(folder: Path) -> None:
    import transformers as t

    named = {"image_token": "<|image_pad|>", "video_token": "<|video_pad|>"}
    named |= {"image_start_token": "<image>", "image_end_token": "</image>"}
    named |= {"slice_start_token": "<slice>", "slice_end_token": "</slice>"}
    named |= {"image_id_start_token": "<image_id>", "image_id_end_token": "</image_id>"}
    words = chat_words(*named.values(), **named)
    text = {**LLM, "head_dim": 8, **ids(words), "model_type": "qwen3_5_text"}
    text |= {"layer_types": ["full_attention", "full_attention"]}
    eye = {**EYE, "num_hidden_layers": 2, "patch_size": 8, "insert_layer_id": 0, "image_size": 64}
    config = t.MiniCPMV4_6Config(
        text_config=text, vision_config=eye, insert_layer_id=0, image_size=64,
        **{n: words.convert_tokens_to_ids(named[n[:-3]]) for n in ("image_token_id", "video_token_id")},
    )  # fmt: skip
    images = t.MiniCPMV4_6ImageProcessor(scale_resolution=64, patch_size=8, max_slice_nums=2)
    processor = t.MiniCPMV4_6Processor(images, t.MiniCPMV4_6VideoProcessor(), words)
    model = t.MiniCPMV4_6ForConditionalGeneration(config)
    save(folder, awake(model), processor, turns("<|image_pad|>", *CHATML))


def minicpmv4_7(folder: Path) -> None:
    """Places of image tokens lie on a canvas, whose marks the config names."""
    import transformers as t

    named = {"image_token": "<|image_pad|>", "video_token": "<|video_pad|>"}
    named |= {"image_start_token": "<image>", "image_end_token": "</image>"}
    named |= {"slice_start_token": "<slice>", "slice_end_token": "</slice>"}
    named |= {"image_id_start_token": "<image_id>", "image_id_end_token": "</image_id>"}
    words = chat_words(*named.values(), **named)
    rope = {"rope_type": "default", "mrope_section": [2, 1, 1], "rope_theta": 1e4}
    text = {**LLM, "head_dim": 8, **ids(words), "model_type": "qwen3_5_text"}
    text |= {"layer_types": ["full_attention"] * 2}
    text |= {"rope_parameters": rope | {"partial_rotary_factor": 1.0}}
    eye = {**EYE, "patch_size": 8, "insert_layer_id": 0, "image_size": 64}
    marks = {f"{end}_id": named[f"{end}_token"] for end in ("image_start", "image_end", "slice_start", "slice_end")}  # fmt: skip
    marks |= {"image_token_id": "<|image_pad|>", "video_token_id": "<|video_pad|>"}
    config = t.MiniCPMV4_7Config(
        text_config=text, vision_config=eye, insert_layer_id=0, image_size=64,
        newline_id=words.encode("\n", add_special_tokens=False)[0],
        **{name: words.convert_tokens_to_ids(mark) for name, mark in marks.items()},
    )  # fmt: skip
    images = t.MiniCPMV4_6ImageProcessor(scale_resolution=64, patch_size=8, max_slice_nums=2)
    processor = t.MiniCPMV4_7Processor(images, t.MiniCPMV4_6VideoProcessor(), words)
    model = t.MiniCPMV4_7ForConditionalGeneration(config)
    save(folder, awake(model), processor, turns("<|image_pad|>", *CHATML))
