"""Encoders of pictures alone (DINOv2, ViT, ConvNeXt, …): a vector for an image, none for a text."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from PIL import Image

from pairmill.errors import StageBroken
from pairmill.models.fast_pixels import fast_pixels
from pairmill.models.files import checkpoint_folder, read_json
from pairmill.models.library import transformers
from pairmill.models.load import Spec, load, load_config
from pairmill.models.loaded_model import LoadedModel
from pairmill.models.pixels import greys
from pairmill.models.transfers import Inputs, placed
from pairmill.models.two_towers import BYTES, compile_layers

Pooling = Literal["cls", "mean", "pooler"]
FAMILIES: dict[str, Pooling] = {
    "dinov2": "cls", "dinov2_with_registers": "cls", "dinov3_vit": "cls", "vit": "cls",
    "deit": "cls", "vit_msn": "cls", "ijepa": "mean", "clip_vision_model": "pooler",
    "siglip_vision_model": "pooler", "siglip2_vision_model": "pooler", "dinov3_convnext": "pooler",
    "resnet": "pooler", "regnet": "pooler", "convnext": "pooler", "convnextv2": "pooler",
    "swin": "pooler", "swinv2": "pooler", "hiera": "pooler", "focalnet": "pooler",
    "efficientnet": "pooler", "bit": "pooler", "timm_wrapper": "pooler",
}  # fmt: skip
"""How a family's own examples make one vector of a picture: by its first token, by the mean of its
patches, or by what the model itself gives as `pooler_output`.  BEiT, MAE and others leave it open.
"""
NO_CLS = ("ijepa", "resnet", "regnet", "convnext", "convnextv2", "swin", "swinv2", "hiera",
          "focalnet", "efficientnet", "bit", "siglip_vision_model",
          "siglip2_vision_model")  # fmt: skip
"""Families without a token for the whole picture."""


def is_vision(stage: str, spec: Spec) -> bool:
    """Whether the checkpoint is an encoder of pictures alone, as its description tells."""
    folder = checkpoint_folder(
        spec.model, spec.revision, weights=False, code=spec.trust_remote_code
    )
    if "model_type" not in read_json(folder, "config.json"):
        return False  # of open_clip, or nothing that transformers knows
    kind = model_class(load_config(stage, folder, spec))
    return (
        kind is not None
        and getattr(kind, "main_input_name", "") == "pixel_values"
        and not hasattr(kind, "get_text_features")
        and not hasattr(kind, "generate")
    )


def model_class(config: Any) -> Any:
    """The class by which `AutoModel` loads a config's type; None where it knows none."""
    every = transformers().AutoModel._model_mapping
    if type(config) not in every:
        return None
    known: Any = every[type(config)]
    return known[0] if isinstance(known, (list, tuple)) else known


def pooling_of(stage: str, spec: Spec, config: Any) -> Pooling:
    """How a picture becomes one vector; raises StageBroken where nobody has said it, or the model
    has no such thing.
    """
    kind = config.model_type
    chosen = spec.pooling or FAMILIES.get(kind)
    if chosen is None:
        raise StageBroken(
            f"stage {stage!r}: {spec.model!r} is of type {kind!r}, of which it is not settled how "
            "a picture becomes one vector; say it with `pooling`: cls, mean or pooler"
        )
    if chosen == "cls" and kind in NO_CLS:
        raise StageBroken(
            f"stage {stage!r}: {spec.model!r} is of type {kind!r}, which has no token for the "
            "whole picture; set `pooling` to mean or pooler, or leave it out"
        )
    return chosen  # type: ignore[return-value]


def vision_spec(stage: str, spec: Spec, config: Any) -> Spec:
    """The spec with what else this model is loaded by: without a pooling layer that nobody asks
    for, whose weights many checkpoints lack; with all patches, where training hides some.
    """
    options: dict[str, Any] = {}
    kind = model_class(config)
    takes = inspect.signature(kind.__init__).parameters if kind is not None else {}
    if "add_pooling_layer" in takes and pooling_of(stage, spec, config) != "pooler":
        options["add_pooling_layer"] = False
    if hasattr(config, "mask_ratio"):
        options["mask_ratio"] = 0.0
    return replace(spec, options=tuple(options.items()))


def vision_length(config: Any) -> int | None:
    """Length of the embeddings as the config tells it; None where it does not."""
    length = getattr(config, "hidden_size", None) or getattr(config, "num_features", None)
    return length or (getattr(config, "hidden_sizes", None) or [None])[-1]


def check_vision(stage: str, spec: Spec) -> list[str]:
    """Raises StageBroken for what would fail at load; says what will load the model, and how a
    picture becomes one vector.
    """
    from pairmill.models.check import check_weights, described
    from pairmill.models.load import auto_class, load_processor

    folder = described(stage, spec)
    config = load_config(stage, folder, spec)
    pooling = pooling_of(stage, spec, config)
    spec = vision_spec(stage, spec, config)
    auto = auto_class(stage, folder, spec, ["AutoModel"])
    processor = load_processor(stage, folder, spec, "AutoImageProcessor")
    told, *more = check_weights(stage, spec, folder, auto, processor)
    return [f"{told}; pictures alone, pooling: {pooling}", *more]


class VisionTower:
    """An encoder of pictures as stages call two towers, of which it has one."""

    def __init__(self, stage: str, spec: Spec) -> None:
        folder = checkpoint_folder(spec.model, spec.revision, code=spec.trust_remote_code)
        config = load_config(stage, folder, spec)
        self.stage, self.pooling = stage, pooling_of(stage, spec, config)
        spec = vision_spec(stage, spec, config)
        self.spec = spec
        self.loaded: LoadedModel = load(
            stage, spec, ["AutoModel"], "AutoImageProcessor", self.probe
        )
        self.note, self.device = f"{self.loaded.note}, {self.pooling}", self.loaded.device
        if spec.compiled:
            compile_layers(stage, self.loaded, self.probe)
            self.note += ", compiled"
        self.fast = fast_pixels(self.loaded.processor)
        registers = getattr(config, "num_register_tokens", 0) or 0
        self.before = 0 if config.model_type in NO_CLS else 1 + registers
        """Tokens before those of the patches."""

    def probe(self, model: Any, processor: Any, device: str, dtype: Any) -> Callable[[], Any]:
        """A forward pass over some plain pictures."""
        import torch

        pixels = placed(greys(processor), device, dtype)

        def work() -> None:
            with torch.inference_mode():
                model(**pixels)

        return work

    def pixels(self, images: Sequence[Image.Image]) -> dict[str, Any]:
        if self.fast is not None:
            return {BYTES: self.fast(images)}
        return dict(self.loaded.processor(images=list(images), return_tensors="pt"))

    def of_images(self, pixels: Inputs) -> np.ndarray:
        """float32 (n, d) of images."""
        import torch

        if self.fast is not None:
            pixels = {"pixel_values": self.fast.normalised(pixels[BYTES].to(self.device))}
        inputs = placed(pixels, self.loaded.device, self.loaded.dtype)
        with torch.inference_mode(), self.loaded.turns:
            return self.pooled(self.loaded.model(**inputs)).float().cpu().numpy()

    def pooled(self, answer: Any) -> Any:
        """One vector an image out of the model's answer."""
        if self.pooling == "pooler":
            found = getattr(answer, "pooler_output", None)
            if found is None:
                raise StageBroken(
                    f"stage {self.stage!r}: {self.spec.model!r} gives no `pooler_output`; set "
                    "`pooling` to cls or mean"
                )
            return found.flatten(1)  # convolutions give (n, d, 1, 1)
        hidden = answer.last_hidden_state
        if hidden.dim() == 4:  # a map of convolutions
            return hidden.mean((2, 3))
        return hidden[:, 0] if self.pooling == "cls" else hidden[:, self.before :].mean(1)

    def words(self, texts: Sequence[str]) -> dict[str, Any]:
        raise self.without_texts()

    def of_texts(self, words: Inputs) -> np.ndarray:
        raise self.without_texts()

    def embed(self, pixels: Inputs, words: Inputs) -> tuple[np.ndarray, np.ndarray]:
        raise self.without_texts()

    def without_texts(self) -> StageBroken:
        """The error where somebody asks for the vector of a text."""
        return StageBroken(
            f"stage {self.stage!r}: {self.spec.model!r} sees pictures alone and embeds no text; "
            "ask with pictures, or by the embeddings of a two-tower model (CLIP, SigLIP, …)"
        )
