"""Tiny models that answer prompts: readers of documents, and models with ears whose eyes are asked."""

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
from tiny_parts import awake, save, tokenizer


def kosmos2(folder: Path) -> None:
    import transformers as t

    marks = [
        "<s>",
        "<pad>",
        "</s>",
        "<image>",
        "</image>",
        "<grounding>",
        "<phrase>",
        "</phrase>",
        "<object>",
        "</object>",
    ]
    words = tokenizer([*marks, "</delimiter_of_multi_objects/>", *(f"<patch_index_{i:04d}>" for i in range(4))], bos="<s>", eos="</s>", pad="<pad>")  # fmt: skip
    text = {"vocab_size": 340, "embed_dim": 32, "layers": 2, "ffn_dim": 64, "attention_heads": 4}
    config = t.Kosmos2Config(
        text_config={**text, **ids(words), "max_position_embeddings": 1024},
        vision_config=EYE,
        latent_query_num=64,
    )
    images = t.CLIPImageProcessor(size=SIDE, crop_size=SIDE)
    processor = t.Kosmos2Processor(images, words, num_patch_index_tokens=4)
    save(folder, awake(t.Kosmos2ForConditionalGeneration(config)), processor)


def pix2struct(folder: Path) -> None:
    import transformers as t

    words = tokenizer(["<pad>", "</s>"], eos="</s>", pad="<pad>", wrap=([], ["</s>"]))
    text = {"vocab_size": 320, "hidden_size": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2}
    eye = {"hidden_size": 32, "patch_embed_hidden_size": 768, "d_kv": 8, "d_ff": 64}
    config = t.Pix2StructConfig(
        text_config={
            **text,
            "num_heads": 4,
            "pad_token_id": words.pad_token_id,
            "eos_token_id": words.eos_token_id,
        },
        vision_config={**eye, "num_hidden_layers": 2, "num_attention_heads": 4, "seq_len": 64},
    )
    processor = t.Pix2StructProcessor(t.Pix2StructImageProcessor(max_patches=16), words)
    save(folder, awake(t.Pix2StructForConditionalGeneration(config)), processor)


def molmo2(folder: Path) -> None:
    import transformers as t

    marks = ["<|image|>", "<|video|>", "<im_patch>", "<im_col>", "<im_start>", "<im_end>"]
    marks += ["<low_res_im_start>", "<frame_start>", "<frame_end>", "<im_low>"]
    words = chat_words(*marks)
    text = {**LLM, "head_dim": 8, "additional_vocab_size": 16}
    eye = {**EYE, "num_key_value_heads": 4, "head_dim": 8, "image_size": [32, 32], "patch_size": 8}
    eye |= {"image_default_input_size": [32, 32], "image_patch_size": 8, "image_num_pos": 16}
    adapter = {"hidden_size": 32, "num_attention_heads": 4, "num_key_value_heads": 4, "head_dim": 8}
    adapter |= {"intermediate_size": 64, "text_hidden_size": 32, "vision_feature_layer": [-1, -2]}
    places = {"image_start_token_id": "<im_start>", "image_end_token_id": "<im_end>"}
    places |= {"low_res_image_start_token_id": "<low_res_im_start>", "image_patch_id": "<im_patch>"}
    places |= {"frame_start_token_id": "<frame_start>", "frame_end_token_id": "<frame_end>"}
    config = t.Molmo2Config(
        text_config=text,
        vision_config=eye,
        adapter_config=adapter,
        **{name: words.convert_tokens_to_ids(mark) for name, mark in places.items()},
    )
    images = t.Molmo2ImageProcessor(size=SIDE, max_crops=2, overlap_margins=[1, 1], patch_size=8)
    processor = t.Molmo2Processor(images, t.Molmo2VideoProcessor(), words)
    model = t.Molmo2ForConditionalGeneration(config)
    save(folder, awake(model), processor, turns("<|image|>", *CHATML))


def phi4_multimodal(folder: Path) -> None:
    import transformers as t

    named = {"image_token": "<|image|>", "audio_token": "<|audio|>"}
    words = chat_words(*named.values(), **named)
    ear = {"hidden_size": 32, "intermediate_size": 64, "num_blocks": 1, "num_attention_heads": 4}
    ear |= {"nemo_conv_channels": 16, "ext_pw_out_channel": 32, "input_size": 80}
    ear |= {"depthwise_separable_out_channel": 32, "audio_token_id": words.audio_token_id}
    eye = {**EYE, "image_size": 448, "patch_size": 14, "crop_size": 448}
    config = t.Phi4MultimodalConfig(
        **LLM, **ids(words), audio_config=ear, original_max_position_embeddings=4096,
        vision_config={**eye, "image_token_id": words.image_token_id},
    )  # fmt: skip
    images = t.Phi4MultimodalImageProcessor(dynamic_hd=2)
    processor = t.Phi4MultimodalProcessor(images, t.Phi4MultimodalFeatureExtractor(), words)
    model = t.Phi4MultimodalForCausalLM(config)
    save(folder, awake(model), processor, turns("<|image|>", *CHATML))


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


def perception_lm(folder: Path) -> None:
    import transformers as t

    named = {"image_token": "<|image|>", "video_token": "<|video|>"}
    words = chat_words(*named.values(), **named)
    eye = t.TimmWrapperConfig(
        architecture="vit_pe_core_large_patch14_336",
        model_args={"embed_dim": 32, "img_size": [28, 28], "depth": 2, "num_heads": 4, "global_pool": "", "use_post_transformer_norm": False, "init_values": 0.1, "ref_feat_shape": [2, 2]},
    )  # fmt: skip
    config = t.PerceptionLMConfig(
        text_config=t.LlamaConfig(**LLM, **ids(words)), vision_config=eye,
        vision_use_cls_token=True, projector_pooling_ratio=1,
        image_token_id=words.image_token_id, video_token_id=words.video_token_id,
    )  # fmt: skip
    images = t.PerceptionLMImageProcessor(tile_size=28, max_num_tiles=2)
    processor = t.PerceptionLMProcessor(
        t.PerceptionLMVideoProcessor(), images, words, patch_size=14, pooling_ratio=1
    )
    model = t.PerceptionLMForConditionalGeneration(config)
    save(folder, awake(model), processor, turns("<|image|>", *CHATML))


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
