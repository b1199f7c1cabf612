"""Image and text classifiers of `transformers`."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from PIL import Image

from pairmill.errors import StageBroken
from pairmill.images import DecodeError, decode_rgb
from pairmill.models.files import checkpoint_folder
from pairmill.models.finite import Finite
from pairmill.models.load import Spec, load, load_config
from pairmill.models.loaded_model import LoadedModel
from pairmill.models.transfers import placed
from pairmill.torch_device import Room, in_halves

Kind = Literal["image", "text"]
CLASSES = {
    "image": (["AutoModelForImageClassification"], "AutoImageProcessor"),
    "text": (["AutoModelForSequenceClassification"], "AutoTokenizer"),
}


def labels_of(stage: str, spec: Spec) -> list[str]:
    """The labels of a classifier, in the order of its outputs, as its config tells them."""
    folder = checkpoint_folder(spec.model, spec.revision, weights=False)
    named = getattr(load_config(stage, folder, spec), "id2label", None) or {}
    labels = [str(named[i]) for i in sorted(named)]
    if len(set(labels)) < 2:
        raise StageBroken(
            f"stage {stage!r}: the config of {spec.model!r} names {len(set(labels))} labels; "
            "a classifier has at least two (`id2label`)"
        )
    return labels


class Classifier:
    """A classifier with its processor: probabilities of all labels."""

    def __init__(self, stage: str, spec: Spec, kind: Kind) -> None:
        classes, processor = CLASSES[kind]
        self.kind = kind
        self.loaded: LoadedModel = load(stage, spec, classes, processor, self.probe)
        config = self.loaded.model.config
        self.independent = getattr(config, "problem_type", None) == "multi_label_classification"
        self.labels = int(config.num_labels)
        self.finite = Finite.of(stage, spec.model, self.loaded)
        self.note, self.room = self.loaded.note, Room()

    def probe(self, model: Any, processor: Any, device: str, dtype: Any) -> Callable[[], Any]:
        """A forward pass over four plain pictures, or four short texts."""
        import torch

        sample: list[Any] = ["a text"] * 4
        if self.kind == "image":
            sample = [Image.new("RGB", (64, 48), (90, 120, 150))] * 4
        inputs = placed(self.inputs(processor, sample), device, dtype)

        def work() -> None:
            with torch.inference_mode():
                model(**inputs)

        return work

    def inputs(self, processor: Any, values: Sequence[Any]) -> dict[str, Any]:
        """Tensors of images or texts for the model; texts are cut at 512 tokens at most."""
        if self.kind == "image":
            return dict(processor(images=list(values), return_tensors="pt"))
        limit = min(processor.model_max_length, 512)
        options = {"padding": True, "truncation": True, "max_length": limit}
        return dict(processor(list(values), return_tensors="pt", **options))

    def __call__(self, values: Sequence[Any]) -> tuple[np.ndarray, list[tuple[str, str] | None]]:
        """float32 (n, labels), NaN where a row has none, and the errors."""
        sound: list[Any] = []
        errors: list[tuple[str, str] | None] = []
        for value in values:
            try:
                sound.append(decode_rgb(value) if self.kind == "image" else value)
                errors.append(None)
            except DecodeError as error:
                errors.append(("decode", str(error)))
        found = np.full((len(errors), self.labels), np.nan, np.float32)
        if sound:
            rows = [i for i, error in enumerate(errors) if error is None]
            found[rows] = np.stack(in_halves(self.answers, sound, self.room))
            fine = [bool(np.isfinite(found[row]).all()) for row in rows]
            judged = self.finite.judged(fine)
            for row, wrong in zip(rows, judged, strict=True):
                errors[row] = wrong
        return found, errors

    def answers(self, values: list[Any]) -> list[np.ndarray]:
        """Probabilities of some values."""
        import torch

        inputs = self.inputs(self.loaded.processor, values)
        with torch.inference_mode(), self.loaded.lock:
            placed_inputs = placed(inputs, self.loaded.device, self.loaded.dtype)
            logits = self.loaded.model(**placed_inputs).logits.float()
            found = logits.sigmoid() if self.independent else logits.softmax(-1)
        return list(found.cpu().numpy())
