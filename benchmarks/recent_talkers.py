"""Tiny models that answer prompts: families of the second half of 2026, and larger kin of earlier
ones.
"""

from pathlib import Path
from typing import Any

from more_talkers import mistral
from newer_talkers import of_qwen
from talker_parts import (
    CHATML,
    EYE,
    GLM_EYE,
    GLM_ROPE,
    GLM_TEMPLATE,
    LLM,
    chat_words,
    glm_words,
    ids,
    llama_words,
    turns,
)
from tiny_parts import awake, save

QWEN_EYE = {"hidden_size": 32, "intermediate_size": 64, "out_hidden_size": 32}
QWEN_EYE |= {"num_position_embeddings": 64}
LINEAR = {"linear_key_head_dim": 8, "linear_value_head_dim": 8, "linear_num_key_heads": 2}
LINEAR |= {"linear_num_value_heads": 4, "layer_types": ["linear_attention", "full_attention"]}
QWEN_ROPE = {"rope_type": "default", "mrope_section": [2, 1, 1], "rope_theta": 1e4}
QWEN_ROPE |= {"partial_rotary_factor": 1.0}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}


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


def mistral_large4(folder: Path) -> None:
    """Latent attention with a token indexer, and experts."""
    import transformers as t

    def text(special: dict[str, Any]) -> dict[str, Any]:
        sizes = {"num_key_value_heads": 4, "kv_lora_rank": 8, "qk_rope_head_dim": 8}
        sizes |= {"v_head_dim": 8, "qk_nope_head_dim": 8, "head_dim": 8, "n_routed_experts": 4}
        sizes |= {"num_experts_per_tok": 2, "moe_intermediate_size": 32, "index_head_dim": 8}
        return {**LLM, **sizes, "index_n_heads": 2, "index_topk": 2048, **special}

    mistral(folder, t.MistralLarge4ForConditionalGeneration, t.MistralLarge4Config, text)


def hyperclovax(folder: Path) -> None:
    import transformers as t

    named = {"image_token": "<|image_pad|>", "video_token": "<|video_pad|>"}
    words = chat_words(*named.values(), **named)
    eye = {"model_type": "qwen2_5_vl_vision", "depth": 2, "hidden_size": 32, "num_heads": 4}
    eye |= {"intermediate_size": 64, "out_hidden_size": 32, "window_size": 56}
    config = t.HyperCLOVAXVisionV2Config(
        text_config={**LLM, "model_type": "hyperclovax", "head_dim": 8, **ids(words)},
        vision_config=eye | {"fullatt_block_indexes": [1]},
        **ids(words, image_token_id="<|image_pad|>", video_token_id="<|video_pad|>"),
    )
    size = {"shortest_edge": 4 * 14 * 14, "longest_edge": 64 * 14 * 14}
    images = t.Qwen2VLImageProcessor(patch_size=14, size=size)
    processor = t.HyperCLOVAXVisionV2Processor(images, words, t.Qwen2VLVideoProcessor())
    template = turns("<|image_pad|>", *CHATML)
    save(
        folder,
        awake(t.HyperCLOVAXVisionV2ForConditionalGeneration(config), 0.1),
        processor,
        template,
    )


def step3p7(folder: Path) -> None:
    """A picture is seen whole and in crops."""
    import transformers as t

    marks = ["<im_patch>", "<im_start>", "<im_end>", "<patch_start>", "<patch_end>"]
    words = chat_words(*marks, "<patch_newline>")
    text = {**LLM, "head_dim": 8, "n_routed_experts": 4, "num_experts_per_tok": 2, **ids(words)}
    text |= {"moe_intermediate_size": 32, "share_expert_dim": 32, "mlp_layer_types": ["dense", "sparse"]}  # fmt: skip
    eye = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "image_size": 64}
    config = t.Step3p7Config(
        text_config=text | {"num_local_experts": 4, "sliding_window": 64},
        vision_config={**eye, "patch_size": 8, "mlp_ratio": 2.0, "max_position_embeddings": 64},
        image_token_id=words.convert_tokens_to_ids("<im_patch>"),
    )
    images = t.Step3p7ImageProcessor(
        size={"height": 64, "width": 64}, patch_size=32, max_image_size=128, vision_patch_size=8
    )
    processor = t.Step3p7Processor(images, words)
    template = turns("<im_patch>", *CHATML)
    save(folder, awake(t.Step3p7ForConditionalGeneration(config)), processor, template)


def gemma4_unified(folder: Path) -> None:
    """Patches go to the text model without a tower between."""
    import transformers as t

    named = {"image_token": "<|image|>", "boi_token": "<|image>", "eoi_token": "<image|>"}
    named |= {"audio_token": "<|audio|>", "boa_token": "<|audio>", "eoa_token": "<audio|>"}
    words = chat_words(*named.values(), "<|video|>", **named)
    text = {
        **LLM, "head_dim": 8, "layer_types": ["sliding_attention", "full_attention"],
        "global_head_dim": 8, "sliding_window": 512, **ids(words),
    }  # fmt: skip
    config = t.Gemma4UnifiedConfig(
        text_config=text,
        vision_config={
            "patch_size": 8, "pooling_kernel_size": 2, "mm_embed_dim": 32, "mm_posemb_size": 128,
            "output_proj_dims": 32,
        },
        audio_config={"audio_embed_dim": 16},
        **ids(words, image_token_id="<|image|>", boi_token_id="<|image>", eoi_token_id="<image|>"),
        audio_token_id=words.convert_tokens_to_ids("<|audio|>"),
        video_token_id=words.convert_tokens_to_ids("<|video|>"),
    )  # fmt: skip
    images = t.Gemma4UnifiedImageProcessor(patch_size=8, max_soft_tokens=70, pooling_kernel_size=2)
    processor = t.Gemma4UnifiedProcessor(
        t.Gemma4UnifiedAudioFeatureExtractor(), images, words, t.Gemma4UnifiedVideoProcessor()
    )
    model = t.Gemma4UnifiedForConditionalGeneration(config)
    save(folder, awake(model, 0.05), processor, turns("<|image|>", *CHATML))


def deepseek_ocr2(folder: Path) -> None:
    """SAM's tower and a language model that looks at its answer with learnt questions."""
    import transformers as t

    words = llama_words("<image>", image_token="<image>")
    sam = {"hidden_size": 32, "output_channels": 16, "num_hidden_layers": 2}
    sam |= {"num_attention_heads": 4, "patch_size": 16, "window_size": 2, "mlp_dim": 64}
    sam |= {"global_attn_indexes": [1], "downsample_channels": [16, 32]}
    encoder = {**LLM, "num_key_value_heads": 4}
    text = {**LLM, "num_key_value_heads": 4, "n_routed_experts": 4, "num_experts_per_tok": 2}
    text |= {"moe_intermediate_size": 32, "mlp_layer_types": ["dense", "sparse"], **ids(words)}
    config = t.DeepseekOcr2Config(
        text_config=text,
        vision_config={"sam_config": sam, "encoder_config": encoder},
        image_token_id=words.convert_tokens_to_ids("<image>"),
    )
    processor = t.DeepseekOcr2Processor(t.DeepseekOcr2ImageProcessor(), words)
    template = turns("<image>\n", "ROLE: ", "\n\n", "Assistant:")
    save(folder, awake(t.DeepseekOcr2ForConditionalGeneration(config)), processor, template)


def minimax_m3(folder: Path) -> None:
    """Its control tokens are brackets that no other family has."""
    import transformers as t

    marks = ["]<]image[>[", "]<]video[>[", "]<]start of image[>[", "]<]end of image[>["]
    words = chat_words(*marks)
    text = {**LLM, "head_dim": 8, "num_local_experts": 4, "num_experts_per_tok": 2, **ids(words)}
    text |= {"dense_intermediate_size": 64, "shared_intermediate_size": 64, "rotary_dim": 4}
    text |= {"mlp_layer_types": ["dense", "sparse"], "index_n_heads": 2, "index_head_dim": 8}
    text |= {"layer_types": ["full_attention", "minimax_m3_sparse"]}
    eye = {"hidden_size": 48, "intermediate_size": 64, "num_hidden_layers": 2, "image_size": 56}
    config = t.MiniMaxM3VLConfig(
        text_config=text,
        vision_config={**eye, "num_attention_heads": 4},
        image_token_index=words.convert_tokens_to_ids(marks[0]),
        video_token_index=words.convert_tokens_to_ids(marks[1]),
        projector_hidden_size=32,
    )
    size = {"shortest_edge": 4 * 14 * 14, "longest_edge": 64 * 14 * 14}
    images = t.MiniMaxM3VLImageProcessor(size=size)
    processor = t.MiniMaxM3VLProcessor(images, words, t.MiniMaxM3VLVideoProcessor())
    template = turns(marks[0], *CHATML)
    model = t.MiniMaxM3SparseForConditionalGeneration(config)
    save(folder, awake(model), processor, template)
