"""Two-tower models by the library that their checkpoints are made for, and which model made a
column of embeddings.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from pairmill.errors import StageBroken
from pairmill.models.finite import faulty_weights, told
from pairmill.models.load import Spec
from pairmill.models.open_clip_towers import OpenClipTowers, is_open_clip
from pairmill.models.two_towers import TransformersTowers, TwoTowers
from pairmill.models.vectors import unit
from pairmill.models.vision_tower import VisionTower, is_vision

MADE_BY = b"towers"
"""Key of the metadata of a column of embeddings: the model that made them, as JSON."""
AT_ONCE = 64


@dataclass(frozen=True)
class Origin:
    """The model that made embeddings, as far as it decides them."""

    model: str
    revision: str | None = None
    trust_remote_code: bool = False
    image_processor: str | None = None
    pooling: str | None = None

    def spec(self, device: Any, cpus: float = 1.0) -> Spec:
        """What is loaded to embed something beside them."""
        return Spec(
            self.model,
            self.revision,
            trust_remote_code=self.trust_remote_code,
            image_processor=self.image_processor,
            pooling=self.pooling,
            device=device,
            dtype="float32",
            cpus=cpus,
        )

    def to_json(self) -> dict[str, Any]:
        """As a manifest tells it."""
        pooling = {"pooling": self.pooling} if self.pooling else {}
        return {
            "model": self.model,
            "revision": self.revision,
            "trust_remote_code": self.trust_remote_code,
            "image_processor": self.image_processor,
            **pooling,
        }

    @classmethod
    def of_spec(cls, spec: Spec) -> "Origin":
        """The model of a spec, whatever device and precision it is loaded in."""
        own = (spec.model, spec.revision, spec.trust_remote_code, spec.image_processor)
        return cls(*own, spec.pooling)


def made_by(field: pa.Field, spec: Spec) -> pa.Field:
    """A column of embeddings that says which model made them."""
    told = json.dumps(Origin.of_spec(spec).to_json(), sort_keys=True).encode()
    return field.with_metadata({**(field.metadata or {}), MADE_BY: told})


def origin_of(field: pa.Field) -> Origin | None:
    """The model that made a column of embeddings; None where it does not say."""
    told = (field.metadata or {}).get(MADE_BY)
    return Origin(**json.loads(told)) if told else None


def open_towers(stage: str, spec: Spec, one: bool = False) -> TwoTowers:
    """The model, by the library that its checkpoint is made for; `one`: an encoder of pictures
    alone will do.
    """
    if is_open_clip(spec):
        return OpenClipTowers(stage, spec)
    if one and is_vision(stage, spec):
        return VisionTower(stage, spec)
    return TransformersTowers(stage, spec)


def vectors_of_texts(towers: TwoTowers, texts: Sequence[str]) -> np.ndarray:
    """Unit-length float32, (n, d)."""
    return in_batches(towers, texts, towers.words, towers.of_texts)


def vectors_of_images(towers: TwoTowers, images: Sequence[Image.Image]) -> np.ndarray:
    """Unit-length float32, (n, d)."""
    return in_batches(towers, images, towers.pixels, towers.of_images)


def in_batches(
    towers: TwoTowers,
    values: Sequence[Any],
    prepared: Callable[[Any], Mapping[str, Any]],
    tower: Callable[[Mapping[str, Any]], np.ndarray],
) -> np.ndarray:
    """What a tower makes of values, some at a time; raises StageBroken where that is no number."""
    parts = [
        tower(prepared(values[first : first + AT_ONCE])) for first in range(0, len(values), AT_ONCE)
    ]
    found = np.concatenate(parts).astype(np.float32)
    if not np.isfinite(found).all():
        broken = faulty_weights(getattr(getattr(towers, "loaded", towers), "model", None))
        why = told(broken) if broken else f"gives NaN or infinity in {towers.note}"
        raise StageBroken(f"the model that embeds texts and pictures {why}")
    return unit(found)
