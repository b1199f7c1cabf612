"""Tiny encoders of pictures alone, by family: real classes, random weights."""

from pathlib import Path
from typing import Any

from tiny_models.parts import awake

SIZES = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
SIZES |= {"num_attention_heads": 4, "image_size": 32, "patch_size": 16}


def processor() -> Any:
    import transformers as t

    edge = {"height": 32, "width": 32}
    return t.BitImageProcessor(size={"shortest_edge": 36}, crop_size=edge)


def save(folder: Path, model: Any) -> None:
    awake(model).save_pretrained(folder)
    processor().save_pretrained(folder)


def dinov2(folder: Path) -> None:
    import transformers as t

    save(folder, t.Dinov2Model(t.Dinov2Config(**SIZES)))


def dinov2_with_registers(folder: Path) -> None:
    import transformers as t

    config = t.Dinov2WithRegistersConfig(**SIZES, num_register_tokens=3)
    save(folder, t.Dinov2WithRegistersModel(config))


def vit(folder: Path) -> None:
    """As DINO's checkpoints are: without the weights of the pooling layer."""
    import transformers as t

    save(folder, t.ViTModel(t.ViTConfig(**SIZES), add_pooling_layer=False))


def beit(folder: Path) -> None:
    import transformers as t

    save(folder, t.BeitModel(t.BeitConfig(**SIZES, use_mean_pooling=False)))


def resnet(folder: Path) -> None:
    import transformers as t

    config = t.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1])
    save(folder, t.ResNetModel(config))
