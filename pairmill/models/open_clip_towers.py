"""Two-tower checkpoints of open_clip that transformers does not read."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from pairmill.errors import MissingPackage, StageBroken, first_line
from pairmill.models.files import checkpoint_folder, read_json
from pairmill.models.load import Spec
from pairmill.models.two_towers import Inputs, placed
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


class OpenClipTowers:
    """A model of open_clip with its own preprocessing and tokenizer."""

    def __init__(self, stage: str, spec: Spec) -> None:
        open_clip = open_clip_package(stage)
        limit_threads(spec.cpus)
        self.device = pick_device(spec.device, stage)
        precision = spec.dtype if spec.dtype != "auto" else "float32"
        self.dtype = pick_dtype(precision)
        folder = checkpoint_folder(spec.model, spec.revision)
        name = f"local-dir:{folder}"
        try:
            model, self.preprocess = open_clip.create_model_from_pretrained(name)
            self.tokenizer = open_clip.get_tokenizer(name)
        except Exception as error:  # a state dict with holes, a tokenizer that is not there
            raise StageBroken(
                f"stage {stage!r}: model {spec.model!r} does not load in open_clip: "
                f"{first_line(error)}"
            ) from error
        self.model = model.to(self.device, self.dtype).eval()
        self.note = f"{self.device} {precision} (open_clip)"

    def pixels(self, images: Sequence[Image.Image]) -> dict[str, Any]:
        import torch

        return {"image": torch.stack([self.preprocess(image) for image in images])}

    def words(self, texts: Sequence[str]) -> dict[str, Any]:
        return {"text": self.tokenizer(list(texts))}

    def embed(self, pixels: Inputs, words: Inputs) -> tuple[np.ndarray, np.ndarray]:
        import torch

        with torch.inference_mode():
            image = self.model.encode_image(**placed(pixels, self.device, self.dtype))
            text = self.model.encode_text(**placed(words, self.device, self.dtype))
        return image.float().cpu().numpy(), text.float().cpu().numpy()

    def of_images(self, pixels: Inputs) -> np.ndarray:
        import torch

        with torch.inference_mode():
            image = self.model.encode_image(**placed(pixels, self.device, self.dtype))
        return image.float().cpu().numpy()

    def of_texts(self, words: Inputs) -> np.ndarray:
        import torch

        with torch.inference_mode():
            text = self.model.encode_text(**placed(words, self.device, self.dtype))
        return text.float().cpu().numpy()
