"""Tiny models that answer prompts: families that came later, and BLIP's."""

from pathlib import Path
from typing import Any

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
    llama_words,
    turns,
)
from tiny_parts import awake, save, tokenizer

QWEN = ["<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
QWEN_IMAGE = "<|vision_start|><|image_pad|><|vision_end|>"


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


def lfm2_vl(folder: Path) -> None:
    """Its text model has a layer of convolutions, whose state padding must not touch."""
    import transformers as t

    named = {"image_token": "<image>", "image_start_token": "<|image_start|>"}
    named |= {"image_end_token": "<|image_end|>", "image_thumbnail": "<|img_thumbnail|>"}
    words = chat_words(*named.values(), *(f"<|img_row_{r}_col_{c}|>" for r in (1, 2) for c in (1, 2)), **named)  # fmt: skip
    text = t.Lfm2Config(**{**LLM, "block_auto_adjust_ff_dim": False}, layer_types=["conv", "full_attention"], **ids(words))  # fmt: skip
    eye = t.Siglip2VisionConfig(**{**EYE, "patch_size": 8}, num_patches=64, vision_use_head=False)
    config = t.Lfm2VlConfig(
        text_config=text,
        vision_config=eye,
        image_token_id=words.convert_tokens_to_ids("<image>"),
        projector_hidden_size=32,
    )
    images = t.Lfm2VlImageProcessor(
        do_image_splitting=False, tile_size=32, encoder_patch_size=8, min_image_tokens=1,
        max_image_tokens=16, max_num_patches=64, use_thumbnail=False, max_tiles=2, min_tiles=1,
    )  # fmt: skip
    model = t.Lfm2VlForConditionalGeneration(config)
    save(folder, awake(model), t.Lfm2VlProcessor(images, words), turns("<image>", *CHATML))


def aya_vision(folder: Path) -> None:
    import transformers as t

    marks = ["<|START_OF_IMG|>", "<|END_OF_IMG|>", "<|IMG_PATCH|>", "<|IMG_LINE_BREAK|>"]
    words = chat_words("<image>", *marks, "TILE", "TILE_GLOBAL", *(f"TILE_{i}" for i in range(9)))
    config = t.AyaVisionConfig(
        text_config=t.Cohere2Config(**LLM, head_dim=8, **ids(words)),
        vision_config=t.SiglipVisionConfig(**{**EYE, "patch_size": 8}, vision_use_head=False),
        image_token_index=words.convert_tokens_to_ids("<|IMG_PATCH|>"),
        adapter_layer_norm_eps=1e-6,
        alignment_intermediate_size=32,
    )
    images = t.GotOcr2ImageProcessor(size=SIDE, crop_to_patches=True, max_patches=2)
    processor = t.AyaVisionProcessor(images, words, patch_size=8, img_size=32, downsample_factor=2)
    model = t.AyaVisionForConditionalGeneration(config)
    save(folder, awake(model, 0.05), processor, turns("<image>", *CHATML))


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


def cohere2_vision(folder: Path) -> None:
    import transformers as t

    named = {"boi_token": "<|START_OF_IMG|>", "eoi_token": "<|END_OF_IMG|>"}
    named |= {"image_token": "<|IMG_PATCH|>", "img_line_break_token": "<|IMG_LINE_BREAK|>"}
    words = chat_words(*named.values(), **named)
    config = t.Cohere2VisionConfig(
        text_config=t.Cohere2Config(**LLM, head_dim=8, **ids(words)),
        vision_config=t.SiglipVisionConfig(**{**EYE, "patch_size": 8}, vision_use_head=False),
        image_token_id=words.convert_tokens_to_ids("<|IMG_PATCH|>"),
        alignment_intermediate_size=64,
    )
    images = t.Cohere2VisionImageProcessor(size=SIDE, patch_size=2, max_patches=2)
    model = t.Cohere2VisionForConditionalGeneration(config)
    save(folder, awake(model, 0.05), t.Cohere2VisionProcessor(images, words), turns("<|IMG_PATCH|>", *CHATML))  # fmt: skip


def idefics2(folder: Path) -> None:
    import transformers as t

    specials = ["<fake_token_around_image>", "<image>", "<end_of_utterance>"]
    words = llama_words(*specials)
    config = t.Idefics2Config(
        text_config=t.MistralConfig(**LLM, **ids(words)),
        vision_config={**EYE, "patch_size": 8, "image_size": 64},
        perceiver_config={
            "resampler_n_latents": 4, "resampler_depth": 1, "resampler_n_heads": 4,
            "resampler_head_dim": 8, "num_key_value_heads": 2, "hidden_size": 32,
        },
        image_token_id=words.convert_tokens_to_ids("<image>"),
    )  # fmt: skip
    images = t.Idefics2ImageProcessor(
        size={"shortest_edge": 32, "longest_edge": 64}, do_image_splitting=False
    )
    processor = t.Idefics2Processor(images, words, image_seq_len=4)
    template = turns("<image>", "ROLE:", "<end_of_utterance>\n", "Assistant:")
    model = t.Idefics2ForConditionalGeneration(config)
    model.resize_token_embeddings(320)
    save(folder, awake(model), processor, template)


def vipllava(folder: Path) -> None:
    import transformers as t

    words = llama_words("<image>", image_token="<image>")
    config = t.VipLlavaConfig(
        text_config=t.LlamaConfig(**LLM, **ids(words)),
        vision_config=t.CLIPVisionConfig(**EYE),
        image_token_index=words.convert_tokens_to_ids("<image>"),
        image_seq_length=4,
        vision_feature_layers=[-1, -2],
    )
    images = t.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=SIDE)
    processor = t.LlavaProcessor(
        images, words, patch_size=16, vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
    )  # fmt: skip
    template = turns("<image>\n", "###ROLE: ", "", "###Assistant:")
    save(folder, awake(t.VipLlavaForConditionalGeneration(config)), processor, template)


def blip(folder: Path) -> None:
    """The prompt is the beginning of the caption, as in the family's example."""
    import transformers as t

    words = tokenizer(["[PAD]", "[CLS]", "[SEP]", "[DEC]"], bos="[DEC]", eos="[SEP]", pad="[PAD]", wrap=(["[CLS]"], ["[SEP]"]))  # fmt: skip
    text = {"vocab_size": 320, "hidden_size": 32, "intermediate_size": 64, "projection_dim": 32}
    text |= {"encoder_hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    text |= {"sep_token_id": words.eos_token_id, **ids(words)}
    config = t.BlipConfig(text_config=text, vision_config=EYE)
    processor = t.BlipProcessor(t.BlipImageProcessor(size=SIDE), words)
    save(folder, awake(t.BlipForConditionalGeneration(config)), processor)


def instructblip(folder: Path) -> None:
    import transformers as t

    words = tokenizer(["<pad>", "</s>", "<image>"], bos="</s>", eos="</s>", pad="<pad>", wrap=(["</s>"], []))  # fmt: skip
    asked = tokenizer(["[PAD]", "[CLS]", "[SEP]"], eos="[SEP]", pad="[PAD]", wrap=(["[CLS]"], ["[SEP]"]))  # fmt: skip
    processor = t.InstructBlipProcessor(
        t.BlipImageProcessor(size=SIDE), words, asked, num_query_tokens=4
    )
    text = t.OPTConfig(
        vocab_size=320, hidden_size=32, ffn_dim=64, num_hidden_layers=2, num_attention_heads=4,
        word_embed_proj_dim=32, max_position_embeddings=1024, **ids(words),
    )  # fmt: skip
    former = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "vocab_size": 320}
    former |= {"num_attention_heads": 4, "encoder_hidden_size": 32}
    config = t.InstructBlipConfig(
        text_config=text.to_dict(), vision_config=EYE, qformer_config=former, num_query_tokens=4,
        image_token_index=words.convert_tokens_to_ids("<image>"),
    )  # fmt: skip
    save(folder, awake(t.InstructBlipForConditionalGeneration(config)), processor)


def git(folder: Path) -> None:
    import transformers as t

    words = tokenizer(["[PAD]", "[CLS]", "[SEP]"], bos="[CLS]", eos="[SEP]", pad="[PAD]", wrap=(["[CLS]"], ["[SEP]"]))  # fmt: skip
    text = {"vocab_size": 320, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    config = t.GitConfig(
        **text, num_attention_heads=4, vision_config=EYE, max_position_embeddings=512, **ids(words)
    )
    images = t.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=SIDE)
    save(folder, awake(t.GitForCausalLM(config)), t.GitProcessor(images, words))
