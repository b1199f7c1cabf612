"""Tiny two-tower models that are none of CLIP's kin, and models that are near to one."""

from pathlib import Path
from typing import Any

from tiny_models.parts import awake, save, tokenizer
from tiny_models.tower_parts import EDGE, SIDE, TEXT, VISION, bert_words, clip_words


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


def aimv2(folder: Path) -> None:
    """AIMv2's image tower and a text tower beside it, as its LiT checkpoint has them."""
    import transformers as t

    text = {name: value for name, value in TEXT.items() if name != "projection_dim"}
    eye = {name: value for name, value in VISION.items() if name != "projection_dim"}
    config = t.Aimv2Config(
        text_config={**text, "eos_token_id": 1, "max_position_embeddings": 24},
        vision_config=eye,
        projection_dim=24,
    )
    processor = t.CLIPProcessor(t.CLIPImageProcessor(**EDGE), clip_words(24))
    save(folder, awake(t.Aimv2Model(config)), processor)


def blip_towers(folder: Path) -> None:
    """BLIP with projections, as `BlipModel` writes it."""
    import transformers as t

    ids = {"bos_token_id": 1, "eos_token_id": 2, "sep_token_id": 2, "pad_token_id": 0}
    text = {**TEXT, **ids, "encoder_hidden_size": 32, "max_position_embeddings": 48}
    config = t.BlipConfig(text_config=text, vision_config=VISION, projection_dim=24)
    processor = t.BlipProcessor(t.BlipImageProcessor(size=SIDE), bert_words())
    save(folder, awake(t.BlipModel(config)), processor)


def tipsv2(folder: Path) -> None:
    import transformers as t

    text = {name: value for name, value in TEXT.items() if name != "projection_dim"}
    eye = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "mlp_ratio": 2}
    config = t.Tipsv2Config(
        text_config={**text, "max_position_embeddings": 64, "pad_token_id": 0},
        vision_config={**eye, "image_size": 32, "patch_size": 16},
    )
    words = tokenizer(["<pad>", "</s>"], pad="<pad>", eos="</s>", length=64)
    processor = t.Tipsv2Processor(t.Tipsv2ImageProcessor(size=SIDE), words)
    save(folder, awake(t.Tipsv2Model(config)), processor)


def videoprism(folder: Path) -> None:
    import transformers as t

    eye = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 4, "image_size": 36}
    eye |= {"num_spatial_layers": 1, "num_temporal_layers": 1, "num_auxiliary_layers": 1}
    text = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "vocab_size": 320}
    config = t.VideoPrismConfig(vision_config=eye, text_config={**text, "num_attention_heads": 4})
    processor = t.CLIPProcessor(t.CLIPImageProcessor(**EDGE), clip_words(24))
    save(folder, awake(t.VideoPrismClipModel(config)), processor)
