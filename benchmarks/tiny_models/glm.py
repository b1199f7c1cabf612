"""Tiny models that answer prompts: GLM's."""

from pathlib import Path
from typing import Any

from tiny_models.chat_parts import CHATML, LLM, chat_words, ids, turns
from tiny_models.parts import awake, save

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


def glm4v(folder: Path) -> None:
    import transformers as t

    words, places = glm_words()
    config = t.Glm4vConfig(
        text_config={**LLM, "rope_parameters": GLM_ROPE, **ids(words)},
        vision_config={**GLM_EYE, "intermediate_size": 64},
        **places,
    )
    size = {"shortest_edge": 2 * 28 * 28, "longest_edge": 32 * 28 * 28}
    images, videos = t.Glm4vImageProcessor(size=size), t.Glm4vVideoProcessor()
    template = turns(*GLM_TEMPLATE)
    model = t.Glm4vForConditionalGeneration(config)
    save(folder, awake(model), t.Glm4vProcessor(images, words, videos), template)


def glm4v_moe(folder: Path) -> None:
    import transformers as t

    words, places = glm_words()
    text = {**LLM, "rope_parameters": GLM_ROPE | {"partial_rotary_factor": 1.0}, **ids(words)}
    text |= {"n_routed_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
    config = t.Glm4vMoeConfig(
        text_config=text, vision_config={**GLM_EYE, "intermediate_size": 64}, **places
    )
    size = {"shortest_edge": 2 * 28 * 28, "longest_edge": 32 * 28 * 28}
    images, videos = t.Glm4vImageProcessor(size=size), t.Glm4vVideoProcessor()
    model = t.Glm4vMoeForConditionalGeneration(config)
    save(folder, awake(model), t.Glm4vProcessor(images, words, videos), turns(*GLM_TEMPLATE))


def glm46v(folder: Path) -> None:
    import transformers as t

    words, places = glm_words()
    config = t.Glm46VConfig(
        text_config={"model_type": "glm4v_text", **LLM, "rope_parameters": GLM_ROPE, **ids(words)},
        vision_config={"model_type": "glm4v_vision", **GLM_EYE, "intermediate_size": 64},
        **places,
    )
    size = {"shortest_edge": 2 * 28 * 28, "longest_edge": 32 * 28 * 28}
    processor = t.Glm46VProcessor(
        t.Glm46VImageProcessor(size=size), words, t.Glm46VVideoProcessor()
    )
    template = turns(*GLM_TEMPLATE)
    save(folder, awake(t.Glm46VForConditionalGeneration(config)), processor, template)


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
