"""Tiny models that answer prompts: families of 2025 and 2026, and those that see by tokens of a
codebook.
"""

from pathlib import Path

from talker_parts import CHATML, EYE, LLM, SIDE, chat_words, ids, llama_words, turns
from tiny_parts import awake, save


def llama4(folder: Path) -> None:
    """Images are cut into tiles; its text model has experts."""
    import transformers as t

    marks = ["<|image|>", "<|patch|>", "<|image_start|>", "<|image_end|>"]
    marks += ["<|tile_x_separator|>", "<|tile_y_separator|>"]
    words = chat_words(*marks)
    config = t.Llama4Config(
        text_config={
            **LLM, "head_dim": 8, "intermediate_size_mlp": 64, "num_local_experts": 2,
            **ids(words), "attn_temperature_tuning": False, "attention_chunk_size": 4096,
        },
        vision_config={
            **EYE, "patch_size": 8, "vision_output_dim": 32, "projector_input_dim": 32,
            "projector_output_dim": 32, "intermediate_size": 128,
        },
        **ids(words, image_token_index="<|patch|>", boi_token_index=marks[2]),
    )  # fmt: skip
    images = t.Llama4ImageProcessor(size=SIDE, max_patches=2)
    processor = t.Llama4Processor(images, words, patch_size=8)
    model = t.Llama4ForConditionalGeneration(config)
    save(folder, awake(model), processor, turns("<|image|>", *CHATML))


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


def emu3(folder: Path) -> None:
    """An image is tokens of a codebook, found in the vocabulary by their names."""
    import transformers as t

    named = {"image_token": "<image>", "boi_token": "<|image start|>", "eoi_token": "<|image end|>"}
    named |= {"image_wrapper_token": "<|image token|>", "eof_token": "<|extra_201|>"}
    codes = [f"<|visual token {i:06d}|>" for i in range(16)]
    words = llama_words(*named.values(), "<|extra_200|>", *codes, **named)
    vq = {"codebook_size": 16, "embed_dim": 4, "latent_channels": 4, "base_channels": 32}
    vq |= {"channel_multiplier": [1, 1, 1, 1], "num_res_blocks": 1, "hidden_size": 32}
    names = {name: words.convert_tokens_to_ids(name) for name in [*named.values(), *codes, "<|extra_200|>"]}  # fmt: skip
    config = t.Emu3Config(
        text_config={**LLM, **ids(words)},
        vq_config={**vq, "attn_resolutions": []},
        vocabulary_map=names,
    )
    images = t.Emu3ImageProcessor(min_pixels=64 * 64, max_pixels=80 * 80)
    processor = t.Emu3Processor(images, words)
    template = turns("<image>", "ROLE: ", " ", "ASSISTANT:")
    save(folder, awake(t.Emu3ForConditionalGeneration(config)), processor, template)


def chameleon(folder: Path) -> None:
    """Without a chat template: its example writes `<image>` into the prompt."""
    import transformers as t

    named = {"image_token": "<image>", "boi_token": "<racm3:break>", "eoi_token": "<eoss>"}
    codes = [f"IMGIMG{a}{b}Z" for a in "AB" for b in "ABCDEFGH"]
    words = llama_words(*named.values(), *codes, "<reserved08706>", **named)
    words.sep_token = "<reserved08706>"
    vq = {"embed_dim": 8, "num_embeddings": 16, "latent_channels": 8, "base_channels": 32}
    vq |= {"channel_multiplier": [1, 1, 1], "num_res_blocks": 1, "resolution": 32}
    names = {name: words.convert_tokens_to_ids(name) for name in ["<image>", *codes]}
    config = t.ChameleonConfig(**LLM, **ids(words), vq_config=vq, vocabulary_map=names)
    images = t.ChameleonImageProcessor(size={"shortest_edge": 32}, crop_size=SIDE)
    processor = t.ChameleonProcessor(images, words, image_seq_length=64)
    save(folder, awake(t.ChameleonForConditionalGeneration(config)), processor)
