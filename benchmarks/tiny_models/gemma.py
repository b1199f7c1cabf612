"""Tiny models that answer prompts: Gemma and PaliGemma."""

from pathlib import Path

from tiny_models.chat_parts import CHATML, EYE, LLM, SIDE, chat_words, ids, turns
from tiny_models.parts import awake, save, tokenizer


def paligemma(folder: Path) -> None:
    import transformers as t

    words = tokenizer(
        ["<pad>", "<eos>", "<bos>", "<image>"],
        bos="<bos>",
        eos="<eos>",
        pad="<pad>",
        image_token="<image>",
    )
    images = t.SiglipImageProcessor(size=SIDE)
    images.image_seq_length = 4
    processor = t.PaliGemmaProcessor(images, words)
    size = len(words)
    text = t.GemmaConfig(**{**LLM, "vocab_size": size}, head_dim=8, **ids(words))
    config = t.PaliGemmaConfig(
        text_config=text,
        vision_config=t.SiglipVisionConfig(**EYE, vision_use_head=False, projection_dim=32),
        image_token_index=words.convert_tokens_to_ids("<image>"),
        projection_dim=32,
        hidden_size=32,
    )
    save(folder, awake(t.PaliGemmaForConditionalGeneration(config), 0.05), processor)


def gemma3(folder: Path) -> None:
    import transformers as t

    specials = ["<pad>", "<eos>", "<bos>", "<start_of_turn>", "<end_of_turn>", "<start_of_image>"]
    specials += ["<end_of_image>", "<image_soft_token>"]
    named = {"boi_token": "<start_of_image>", "eoi_token": "<end_of_image>"}
    named["image_token"] = "<image_soft_token>"
    words = tokenizer(
        specials, bos="<bos>", eos="<eos>", pad="<pad>", wrap=(["<bos>"], []), **named
    )
    config = t.Gemma3Config(
        text_config=t.Gemma3TextConfig(**LLM, head_dim=8, query_pre_attn_scalar=8, **ids(words)),
        vision_config=t.SiglipVisionConfig(**EYE, vision_use_head=False),
        mm_tokens_per_image=4,
        **{
            f"{name}_token_index": words.convert_tokens_to_ids(named[f"{name}_token"])
            for name in ("boi", "eoi", "image")
        },
    )
    processor = t.Gemma3Processor(t.Gemma3ImageProcessor(size=SIDE), words, image_seq_length=4)
    template = turns("<start_of_image>", "<start_of_turn>ROLE\n", "<end_of_turn>\n", "<start_of_turn>model\n", "{{ bos_token }}")  # fmt: skip
    save(folder, awake(t.Gemma3ForConditionalGeneration(config), 0.05), processor, template)


def gemma3n(folder: Path) -> None:
    """Its eye is a convolutional network of timm's; the real one's is MobileNet-V5."""
    import transformers as t

    named = {"image_token": "<image_soft_token>", "boi_token": "<start_of_image>"}
    named |= {"eoi_token": "<end_of_image>", "audio_token": "<audio_soft_token>"}
    named |= {"boa_token": "<start_of_audio>", "eoa_token": "<end_of_audio>"}
    words = chat_words(*named.values(), **named)
    places = ids(words, **{f"{name}_id": mark for name, mark in named.items()})
    text = {
        **LLM, **ids(words), "head_dim": 8, "layer_types": ["sliding_attention", "full_attention"],
        "hidden_size_per_layer_input": 8, "vocab_size_per_layer_input": 320, "laurel_rank": 8,
        "num_kv_shared_layers": 0, "activation_sparsity_pattern": [0.0, 0.0], "sliding_window": 512,
    }  # fmt: skip
    eye = {"architecture": "resnet18", "hidden_size": 32, "vocab_offset": 320, "vocab_size": 8}
    eye |= {"model_args": {"layers": [1, 1, 1, 1], "channels": [8, 8, 16, 32]}}
    ear = {"hidden_size": 32, "conf_num_attention_heads": 4, "conf_num_hidden_layers": 1}
    ear |= {"vocab_size": 8, "vocab_offset": 328, "sscp_conv_channel_size": [8, 8]}
    config = t.Gemma3nConfig(
        text_config=text, vision_config=eye, audio_config=ear, vision_soft_tokens_per_image=4,
        **{k: v for k, v in places.items() if k not in ("bos_token_id", "eos_token_id", "pad_token_id")},
    )  # fmt: skip
    images = t.SiglipImageProcessor(size={"height": 64, "width": 64})
    processor = t.Gemma3nProcessor(
        t.Gemma3nAudioFeatureExtractor(), images, words, image_seq_length=4
    )
    template = turns("<image_soft_token>", *CHATML)
    save(folder, awake(t.Gemma3nForConditionalGeneration(config), 0.05), processor, template)


def gemma4(folder: Path) -> None:
    import transformers as t

    named = {"image_token": "<|image|>", "boi_token": "<|image>", "eoi_token": "<image|>"}
    named |= {"audio_token": "<|audio|>", "boa_token": "<|audio>", "eoa_token": "<audio|>"}
    words = chat_words(*named.values(), "<|video|>", **named)
    text = {
        **LLM, "head_dim": 8, "hidden_size_per_layer_input": 8, "vocab_size_per_layer_input": 320,
        "layer_types": ["sliding_attention", "full_attention"], "global_head_dim": 8,
        "sliding_window": 512, **ids(words),
    }  # fmt: skip
    eye = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "head_dim": 8}
    eye |= {"num_attention_heads": 4, "num_key_value_heads": 4, "position_embedding_size": 256}
    config = t.Gemma4Config(
        text_config=text,
        vision_config={**eye, "patch_size": 8, "pooling_kernel_size": 2},
        **ids(words, image_token_id="<|image|>", boi_token_id="<|image>", eoi_token_id="<image|>"),
        audio_token_id=words.convert_tokens_to_ids("<|audio|>"),
        video_token_id=words.convert_tokens_to_ids("<|video|>"),
    )
    images = t.Gemma4ImageProcessor(patch_size=8, max_soft_tokens=70, pooling_kernel_size=2)
    processor = t.Gemma4Processor(
        t.Gemma4AudioFeatureExtractor(), images, words, t.Gemma4VideoProcessor()
    )
    model = t.Gemma4ForConditionalGeneration(config)
    save(folder, awake(model, 0.05), processor, turns("<|image|>", *CHATML))


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
