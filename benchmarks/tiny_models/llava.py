"""Tiny models that answer prompts: LLaVA and its heirs."""

from pathlib import Path

from tiny_models.chat_parts import CHATML, EYE, LLM, SIDE, chat_words, ids, llama_words, turns
from tiny_models.parts import awake, save


def llava(folder: Path) -> None:
    import transformers as t

    words = llama_words("<image>", image_token="<image>")
    config = t.LlavaConfig(
        text_config=t.LlamaConfig(**LLM, **ids(words)),
        vision_config=t.CLIPVisionConfig(**EYE),
        image_token_index=words.convert_tokens_to_ids("<image>"),
        image_seq_length=4,
    )
    images = t.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=SIDE)
    processor = t.LlavaProcessor(
        images,
        words,
        patch_size=16,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
    )
    template = turns("<image>\n", "ROLE: ", " ", "ASSISTANT:")
    save(folder, awake(t.LlavaForConditionalGeneration(config)), processor, template)


def llava_next(folder: Path) -> None:
    import transformers as t

    words = llama_words("<image>", image_token="<image>")
    grids = [[32, 64], [64, 32], [64, 64]]
    config = t.LlavaNextConfig(
        text_config=t.MistralConfig(**LLM, **ids(words)),
        vision_config=t.CLIPVisionConfig(**EYE),
        image_token_index=words.convert_tokens_to_ids("<image>"),
        image_grid_pinpoints=grids,
        image_seq_length=4,
    )
    images = t.LlavaNextImageProcessor(
        size={"shortest_edge": 32}, crop_size=SIDE, image_grid_pinpoints=grids
    )
    processor = t.LlavaNextProcessor(
        images,
        words,
        patch_size=16,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
    )
    template = turns("<image>\n", "[INST] ", " [/INST]", "")
    save(folder, awake(t.LlavaNextForConditionalGeneration(config)), processor, template)


def llava_onevision(folder: Path) -> None:
    import transformers as t

    words = chat_words("<image>", "<video>", image_token="<image>", video_token="<video>")
    grids = [[32, 32], [32, 64], [64, 32], [64, 64]]
    config = t.LlavaOnevisionConfig(
        text_config=t.Qwen2Config(**LLM, **ids(words)),
        vision_config=t.SiglipVisionConfig(**EYE, vision_use_head=False),
        image_token_index=words.convert_tokens_to_ids("<image>"),
        video_token_index=words.convert_tokens_to_ids("<video>"),
        image_grid_pinpoints=grids,
    )
    processor = t.LlavaOnevisionProcessor(
        t.LlavaOnevisionImageProcessor(size=SIDE, image_grid_pinpoints=grids),
        words,
        t.LlavaOnevisionVideoProcessor(size=SIDE),
        num_image_tokens=4,
        vision_feature_select_strategy="full",
    )
    template = turns("<image>\n", *CHATML)
    save(folder, awake(t.LlavaOnevisionForConditionalGeneration(config)), processor, template)


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


def video_llava(folder: Path) -> None:
    import transformers as t

    words = llama_words("<image>", "<video>")
    eye = t.CLIPVisionConfig(**EYE)
    config = t.VideoLlavaConfig(
        text_config=t.LlamaConfig(**LLM, **ids(words)), vision_config=eye,
        image_token_index=words.convert_tokens_to_ids("<image>"),
        video_token_index=words.convert_tokens_to_ids("<video>"),
        image_seq_length=4, video_seq_length=40,
    )  # fmt: skip
    square = {"size": {"shortest_edge": 32}, "crop_size": SIDE}
    processor = t.VideoLlavaProcessor(
        t.VideoLlavaImageProcessor(**square), t.VideoLlavaVideoProcessor(**square), words,
        patch_size=16, vision_feature_select_strategy="default", num_additional_image_tokens=1,
    )  # fmt: skip
    template = turns("<image>\n", "ROLE: ", " ", "ASSISTANT:")
    save(folder, awake(t.VideoLlavaForConditionalGeneration(config)), processor, template)


def fast_vlm(folder: Path) -> None:
    """Its eye is a convolutional network of timm's."""
    import transformers as t

    words = chat_words("<image>", image_token="<image>")
    eye = {"model_type": "timm_wrapper", "architecture": "resnet18", "do_pooling": False}
    eye |= {"model_args": {"layers": [1, 1, 1, 1], "channels": [8, 8, 16, 32]}}
    config = t.FastVlmConfig(
        text_config={"model_type": "qwen2", **LLM, **ids(words)},
        vision_config={**eye, "hidden_size": 32},
        image_token_id=words.convert_tokens_to_ids("<image>"),
        image_seq_length=4,
    )
    images = t.CLIPImageProcessor(size={"shortest_edge": 64}, crop_size={"height": 64, "width": 64})
    processor = t.LlavaProcessor(
        images, words, patch_size=32, vision_feature_select_strategy="full",
        num_additional_image_tokens=0,
    )  # fmt: skip
    template = turns("<image>\n", *CHATML)
    save(folder, awake(t.FastVlmForConditionalGeneration(config)), processor, template)


def granite_vision(folder: Path) -> None:
    """Windows of patches are asked by a small Q-Former, for several layers of its text model."""
    import transformers as t

    words = chat_words("<image>", image_token="<image>")
    grids = [[32, 64], [64, 32], [64, 64]]
    eye = {**EYE, "hidden_size": 64, "patch_size": 8, "num_hidden_layers": 3}
    config = t.Granite4VisionConfig(
        text_config={**LLM, **ids(words), "num_hidden_layers": 4},
        vision_config={"model_type": "siglip_vision_model", **eye},
        image_token_index=words.convert_tokens_to_ids("<image>"),
        image_grid_pinpoints=grids,
        vision_feature_select_strategy="full",
        downsample_rate="1/2",
        deepstack_layer_map=[[-1, 0], [-2, 1]],
        spatial_vision_layer=-1,
        spatial_target_layers=[2, 3, 2, 3],
        qformer_config={
            "model_type": "blip_2_qformer",
            "num_hidden_layers": 1,
            "intermediate_size": 64,
            "use_qformer_text_input": False,
        },
    )
    images = t.LlavaNextImageProcessor(size=SIDE, crop_size=SIDE, image_grid_pinpoints=grids)
    processor = t.Granite4VisionProcessor(
        images, words, patch_size=8, vision_feature_select_strategy="full", downsample_rate="1/2"
    )
    template = turns("<image>\n", *CHATML)
    save(folder, awake(t.Granite4VisionForConditionalGeneration(config)), processor, template)
