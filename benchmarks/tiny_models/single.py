"""Tiny models that answer prompts: families of which there is one."""

from pathlib import Path

from tiny_models.chat_parts import (
    CHATML,
    EYE,
    LLM,
    QWEN,
    QWEN_IMAGE,
    SIDE,
    chat_words,
    ids,
    llama_words,
    turns,
)
from tiny_models.parts import awake, save, tokenizer


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


def ovis2(folder: Path) -> None:
    import transformers as t

    indicators = ["<IMG_START>", "<IMG_GRID>", "<IMG_COL>", "<IMG_ROW>", "<IMG_END>"]
    words = chat_words("<image>", "<IMG_ATOM>", *indicators, image_token="<image>")
    eye = {**EYE, "patch_size": 8, "vocab_size": 64, "hidden_stride": 2}
    eye |= {"num_visual_indicator_tokens": 5}
    config = t.Ovis2Config(
        text_config=t.Qwen2Config(**LLM, **ids(words)),
        vision_config=eye,
        image_token_id=words.convert_tokens_to_ids("<IMG_ATOM>"),
        visual_indicator_token_ids=words.convert_tokens_to_ids(indicators),
        vocab_size=320,
        hidden_size=32,
    )
    images = t.Ovis2ImageProcessor(size=SIDE, max_patches=2)
    processor = t.Ovis2Processor(images, words, image_token="<image>", image_seq_length=4)
    model = t.Ovis2ForConditionalGeneration(config)
    save(folder, awake(model), processor, turns("<image>\n", *CHATML))


def aria(folder: Path) -> None:
    import transformers as t

    words = chat_words("<|img|>", image_token="<|img|>")
    text = {**LLM, **ids(words), "moe_num_experts": 4, "moe_topk": 2, "moe_num_shared_experts": 1}
    config = t.AriaConfig(
        text_config=t.AriaTextConfig(**text),
        vision_config={**EYE, "model_type": "idefics3_vision", "image_size": 980, "patch_size": 70},
        projector_patch_to_query_dict={49: 4, 196: 8},
        image_token_index=words.convert_tokens_to_ids("<|img|>"),
    )
    images = t.AriaImageProcessor(max_image_size=490, split_image=False)
    processor = t.AriaProcessor(images, words, size_conversion={490: 4, 980: 8})
    save(
        folder, awake(t.AriaForConditionalGeneration(config)), processor, turns("<|img|>", *CHATML)
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
