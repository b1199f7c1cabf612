"""Tiny models that answer prompts: Baidu's."""

from pathlib import Path

from tiny_models.chat_parts import CHATML, EYE, LLM, chat_words, ids, turns
from tiny_models.parts import awake, save


def ernie_vl(folder: Path) -> None:
    import transformers as t

    named = {"image_token": "<|IMAGE_PLACEHOLDER|>", "image_start_token": "<|IMAGE_START|>"}
    named |= {"image_end_token": "<|IMAGE_END|>", "video_token": "<|VIDEO_PLACEHOLDER|>"}
    named |= {"video_start_token": "<|VIDEO_START|>", "video_end_token": "<|VIDEO_END|>"}
    words = chat_words(*named.values(), **named)
    text = {**LLM, **ids(words), "moe_intermediate_size": [32, 32], "moe_k": 2}
    text |= {"moe_num_experts": 4, "mlp_layer_types": ["dense", "sparse"]}
    text |= {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [1, 1, 2]}}  # fmt: skip
    eye = {"depth": 2, "hidden_size": 32, "num_heads": 4, "intermediate_size": 64}
    config = t.Ernie4_5_VLMoeConfig(
        text_config=text, vision_config=eye,
        **{f"{n}_id": words.convert_tokens_to_ids(m) for n, m in named.items()},
    )  # fmt: skip
    images = t.Ernie4_5_VLMoeImageProcessor(
        size={"shortest_edge": 56 * 56, "longest_edge": 112 * 112}
    )
    processor = t.Ernie4_5_VLMoeProcessor(
        images, words, t.Ernie4_5_VLMoeVideoProcessor(draw_on_frames=False)
    )
    template = turns("<|IMAGE_START|><|IMAGE_PLACEHOLDER|><|IMAGE_END|>", *CHATML)
    save(folder, awake(t.Ernie4_5_VLMoeForConditionalGeneration(config)), processor, template)


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
