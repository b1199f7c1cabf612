"""Tiny models that answer prompts: Mistral's, and one that reads documents with its eye."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tiny_models.chat_parts import CHATML, EYE, LLM, chat_words, ids, llama_words, turns
from tiny_models.parts import awake, save

MISTRAL_WORDS = ("[INST]", "[/INST]", "[IMG]", "[IMG_BREAK]", "[IMG_END]", "[SYSTEM_PROMPT]")


def mistral(folder: Path, model: Callable[..., Any], config: Callable[..., Any], text: Any) -> None:
    """A model of Mistral's that sees by Pixtral's tower."""
    import transformers as t

    words = llama_words(*MISTRAL_WORDS)
    eye = t.PixtralVisionConfig(**{**EYE, "image_size": 64, "patch_size": 8}, head_dim=8)
    place = words.convert_tokens_to_ids("[IMG]")
    whole = config(
        text_config=text(ids(words)),
        vision_config=eye,
        image_token_index=place,
        spatial_merge_size=2,
    )
    images = t.PixtralImageProcessor(size={"longest_edge": 64}, patch_size=8)
    processor = t.PixtralProcessor(images, words, patch_size=8, spatial_merge_size=2)
    template = turns("[IMG]", "[INST]", "[/INST]", "", "{{ bos_token }}")
    save(folder, awake(model(whole)), processor, template)


def mistral3(folder: Path) -> None:
    import transformers as t

    def text(special: dict[str, Any]) -> Any:
        return t.MistralConfig(**LLM, head_dim=8, **special)

    mistral(folder, t.Mistral3ForConditionalGeneration, t.Mistral3Config, text)


def mistral_large4(folder: Path) -> None:
    """Latent attention with a token indexer, and experts."""
    import transformers as t

    def text(special: dict[str, Any]) -> dict[str, Any]:
        sizes = {"num_key_value_heads": 4, "kv_lora_rank": 8, "qk_rope_head_dim": 8}
        sizes |= {"v_head_dim": 8, "qk_nope_head_dim": 8, "head_dim": 8, "n_routed_experts": 4}
        sizes |= {"num_experts_per_tok": 2, "moe_intermediate_size": 32, "index_head_dim": 8}
        return {**LLM, **sizes, "index_n_heads": 2, "index_topk": 2048, **special}

    mistral(folder, t.MistralLarge4ForConditionalGeneration, t.MistralLarge4Config, text)


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
