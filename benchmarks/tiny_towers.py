"""Tiny two-tower models, by family: real classes, random weights."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tiny_parts import awake, save, tokenizer

TEXT = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
TEXT |= {"num_attention_heads": 4, "vocab_size": 320, "projection_dim": 24}
VISION = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
VISION |= {"num_attention_heads": 4, "image_size": 32, "patch_size": 16, "projection_dim": 24}
SIDE = {"height": 32, "width": 32}
EDGE = {"size": {"shortest_edge": 32}, "crop_size": SIDE}


def clip_words(length: int) -> Any:
    return tokenizer(
        ["<|startoftext|>", "<|endoftext|>"],
        bos="<|startoftext|>",
        eos="<|endoftext|>",
        wrap=(["<|startoftext|>"], ["<|endoftext|>"]),
        length=length,
    )


def bert_words() -> Any:
    return tokenizer(
        ["[PAD]", "[CLS]", "[SEP]", "[UNK]"],
        bos="[CLS]",
        eos="[SEP]",
        pad="[PAD]",
        wrap=(["[CLS]"], ["[SEP]"]),
        length=512,
    )


def roberta_words() -> Any:
    return tokenizer(
        ["<s>", "<pad>", "</s>", "<unk>"],
        bos="<s>",
        eos="</s>",
        pad="<pad>",
        wrap=(["<s>"], ["</s>"]),
    )


def clip(folder: Path, side: int = 32, patch: int = 16) -> None:
    import transformers as t

    ids = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
    text = {**TEXT, **ids, "max_position_embeddings": 24}
    config = t.CLIPConfig(
        text_config=text,
        vision_config={**VISION, "image_size": side, "patch_size": patch},
        projection_dim=24,
    )
    processor = t.CLIPProcessor(
        t.CLIPImageProcessor(
            size={"shortest_edge": side}, crop_size={"height": side, "width": side}
        ),
        clip_words(24),
    )
    save(folder, awake(t.CLIPModel(config)), processor)


def metaclip_2(folder: Path) -> None:
    import transformers as t

    ids = {"bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 1}
    text = {**TEXT, **ids, "max_position_embeddings": 24}
    config = t.MetaClip2Config(text_config=text, vision_config=VISION, projection_dim=24)
    words = tokenizer(
        ["<s>", "<pad>", "</s>"],
        bos="<s>",
        eos="</s>",
        pad="<pad>",
        wrap=(["<s>"], ["</s>"]),
        length=24,
    )
    save(
        folder,
        awake(t.MetaClip2Model(config)),
        t.CLIPProcessor(t.CLIPImageProcessor(**EDGE), words),
    )


def siglip(folder: Path) -> None:
    import transformers as t

    text = {**TEXT, "max_position_embeddings": 16, "projection_size": 32}
    config = t.SiglipConfig(text_config=text, vision_config=VISION)
    words = tokenizer(["<pad>", "</s>"], eos="</s>", pad="<pad>", wrap=([], ["</s>"]), length=16)
    processor = t.SiglipProcessor(t.SiglipImageProcessor(size=SIDE), words)
    save(folder, awake(t.SiglipModel(config)), processor)


def siglip2(folder: Path) -> None:
    """SigLIP 2 of fixed resolution: a SigLIP checkpoint with a Gemma tokenizer."""
    import transformers as t

    text = {**TEXT, "max_position_embeddings": 64, "projection_size": 32}
    config = t.SiglipConfig(text_config=text, vision_config=VISION)
    words = tokenizer(
        ["<pad>", "<eos>", "<bos>"],
        bos="<bos>",
        eos="<eos>",
        pad="<pad>",
        wrap=([], ["<eos>"]),
        length=64,
    )
    processor = t.SiglipProcessor(t.SiglipImageProcessor(size=SIDE), words)
    save(folder, awake(t.SiglipModel(config)), processor)


def siglip2_naflex(folder: Path) -> None:
    import transformers as t

    text = {**TEXT, "max_position_embeddings": 64, "projection_size": 32}
    vision = {k: v for k, v in VISION.items() if k != "image_size"}
    config = t.Siglip2Config(text_config=text, vision_config={**vision, "num_patches": 16})
    words = tokenizer(
        ["<pad>", "<eos>", "<bos>"],
        bos="<bos>",
        eos="<eos>",
        pad="<pad>",
        wrap=([], ["<eos>"]),
        length=64,
    )
    images = t.Siglip2ImageProcessor(patch_size=16, max_num_patches=256)
    save(folder, awake(t.Siglip2Model(config)), t.Siglip2Processor(images, words))


def altclip(folder: Path) -> None:
    import transformers as t

    ids = {"bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 1}
    text = {**TEXT, **ids, "max_position_embeddings": 42, "project_dim": 24}
    config = t.AltCLIPConfig(text_config=text, vision_config=VISION, projection_dim=24)
    processor = t.AltCLIPProcessor(t.CLIPImageProcessor(**EDGE), roberta_words())
    save(folder, awake(t.AltCLIPModel(config)), processor)


def chinese_clip(folder: Path) -> None:
    import transformers as t

    text = {**TEXT, "max_position_embeddings": 512, "pad_token_id": 0}
    config = t.ChineseCLIPConfig(text_config=text, vision_config=VISION, projection_dim=24)
    processor = t.ChineseCLIPProcessor(
        t.ChineseCLIPImageProcessor(size=SIDE, do_center_crop=False), bert_words()
    )
    save(folder, awake(t.ChineseCLIPModel(config)), processor)


def align(folder: Path) -> None:
    import transformers as t

    vision: dict[str, Any] = {
        "image_size": 64, "width_coefficient": 1.0, "depth_coefficient": 0.25, "hidden_dim": 32,
        "kernel_sizes": [3, 3], "in_channels": [32, 16], "out_channels": [16, 32], "strides": [1, 2],
        "num_block_repeats": [1, 1], "expand_ratios": [1, 6],
    }  # fmt: skip
    text = {**TEXT, "max_position_embeddings": 512, "pad_token_id": 0}
    config = t.AlignConfig(text_config=text, vision_config=vision, projection_dim=32)
    images = t.EfficientNetImageProcessor(size={"height": 64, "width": 64}, include_top=False)
    save(folder, awake(t.AlignModel(config)), t.AlignProcessor(images, bert_words()))


OF_CLIP = {**TEXT, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
OF_CLIP |= {"max_position_embeddings": 24}


def clipseg(folder: Path) -> None:
    import transformers as t

    config = t.CLIPSegConfig(
        text_config=OF_CLIP, vision_config=VISION, projection_dim=24, extract_layers=[0]
    )
    processor = t.CLIPSegProcessor(t.ViTImageProcessor(size=SIDE), clip_words(24))
    save(folder, awake(t.CLIPSegModel(config)), processor)


def groupvit(folder: Path) -> None:
    import transformers as t

    eye = {"hidden_size": 32, "intermediate_size": 64, "depths": [1, 1, 1], "num_hidden_layers": 3}
    eye |= {"num_attention_heads": 4, "image_size": 32, "patch_size": 16}
    eye |= {"num_group_tokens": [4, 2, 0], "num_output_groups": [4, 2, 0]}
    config = t.GroupViTConfig(
        text_config=OF_CLIP, vision_config=eye, projection_dim=24, projection_intermediate_dim=32
    )
    processor = t.CLIPProcessor(t.CLIPImageProcessor(**EDGE), clip_words(24))
    save(folder, awake(t.GroupViTModel(config)), processor)


def owlv2(folder: Path) -> None:
    """A detector, whose towers are two by themselves."""
    import transformers as t

    eye = {**VISION, "image_size": 96}
    config = t.Owlv2Config(text_config=OF_CLIP, vision_config=eye, projection_dim=24)
    processor = t.Owlv2Processor(
        t.Owlv2ImageProcessor(size={"height": 96, "width": 96}), clip_words(24)
    )
    save(folder, awake(t.Owlv2ForObjectDetection(config)), processor)


def two_encoders(folder: Path) -> None:
    """ViT and BERT behind projections of their own, as LiT has them."""
    import transformers as t

    words, sizes = bert_words(), {"hidden_size": 32, "intermediate_size": 64}
    sizes |= {"num_hidden_layers": 2, "num_attention_heads": 4}
    config = t.VisionTextDualEncoderConfig.from_vision_text_configs(
        t.ViTConfig(**sizes, image_size=32, patch_size=16),
        t.BertConfig(**sizes, vocab_size=320, pad_token_id=words.pad_token_id),
        projection_dim=24,
    )
    processor = t.VisionTextDualEncoderProcessor(t.ViTImageProcessor(size=SIDE), words)
    save(folder, awake(t.VisionTextDualEncoderModel(config)), processor)


def flava(folder: Path) -> None:
    """Its towers give a vector of each token."""
    import transformers as t

    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    sizes |= {"num_attention_heads": 4}
    config = t.FlavaConfig(
        image_config={**sizes, "image_size": 32, "patch_size": 16},
        text_config={**sizes, "vocab_size": 320, "max_position_embeddings": 512},
        multimodal_config=sizes,
        hidden_size=32,
        projection_dim=24,
    )
    images = t.FlavaImageProcessor(size=SIDE, crop_size=SIDE)
    save(folder, awake(t.FlavaModel(config)), t.FlavaProcessor(images, bert_words()))


def open_clip(folder: Path) -> None:
    """A checkpoint in open_clip's own format, which transformers does not read."""
    import open_clip as library
    from safetensors.torch import save_file

    vision = {"image_size": 32, "layers": 2, "width": 64, "patch_size": 16}
    text = {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2}
    config = {"embed_dim": 24, "vision_cfg": vision, "text_cfg": text}
    model = awake(library.CLIP(**config))
    folder.mkdir()
    save_file(dict(model.state_dict()), folder / "open_clip_model.safetensors")
    described = {"model_cfg": config, "preprocess_cfg": {"interpolation": "bicubic"}}
    (folder / "open_clip_config.json").write_text(json.dumps(described))


TOWERS: dict[str, Callable[[Path], None]] = {
    "CLIP": clip,
    "open_clip": open_clip,
    "SigLIP": siglip,
    "SigLIP 2 (fixed)": siglip2,
    "SigLIP 2 (NaFlex)": siglip2_naflex,
    "AltCLIP": altclip,
    "ChineseCLIP": chinese_clip,
    "MetaCLIP 2": metaclip_2,
    "ALIGN": align,
    "CLIPSeg": clipseg,
    "GroupViT": groupvit,
    "OWLv2 (detector)": owlv2,
    "ViT and BERT (LiT)": two_encoders,
}
