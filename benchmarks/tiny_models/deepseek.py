"""Tiny models that answer prompts: DeepSeek's, Janus, and Kimi."""

from pathlib import Path

from tiny_models.chat_parts import CHATML, EYE, LLM, SIDE, chat_words, ids, llama_words, turns
from tiny_models.parts import awake, save


def deepseek_vl(folder: Path) -> None:
    import transformers as t

    words = llama_words("<image_placeholder>", image_token="<image_placeholder>")
    config = t.DeepseekVLConfig(
        text_config=t.LlamaConfig(**LLM, **ids(words)),
        vision_config=t.SiglipVisionConfig(**EYE, vision_use_head=False),
        image_token_id=words.convert_tokens_to_ids("<image_placeholder>"),
    )
    images = t.DeepseekVLImageProcessor(size=SIDE, min_size=14)
    processor = t.DeepseekVLProcessor(images, words, num_image_tokens=4)
    template = turns("<image_placeholder>", "ROLE: ", "\n\n", "Assistant:", "{{ bos_token }}")
    save(folder, awake(t.DeepseekVLForConditionalGeneration(config)), processor, template)


def deepseek_vl_hybrid(folder: Path) -> None:
    import transformers as t

    words = llama_words("<image_placeholder>", image_token="<image_placeholder>")
    high = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "mlp_dim": 64}
    high |= {"image_size": 128, "patch_size": 16, "output_channels": 16, "window_size": 2}
    config = t.DeepseekVLHybridConfig(
        text_config=t.LlamaConfig(**LLM, **ids(words)),
        vision_config=t.SiglipVisionConfig(**{**EYE, "patch_size": 16, "image_size": 64}),
        high_res_vision_config=t.SamVisionConfig(**high, global_attn_indexes=[1]),
        image_token_id=words.convert_tokens_to_ids("<image_placeholder>"),
    )
    images = t.DeepseekVLHybridImageProcessor(
        size={"height": 64, "width": 64}, high_res_size={"height": 128, "width": 128}
    )
    processor = t.DeepseekVLHybridProcessor(images, words, num_image_tokens=16)
    template = turns("<image_placeholder>", "ROLE: ", "\n\n", "Assistant:")
    save(
        folder, awake(t.DeepseekVLHybridForConditionalGeneration(config), 0.1), processor, template
    )


def janus(folder: Path) -> None:
    import transformers as t

    named = {"image_token": "<image_placeholder>", "boi_token": "<begin_of_image>"}
    named |= {"eoi_token": "<end_of_image>"}
    words = llama_words(*named.values(), **named)
    eye = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "image_size": 32}
    codes = {"embed_dim": 8, "num_embeddings": 16, "latent_channels": 8, "base_channels": 32}
    codes |= {"channel_multiplier": [1, 1], "num_res_blocks": 1, "projection_dim": 32}
    config = t.JanusConfig(
        text_config=t.LlamaConfig(**LLM, **ids(words)),
        vision_config={**eye, "patch_size": 16, "projection_dim": 32, "num_image_tokens": 4},
        vq_config={**codes, "num_patches": 2, "image_token_embed_dim": 32},
        image_token_id=words.convert_tokens_to_ids("<image_placeholder>"),
    )
    processor = t.JanusProcessor(t.JanusImageProcessor(size=SIDE), words, num_image_tokens=4)
    template = turns("<image_placeholder>\n", "<|ROLE|>: ", "\n\n", "<|Assistant|>:")
    save(folder, awake(t.JanusForConditionalGeneration(config)), processor, template)


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


def kimi(folder: Path) -> None:
    import transformers as t

    named = {"image_token": "<|media_pad|>", "video_token": "<|kimi_k25_video_placeholder|>"}
    words = chat_words(*named.values(), "<|media_begin|>", "<|media_end|>", **named)
    text = {
        **LLM, **ids(words), "model_type": "deepseek_v3", "q_lora_rank": 16, "kv_lora_rank": 16,
        "qk_rope_head_dim": 8, "qk_nope_head_dim": 8, "v_head_dim": 8, "n_routed_experts": 4,
        "num_experts_per_tok": 2, "moe_intermediate_size": 32, "first_k_dense_replace": 1,
        "n_group": 1, "topk_group": 1, "num_key_value_heads": 4,
    }  # fmt: skip
    eye = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    eye |= {"num_attention_heads": 4, "pos_emb_height": 8, "pos_emb_width": 8, "patch_size": 8}
    config = t.Kimi_K25Config(
        text_config=text, vision_config=eye, projection_hidden_size=32,
        image_token_id=words.image_token_id, video_token_id=words.video_token_id,
        vision_start_token_id=words.convert_tokens_to_ids("<|media_begin|>"),
        vision_end_token_id=words.convert_tokens_to_ids("<|media_end|>"),
    )  # fmt: skip
    images = t.Kimi_K25ImageProcessor(patch_size=8, max_patches=64)
    processor = t.Kimi_K25Processor(images, words, t.Kimi_K25VideoProcessor())
    template = turns("<|media_begin|><|media_pad|><|media_end|>", *CHATML)
    save(folder, awake(t.Kimi_K25ForConditionalGeneration(config)), processor, template)
