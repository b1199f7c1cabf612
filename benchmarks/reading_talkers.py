"""Tiny models that answer prompts: readers of documents, and those with eyes of their own kind."""

from pathlib import Path

from talker_parts import (
    CHATML,
    EYE,
    GLM_EYE,
    GLM_ROPE,
    GLM_TEMPLATE,
    LLM,
    SIDE,
    chat_words,
    glm_words,
    ids,
    turns,
)
from tiny_parts import awake, save


def glm_ocr(folder: Path) -> None:
    import transformers as t

    words, places = glm_words()
    config = t.GlmOcrConfig(
        text_config={**LLM, "rope_parameters": GLM_ROPE, **ids(words), "head_dim": 8},
        vision_config={**GLM_EYE, "intermediate_size": 64},
        **places,
    )
    size = {"shortest_edge": 2 * 28 * 28, "longest_edge": 32 * 28 * 28}
    processor = t.Glm46VProcessor(
        t.Glm46VImageProcessor(size=size), words, t.Glm46VVideoProcessor()
    )
    template = turns(*GLM_TEMPLATE)
    save(folder, awake(t.GlmOcrForConditionalGeneration(config)), processor, template)


def paddleocr_vl(folder: Path) -> None:
    import transformers as t

    marks = ["<|IMAGE_START|>", "<|IMAGE_END|>", "<|IMAGE_PLACEHOLDER|>", "<|VIDEO_PLACEHOLDER|>"]
    words = chat_words(*marks, image_token=marks[2])
    rope = {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 1e4}
    config = t.PaddleOCRVLConfig(
        text_config={**LLM, "head_dim": 8, "rope_parameters": rope, **ids(words)},
        vision_config={**EYE, "patch_size": 14, "image_size": 56},
        **{
            f"{name}_token_id": words.convert_tokens_to_ids(mark)
            for name, mark in zip(
                ("vision_start", "vision_end", "image", "video"), marks, strict=True
            )
        },
    )
    size = {"shortest_edge": 4 * 28 * 28, "longest_edge": 16 * 28 * 28}
    processor = t.PaddleOCRVLProcessor(t.PaddleOCRVLImageProcessor(size=size), words)
    template = turns("<|IMAGE_START|><|IMAGE_PLACEHOLDER|><|IMAGE_END|>", *CHATML)
    save(folder, awake(t.PaddleOCRVLForConditionalGeneration(config)), processor, template)


def lighton_ocr(folder: Path) -> None:
    import transformers as t

    named = {"image_token": "<|image_pad|>", "image_break_token": "<|vision_pad|>"}
    named |= {"image_end_token": "<|vision_end|>"}
    words = chat_words(*named.values(), **named)
    eye = {**EYE, "head_dim": 8, "image_size": 112, "patch_size": 14}
    config = t.LightOnOcrConfig(
        text_config={"model_type": "qwen3", **LLM, "head_dim": 8, **ids(words)},
        vision_config={"model_type": "pixtral", **eye},
        image_token_id=words.convert_tokens_to_ids("<|image_pad|>"),
    )
    images = t.PixtralImageProcessor(size={"longest_edge": 112}, patch_size=28)
    processor = t.LightOnOcrProcessor(images, words, patch_size=14, spatial_merge_size=2)
    template = turns("<|image_pad|>", *CHATML)
    save(folder, awake(t.LightOnOcrForConditionalGeneration(config)), processor, template)


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


def fast_vlm(folder: Path) -> None:
    """Its eye is a convolutional network of timm's."""
    import transformers as t

    words = chat_words("<image>", image_token="<image>")
    eye = {"model_type": "timm_wrapper", "architecture": "resnet18", "do_pooling": False}
    eye |= {"model_args": {"layers": [1, 1, 1, 1], "channels": [8, 8, 16, 32]}}
    config = t.FastVlmConfig(
        text_config={"model_type": "qwen2", **LLM, **ids(words)},
        vision_config={**eye, "hidden_size": 32},
        image_token_id=words.convert_tokens_to_ids("<image>"),
        image_seq_length=4,
    )
    images = t.CLIPImageProcessor(size={"shortest_edge": 64}, crop_size={"height": 64, "width": 64})
    processor = t.LlavaProcessor(
        images, words, patch_size=32, vision_feature_select_strategy="full",
        num_additional_image_tokens=0,
    )  # fmt: skip
    template = turns("<image>\n", *CHATML)
    save(folder, awake(t.FastVlmForConditionalGeneration(config)), processor, template)


def granite_vision(folder: Path) -> None:
    """Windows of patches are asked by a small Q-Former, for several layers of its text model."""
    import transformers as t

    words = chat_words("<image>", image_token="<image>")
    grids = [[32, 64], [64, 32], [64, 64]]
    eye = {**EYE, "hidden_size": 64, "patch_size": 8, "num_hidden_layers": 3}
    config = t.Granite4VisionConfig(
        text_config={**LLM, **ids(words), "num_hidden_layers": 4},
        vision_config={"model_type": "siglip_vision_model", **eye},
        image_token_index=words.convert_tokens_to_ids("<image>"),
        image_grid_pinpoints=grids,
        vision_feature_select_strategy="full",
        downsample_rate="1/2",
        deepstack_layer_map=[[-1, 0], [-2, 1]],
        spatial_vision_layer=-1,
        spatial_target_layers=[2, 3, 2, 3],
        qformer_config={
            "model_type": "blip_2_qformer",
            "num_hidden_layers": 1,
            "intermediate_size": 64,
            "use_qformer_text_input": False,
        },
    )
    images = t.LlavaNextImageProcessor(size=SIDE, crop_size=SIDE, image_grid_pinpoints=grids)
    processor = t.Granite4VisionProcessor(
        images, words, patch_size=8, vision_feature_select_strategy="full", downsample_rate="1/2"
    )
    template = turns("<image>\n", *CHATML)
    save(folder, awake(t.Granite4VisionForConditionalGeneration(config)), processor, template)
