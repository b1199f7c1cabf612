"""Two-tower checkpoints of open_clip that transformers does not read."""

import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

from pairmill.errors import MissingPackage, StageBroken, first_line
from pairmill.models.damaged import damaged_weights
from pairmill.models.files import (
    OPEN_CLIP_WEIGHTS,
    checkpoint_folder,
    is_folder,
    missing_weights,
    read_json,
)
from pairmill.models.load import Spec
from pairmill.models.once import once
from pairmill.models.transfers import Inputs, placed
from pairmill.torch_device import limit_threads, pick_device, pick_dtype

CONFIG = "open_clip_config.json"
SHOWN = 5
"""Names of weights in a message."""


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


def check_open_clip(stage: str, spec: Spec) -> None:
    """Raises StageBroken for what would fail at load, as far as files on this machine tell it."""
    open_clip = open_clip_package(stage)
    folder = checkpoint_folder(spec.model, spec.revision, weights=False)
    start = f"stage {stage!r}: model {spec.model!r}"
    lacking = missing_weights(folder)
    if lacking is not None and is_folder(spec.model):
        raise StageBroken(f"{start} has no whole weights: {lacking}")
    if damage := damaged_weights(folder):
        raise StageBroken(f"{start}: {damage}")
    missing = holes(open_clip, folder)
    if missing:
        raise StageBroken(
            f"{start} has no weights for {', '.join(missing[:SHOWN])} ({len(missing)} in all); is "
            "its download complete?"
        )


def holes(open_clip: Any, folder: str) -> list[str]:
    """Names of the model that its file has no weights for; none where that is not known: a file in
    another form than its library's own, which it rewrites as it is loaded.
    """
    import torch
    from safetensors import safe_open

    files = (f"{folder}/{name}" for name in OPEN_CLIP_WEIGHTS)
    file = next(filter(os.path.exists, files), "")
    text = read_json(folder, CONFIG).get("model_cfg", {}).get("text_cfg", {})
    if not file.endswith(".safetensors") or text.get(
        "hf_model_name"
    ):  # whose class a hub describes
        return []
    try:
        with torch.device("meta"):
            name = f"local-dir:{folder}"
            model = open_clip.create_model(name, device="meta", load_weights=False)
        with safe_open(file, "pt") as weights:
            stored = set(weights.keys())
    except Exception:  # a library of models raises many kinds; loading will say it
        return []
    wanted = {n for n, _ in (*model.named_parameters(), *model.named_buffers())}
    missing = sorted(wanted & set(model.state_dict()) - stored)
    return missing if len(missing) < len(wanted) / 2 else []


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
            # By place: CoCa's towers call it otherwise.
            found = tower(*placed(inputs, self.device, self.dtype).values())
        return found.float().cpu().numpy()
