"""Tiny models that answer prompts: heirs of families before them, and one with ears."""

from pathlib import Path

from talker_parts import CHATML, EYE, LLM, SIDE, chat_words, ids, llama_words, turns
from tiny_parts import awake, save

QWEN_IMAGE = "<|vision_start|><|image_pad|><|vision_end|>"
QWEN = ["<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]


def video_llama_3(folder: Path) -> None:
    import transformers as t

    words = chat_words(*QWEN, image_token="<|image_pad|>", video_token="<|video_pad|>")
    config = t.VideoLlama3Config(
        text_config={"model_type": "qwen2", **LLM, **ids(words)},
        vision_config={**EYE, "patch_size": 8},
        **ids(words, image_token_id="<|image_pad|>", video_token_id="<|video_pad|>"),
    )
    size = {"shortest_edge": 4 * 64, "longest_edge": 64 * 64}
    images = t.VideoLlama3ImageProcessor(patch_size=8, size=size, merge_size=1)
    processor = t.VideoLlama3Processor(images, words, t.VideoLlama3VideoProcessor())
    save(folder, awake(t.VideoLlama3ForConditionalGeneration(config)), processor, turns(QWEN_IMAGE, *CHATML))  # fmt: skip


def exaone4_5(folder: Path) -> None:
    import transformers as t

    words = chat_words(*QWEN, image_token="<|image_pad|>", video_token="<|video_pad|>")
    eye = {"depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 4}
    eye |= {"out_hidden_size": 32, "window_size": 56, "fullatt_block_indexes": [1]}
    text = {**LLM, "sliding_window": None, "layer_types": ["full_attention"] * 2, **ids(words)}
    config = t.Exaone4_5_Config(
        text_config={"model_type": "exaone4", **text},
        vision_config={**eye, "num_key_value_heads": 2},
        image_token_id=words.convert_tokens_to_ids("<|image_pad|>"),
        video_token_id=words.convert_tokens_to_ids("<|video_pad|>"),
    )
    size = {"shortest_edge": 4 * 14 * 14, "longest_edge": 64 * 14 * 14}
    images = t.Qwen2VLImageProcessor(patch_size=14, size=size)
    processor = t.Exaone4_5_Processor(images, words, t.Qwen2VLVideoProcessor())
    model = t.Exaone4_5_ForConditionalGeneration(config)
    save(folder, awake(model), processor, turns(QWEN_IMAGE, *CHATML))


def hunyuan_vl(folder: Path) -> None:
    import transformers as t

    named = {"image_token": "<img>", "image_start_token": "<img_start>"}
    named |= {"image_end_token": "<img_end>"}
    words = chat_words(*named.values(), "<img_newline>", **named)
    rope = {"rope_type": "default", "mrope_section": [1, 1, 1, 1], "rope_theta": 1e4}
    eye = {**EYE, "patch_size": 8, "text_hidden_size": 32, "out_hidden_size": 32}
    eye |= {"max_image_size": 64, "min_image_size": 16, "img_max_token_num": 64}
    config = t.HunYuanVLConfig(
        text_config={**LLM, "head_dim": 8, "rope_parameters": rope, **ids(words)},
        vision_config={k: v for k, v in eye.items() if k != "image_size"},
        image_token_id=words.convert_tokens_to_ids("<img>"),
        im_start_id=words.convert_tokens_to_ids("<img_start>"),
        im_end_id=words.convert_tokens_to_ids("<img_end>"),
        im_newline_id=words.convert_tokens_to_ids("<img_newline>"),
    )
    size = {"shortest_edge": 4 * 16 * 16, "longest_edge": 16 * 16 * 16}
    images = t.HunYuanVLImageProcessor(patch_size=8, size=size)
    processor = t.HunYuanVLProcessor(images, words)
    template = turns("<img_start><img><img_end>", *CHATML)
    save(folder, awake(t.HunYuanVLForConditionalGeneration(config), 0.05), processor, template)


def granite_docling(folder: Path) -> None:
    import transformers as t

    marks = ["<fake_token_around_image>", "<image>", "<global-img>"]
    words = chat_words(*marks, *(f"<row_{r}_col_{c}>" for r in (1, 2) for c in (1, 2)))
    eye = {**EYE, "patch_size": 8, "scale_factor": 2, "out_hidden_size": 32}
    config = t.GraniteDoclingConfig(
        text_config={**LLM, **ids(words), "residual_multiplier": 1.0, "attention_multiplier": 0.35},
        vision_config={**eye, "use_fine_route": False},
        image_token_id=words.convert_tokens_to_ids("<image>"),
        pad_token_id=words.pad_token_id,
    )
    images = t.GraniteDoclingImageProcessor(size=SIDE, max_patches=4)
    processor = t.GraniteDoclingProcessor(images, words, image_seq_len=4)
    template = turns("<image>", *CHATML)
    save(folder, awake(t.GraniteDoclingForConditionalGeneration(config), 0.05), processor, template)


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


def kosmos2_5(folder: Path) -> None:
    """Its prompts follow 16 places for a picture; the real one's 2,048."""
    import transformers as t

    named = {"boi_token": "<image>", "eoi_token": "</image>", "image_token": "<s>"}
    words = llama_words("<image>", "</image>", **named)
    text = {"vocab_size": 320, "embed_dim": 32, "layers": 2, "ffn_dim": 64, "attention_heads": 4}
    eye = {"hidden_size": 32, "patch_embed_hidden_size": 768, "intermediate_size": 64}
    eye |= {"head_dim": 8, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = t.Kosmos2_5Config(
        text_config={**text, **ids(words), "max_position_embeddings": 1024},
        vision_config={**eye, "max_num_patches": 4096},
        latent_query_num=16,
    )
    images = t.Kosmos2_5ImageProcessor()
    processor = t.Kosmos2_5Processor(images, words, num_image_tokens=16)
    save(folder, awake(t.Kosmos2_5ForConditionalGeneration(config), 0.05), processor)


def llava_next_video(folder: Path) -> None:
    import transformers as t

    words = llama_words("<image>", "<video>", image_token="<image>", video_token="<video>")
    grids = [[32, 64], [64, 32], [64, 64]]
    config = t.LlavaNextVideoConfig(
        text_config=t.LlamaConfig(**LLM, **ids(words)),
        vision_config=t.CLIPVisionConfig(**EYE),
        image_token_index=words.convert_tokens_to_ids("<image>"),
        video_token_index=words.convert_tokens_to_ids("<video>"),
        image_grid_pinpoints=grids,
        image_seq_length=4,
    )
    square = {"size": {"shortest_edge": 32}, "crop_size": SIDE}
    processor = t.LlavaNextVideoProcessor(
        t.LlavaNextVideoVideoProcessor(**square),
        t.LlavaNextImageProcessor(**square, image_grid_pinpoints=grids), words,
        patch_size=16, vision_feature_select_strategy="default", num_additional_image_tokens=1,
    )  # fmt: skip
    template = turns("<image>\n", "ROLE: ", " ", "ASSISTANT:")
    save(folder, awake(t.LlavaNextVideoForConditionalGeneration(config)), processor, template)
