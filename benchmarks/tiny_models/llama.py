"""Tiny models that answer prompts: Meta's."""

from pathlib import Path
from typing import Any

from tiny_models.chat_parts import CHATML, EYE, LLM, SIDE, chat_words, ids, llama_words, turns
from tiny_models.parts import awake, save, tokenizer


def open_eyed(model: Any) -> Any:
    """Gates that let pictures through: they begin closed, and no picture would matter."""
    import torch

    with torch.no_grad():
        for name, gate in model.named_parameters():
            if name.endswith("gate"):
                gate.fill_(1.0)
    return model


def mllama(folder: Path) -> None:
    import transformers as t

    specials = ["<|begin_of_text|>", "<|eot_id|>", "<pad>", "<|image|>", "<|python_tag|>"]
    specials += ["<|start_header_id|>", "<|end_header_id|>"]
    words = tokenizer(specials, bos="<|begin_of_text|>", eos="<|eot_id|>", pad="<pad>", wrap=(["<|begin_of_text|>"], []))  # fmt: skip
    text = {**LLM, "num_hidden_layers": 3, "cross_attention_layers": [1], **ids(words)}
    rope = {"rope_type": "default", "rope_theta": 1e4}
    eye = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "attention_heads": 4}
    eye |= {"num_global_layers": 1, "image_size": 32, "patch_size": 16, "max_num_tiles": 2}
    eye |= {"intermediate_layers_indices": [0], "vision_output_dim": 64}
    eye |= {"supported_aspect_ratios": [[1, 1], [1, 2], [2, 1]]}
    config = t.MllamaConfig(
        text_config={**text, "rope_parameters": rope, "vocab_size": 320},
        vision_config=eye,
        image_token_index=words.convert_tokens_to_ids("<|image|>"),
    )
    processor = t.MllamaProcessor(t.MllamaImageProcessor(size=SIDE, max_image_tiles=2), words)
    head = "<|start_header_id|>{}<|end_header_id|>\n\n"
    template = turns("<|image|>", head.format("ROLE"), "<|eot_id|>", head.format("assistant"), "{{ bos_token }}")  # fmt: skip
    save(folder, open_eyed(awake(t.MllamaForConditionalGeneration(config))), processor, template)


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
