"""Tiny models that answer prompts: Qwen's, and the text model that several tests ask."""

from pathlib import Path
from typing import Any

from tiny_models.chat_parts import CHATML, EXPERTS, LLM, QWEN, QWEN_IMAGE, chat_words, ids, turns
from tiny_models.parts import awake, save


def qwen_images(patch: int) -> Any:
    import transformers as t

    pixels = {"shortest_edge": 4 * patch * patch, "longest_edge": 64 * patch * patch}
    return t.Qwen2VLImageProcessor(patch_size=patch, size=pixels)


def qwen2_5_vl(folder: Path) -> None:
    import transformers as t

    words = chat_words(*QWEN, image_token="<|image_pad|>", video_token="<|video_pad|>")
    eye = {"depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 4}
    eye |= {"out_hidden_size": 32, "window_size": 56, "fullatt_block_indexes": [1]}
    rope = {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 1e4}
    config = t.Qwen2_5_VLConfig(
        text_config={**LLM, "rope_parameters": rope, **ids(words)},
        vision_config=eye,
        image_token_id=words.convert_tokens_to_ids("<|image_pad|>"),
        video_token_id=words.convert_tokens_to_ids("<|video_pad|>"),
        vision_start_token_id=words.convert_tokens_to_ids("<|vision_start|>"),
        vision_end_token_id=words.convert_tokens_to_ids("<|vision_end|>"),
    )
    processor = t.Qwen2_5_VLProcessor(qwen_images(14), words, t.Qwen2VLVideoProcessor())
    template = turns(QWEN_IMAGE, *CHATML)
    save(folder, awake(t.Qwen2_5_VLForConditionalGeneration(config)), processor, template)


def qwen3_vl(folder: Path, template: str | None = None) -> None:
    import transformers as t

    words = chat_words(*QWEN, image_token="<|image_pad|>", video_token="<|video_pad|>")
    words.add_tokens(["<think>", "</think>"])
    eye = {"depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 4}
    eye |= {"out_hidden_size": 32, "deepstack_visual_indexes": [0], "num_position_embeddings": 64}
    rope = {"rope_type": "default", "mrope_section": [2, 1, 1], "rope_theta": 1e4}
    text = {**LLM, "head_dim": 8, "rope_parameters": rope, **ids(words), "vocab_size": 330}
    config = t.Qwen3VLConfig(
        text_config=text,
        vision_config=eye,
        image_token_id=words.convert_tokens_to_ids("<|image_pad|>"),
        video_token_id=words.convert_tokens_to_ids("<|video_pad|>"),
        vision_start_token_id=words.convert_tokens_to_ids("<|vision_start|>"),
        vision_end_token_id=words.convert_tokens_to_ids("<|vision_end|>"),
    )
    processor = t.Qwen3VLProcessor(qwen_images(16), words, t.Qwen3VLVideoProcessor())
    template = template or turns(QWEN_IMAGE, *CHATML)
    save(folder, awake(t.Qwen3VLForConditionalGeneration(config)), processor, template)


def reasoning(folder: Path) -> None:
    """A template that opens a thought, as those of reasoning models do."""
    begin, end, answer = CHATML
    qwen3_vl(folder, turns(QWEN_IMAGE, begin, end, answer + "<think>\n"))


def of_qwen(folder: Path, family: str, patch: int, text: dict[str, Any], **eye: Any) -> None:
    """A model of Qwen's, whose images are `patch` pixels a patch."""
    import torch
    import transformers as t

    words = chat_words(*QWEN, image_token="<|image_pad|>", video_token="<|video_pad|>")
    marks = {"image_token_id": "<|image_pad|>", "video_token_id": "<|video_pad|>"}
    marks |= {"vision_start_token_id": "<|vision_start|>", "vision_end_token_id": "<|vision_end|>"}
    config = getattr(t, f"{family}Config")(
        text_config={**LLM, **ids(words), **text},
        vision_config={"depth": 2, "num_heads": 4, **eye},
        **{name: words.convert_tokens_to_ids(mark) for name, mark in marks.items()},
    )
    size = {"shortest_edge": 4 * patch * patch, "longest_edge": 64 * patch * patch}
    images = t.Qwen2VLImageProcessor(patch_size=patch, size=size)
    kind, videos = (
        (t.Qwen2VLProcessor, t.Qwen2VLVideoProcessor())
        if family == "Qwen2VL"
        else (t.Qwen3VLProcessor, t.Qwen3VLVideoProcessor())
    )
    torch.manual_seed(0)  # how fast linear attention forgets is drawn, too
    model = getattr(t, f"{family}ForConditionalGeneration")(config)
    save(folder, awake(model), kind(images, words, videos), turns(QWEN_IMAGE, *CHATML))


def qwen2_vl(folder: Path) -> None:
    rope = {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 1e4}
    of_qwen(folder, "Qwen2VL", 14, {"rope_parameters": rope}, embed_dim=32, hidden_size=32)


def qwen3_vl_moe(folder: Path) -> None:
    rope = {"rope_type": "default", "mrope_section": [2, 1, 1], "rope_theta": 1e4}
    text = {"head_dim": 8, "rope_parameters": rope, "num_experts": 4, "num_experts_per_tok": 2}
    text |= {"moe_intermediate_size": 32}
    eye = {"hidden_size": 32, "intermediate_size": 64, "out_hidden_size": 32}
    eye |= {"deepstack_visual_indexes": [0], "num_position_embeddings": 64}
    of_qwen(folder, "Qwen3VLMoe", 16, text, **eye)


def qwen3_5(folder: Path) -> None:
    """Its text model has a layer of linear attention, whose state padding must not touch."""
    rope = {"rope_type": "default", "mrope_section": [2, 1, 1], "rope_theta": 1e4}
    rope |= {"partial_rotary_factor": 1.0}
    text = {"head_dim": 8, "rope_parameters": rope, "linear_key_head_dim": 8}
    text |= {"linear_value_head_dim": 8, "linear_num_key_heads": 2, "linear_num_value_heads": 4}
    text |= {"layer_types": ["linear_attention", "full_attention"]}
    eye = {"hidden_size": 32, "intermediate_size": 64, "out_hidden_size": 32}
    of_qwen(folder, "Qwen3_5", 16, text, num_position_embeddings=64, **eye)


QWEN_EYE = {"hidden_size": 32, "intermediate_size": 64, "out_hidden_size": 32}
QWEN_EYE |= {"num_position_embeddings": 64}
LINEAR = {"linear_key_head_dim": 8, "linear_value_head_dim": 8, "linear_num_key_heads": 2}
LINEAR |= {"linear_num_value_heads": 4, "layer_types": ["linear_attention", "full_attention"]}
QWEN_ROPE = {"rope_type": "default", "mrope_section": [2, 1, 1], "rope_theta": 1e4}
QWEN_ROPE |= {"partial_rotary_factor": 1.0}


def qwen3_5_moe(folder: Path) -> None:
    text = {"head_dim": 8, "rope_parameters": QWEN_ROPE, **LINEAR, **EXPERTS}
    text |= {"shared_expert_intermediate_size": 32}
    of_qwen(folder, "Qwen3_5Moe", 16, text, **QWEN_EYE)


def qwen4_exp(folder: Path) -> None:
    """Several residual streams, tables of n-grams, and a token indexer."""
    text = {"head_dim": 8, "rope_parameters": QWEN_ROPE, **LINEAR, **EXPERTS}
    text |= {"shared_expert_intermediate_size": 32, "hc_count": 2, "hc_lowrank": 8}
    text |= {"ple_layer_ids": [1], "heads_per_ngram": 2, "ngram_vocab_size_base": 100}
    text |= {"make_ngram_vocab_size_divisible_by": 8, "split_ngram_parts": 2, "ple_embed_dim": 32}
    text |= {"indexer_n_heads": 2, "indexer_kv_heads": 1, "indexer_head_dim": 8}
    text |= {"indexer_budget": 64, "indexer_compress_ratio": 4}
    of_qwen(folder, "Qwen4Exp", 16, text, **QWEN_EYE)


def omni_thinker(folder: Path) -> None:
    import transformers as t

    named = {"image_token": "<|IMAGE|>", "audio_token": "<|AUDIO|>", "video_token": "<|VIDEO|>"}
    named |= {"vision_bos_token": "<|vision_bos|>", "vision_eos_token": "<|vision_eos|>"}
    named |= {"audio_bos_token": "<|audio_bos|>", "audio_eos_token": "<|audio_eos|>"}
    words = chat_words(*named.values(), **named)
    rope = {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 1e4}
    eye = {"depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 4}
    eye |= {"out_hidden_size": 32, "window_size": 56, "fullatt_block_indexes": [1]}
    ear = {"d_model": 32, "encoder_layers": 1, "encoder_attention_heads": 4, "encoder_ffn_dim": 64}
    marks = ["<|IMAGE|>", "<|AUDIO|>", "<|VIDEO|>"]
    image, audio, video = words.convert_tokens_to_ids(marks)
    config = t.Qwen2_5OmniThinkerConfig(
        text_config={**LLM, "rope_parameters": rope, **ids(words)},
        vision_config=eye,
        audio_config={**ear, "output_dim": 32},
        image_token_index=image, audio_token_index=audio, video_token_index=video,
        vision_start_token_id=words.convert_tokens_to_ids("<|vision_bos|>"),
    )  # fmt: skip
    pixels = {"shortest_edge": 4 * 14 * 14, "longest_edge": 64 * 14 * 14}
    processor = t.Qwen2_5OmniProcessor(
        t.Qwen2VLImageProcessor(patch_size=14, size=pixels), t.Qwen2VLVideoProcessor(),
        t.WhisperFeatureExtractor(feature_size=128), words,
    )  # fmt: skip
    template = turns("<|vision_bos|><|IMAGE|><|vision_eos|>", *CHATML)
    model = t.Qwen2_5OmniThinkerForConditionalGeneration(config)
    save(folder, awake(model), processor, template)


def omni3_thinker(folder: Path) -> None:
    import transformers as t

    named = {"image_token": "<|image_pad|>", "audio_token": "<|audio_pad|>"}
    named |= {"video_token": "<|video_pad|>", "vision_bos_token": "<|vision_start|>"}
    named |= {"vision_eos_token": "<|vision_end|>", "audio_bos_token": "<|audio_start|>"}
    named |= {"audio_eos_token": "<|audio_end|>"}
    words = chat_words(*named.values(), **named)
    rope = {"rope_type": "default", "mrope_section": [2, 1, 1], "rope_theta": 1e4}
    text = {**LLM, **ids(words), "head_dim": 8, "rope_parameters": rope, "num_experts": 4}
    text |= {"num_experts_per_tok": 2, "moe_intermediate_size": 32}
    eye = {"depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 4}
    eye |= {"out_hidden_size": 32, "deepstack_visual_indexes": [0], "num_position_embeddings": 64}
    ear = {"d_model": 32, "encoder_layers": 1, "encoder_attention_heads": 4, "encoder_ffn_dim": 64}
    ear |= {"output_dim": 32, "downsample_hidden_size": 16}
    places = {
        f"{kind}_token_id": words.convert_tokens_to_ids(f"<|{kind}_pad|>")
        for kind in ("image", "audio", "video")
    }
    places |= {"vision_start_token_id": words.convert_tokens_to_ids("<|vision_start|>")}
    places |= {"audio_start_token_id": words.convert_tokens_to_ids("<|audio_start|>")}
    config = t.Qwen3OmniMoeThinkerConfig(
        text_config=text, vision_config=eye, audio_config=ear, **places
    )
    size = {"shortest_edge": 4 * 16 * 16, "longest_edge": 64 * 16 * 16}
    processor = t.Qwen3OmniMoeProcessor(
        t.Qwen2VLImageProcessor(patch_size=16, size=size), t.Qwen2VLVideoProcessor(),
        t.WhisperFeatureExtractor(feature_size=128), words,
    )  # fmt: skip
    template = turns("<|vision_start|><|image_pad|><|vision_end|>", *CHATML)
    save(folder, awake(t.Qwen3OmniMoeThinkerForConditionalGeneration(config)), processor, template)


def text_llm(folder: Path) -> None:
    import transformers as t

    words = chat_words()
    begin, end, answer = CHATML
    opening = begin.replace("ROLE", "{{ m['role'] }}")
    words.chat_template = (
        f"{{% for m in messages %}}{opening}{{{{ m['content'] }}}}{end}{{% endfor %}}{answer}"
    )
    model = awake(t.Qwen2ForCausalLM(t.Qwen2Config(**LLM, **ids(words))))
    model.save_pretrained(folder)
    words.save_pretrained(folder)
