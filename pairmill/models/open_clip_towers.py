"""Two-tower checkpoints of open_clip that transformers does not read."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

from pairmill.errors import MissingPackage, StageBroken, first_line
from pairmill.models.files import checkpoint_folder, read_json
from pairmill.models.load import Spec
from pairmill.models.once import once
from pairmill.models.transfers import Inputs, placed
from pairmill.torch_device import limit_threads, pick_device, pick_dtype

CONFIG = "open_clip_config.json"


def is_open_clip(spec: Spec) -> bool:
    """Whether the checkpoint is described for open_clip alone."""
    folder = checkpoint_folder(spec.model, spec.revision, weights=False)
    return bool(read_json(folder, CONFIG)) and "model_type" not in read_json(folder, "config.json")


def open_clip_package(stage: str) -> Any:
    """The module `open_clip`; raises MissingPackage where it is not installed."""
    try:
        import open_clip
    except ModuleNotFoundError as error:
        if error.name != "open_clip":
            raise
        raise MissingPackage(
            "open_clip_torch", f"stage {stage!r}: a checkpoint of open_clip", "open_clip"
        ) from None
    return open_clip


def open_clip_length(spec: Spec) -> int | None:
    """Length of the embeddings, as the checkpoint's description tells it."""
    folder = checkpoint_folder(spec.model, spec.revision, weights=False)
    return read_json(folder, CONFIG).get("model_cfg", {}).get("embed_dim")


@dataclass
class OpenClipModel:
    """A model of open_clip with its own preprocessing and tokenizer, as stages share it."""

    model: Any
    preprocess: Callable[[Image.Image], Any]
    tokenizer: Callable[[list[str]], Any]
    lock: threading.Lock = field(default_factory=threading.Lock)
    """Held while the model computes."""


def opened(stage: str, spec: Spec, device: str, precision: str) -> OpenClipModel:
    """The checkpoint, loaded; raises StageBroken where it is not whole."""
    open_clip = open_clip_package(stage)
    name = f"local-dir:{checkpoint_folder(spec.model, spec.revision)}"
    try:
        model, preprocess = open_clip.create_model_from_pretrained(name)
        tokenizer = open_clip.get_tokenizer(name)
    except Exception as error:  # a state dict with holes, a tokenizer that is not there
        raise StageBroken(
            f"stage {stage!r}: model {spec.model!r} does not load in open_clip: {first_line(error)}"
        ) from error
    return OpenClipModel(model.to(device, pick_dtype(precision)).eval(), preprocess, tokenizer)


class OpenClipTowers:
    """A model of open_clip as a stage calls it."""

    def __init__(self, stage: str, spec: Spec) -> None:
        limit_threads(spec.cpus)
        self.device = pick_device(spec.device, stage)
        precision = spec.dtype if spec.dtype != "auto" else "float32"
        self.dtype = pick_dtype(precision)
        self.opened = once((spec, "open_clip"), lambda: opened(stage, spec, self.device, precision))
        self.model = self.opened.model
        self.note = f"{self.device} {precision} (open_clip)"

    def pixels(self, images: Sequence[Image.Image]) -> dict[str, Any]:
        import torch

        return {"image": torch.stack([self.opened.preprocess(image) for image in images])}

    def words(self, texts: Sequence[str]) -> dict[str, Any]:
        return {"text": self.opened.tokenizer(list(texts))}

    def embed(self, pixels: Inputs, words: Inputs) -> tuple[np.ndarray, np.ndarray]:
        return self.of_images(pixels), self.of_texts(words)

    def of_images(self, pixels: Inputs) -> np.ndarray:
        return self.vectors(self.model.encode_image, pixels)

    def of_texts(self, words: Inputs) -> np.ndarray:
        return self.vectors(self.model.encode_text, words)

    def vectors(self, tower: Callable[..., Any], inputs: Inputs) -> np.ndarray:
        """float32 (n, d) from one tower."""
        import torch

        with torch.inference_mode(), self.opened.lock:
            found = tower(**placed(inputs, self.device, self.dtype))
        return found.float().cpu().numpy()
