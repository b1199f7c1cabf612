"""Stages whose model sees a picture and reads its text: the keys they share, and how a batch gets
to the model and back.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal, Protocol

import numpy as np
import pyarrow as pa
from pydantic import Field

from pairmill.models.feed import Feed, Ready, Seer
from pairmill.models.finite import Finite
from pairmill.models.library import LIBRARIES
from pairmill.models.load import Spec
from pairmill.models.sizes import bytes_on_cpu
from pairmill.schemas.arrow import error_array
from pairmill.schemas.config import COLUMN, MODEL, SPEED, StageConfig
from pairmill.stages.base import Stage
from pairmill.torch_device import Device, Precision, Room, in_halves, streams


class SeeingConfig(StageConfig):
    """The keys of a stage with a model that sees pictures."""

    model: Annotated[str | None, MODEL] = None
    """Hub id or folder of the model."""
    revision: Annotated[str | None, SPEED] = None
    """Branch, tag or commit of a hub model; what it resolves to is part of the identity."""
    image: Annotated[str, COLUMN] = "image"
    """Column with encoded images."""
    device: Annotated[Device, SPEED] = "auto"
    """`cuda` without a GPU is an error, never a CPU run."""
    dtype: Precision = "auto"
    """Precision of the forward pass.  `auto`: the checkpoint's on a GPU; on a CPU what a
    measurement at load finds faster.  In bfloat16 a score changes in its third digit.
    """
    batch_size: Annotated[int, SPEED] = Field(64, ge=1, le=65_536)
    """Rows given to the model at once; halved where they do not fit its memory."""

    def spec(self, cpus: float) -> Spec:
        """What is loaded, and where."""
        assert self.model is not None, "asked for only where a model is named"
        return Spec(
            model=self.model,
            revision=self.revision,
            device=self.device,
            dtype=self.dtype,
            cpus=self.resources.cpus or cpus,
        )


class ComparingConfig(SeeingConfig):
    """The keys of a stage with a two-tower model."""

    trust_remote_code: bool = False
    """Lets the checkpoint run code of its own: read it before."""
    image_processor: Literal["auto", "pil", "torchvision"] = "auto"
    """Which of a family's image processors: torchvision's is the faster, and what transformers
    takes (`auto`); they differ by a level of brightness here and there.
    """

    def spec(self, cpus: float) -> Spec:
        """What is loaded, and where."""
        named = None if self.image_processor == "auto" else self.image_processor
        return replace(
            super().spec(cpus), trust_remote_code=self.trust_remote_code, image_processor=named
        )


class SeeingModel(Seer, Protocol):
    """A model of such a stage, as it is fed."""

    @property
    def note(self) -> str:
        """How the model was loaded, in words."""

    def words(self, texts: Any) -> dict[str, Any]:
        """The texts' inputs, tensors whose first axis is the texts'."""


class SeeingStage(Stage):
    """Feeds pictures and texts to a model, opened by `opened` and asked by `computed`."""

    decodes = True
    actor = True
    model: SeeingModel
    feed: "Feed[Any] | None" = None

    def opened(self) -> Any:
        """The model, loaded."""
        raise NotImplementedError

    def imports(self) -> Sequence[str]:
        return () if self.config.model is None else LIBRARIES

    def shares(self) -> Hashable | None:
        return None if self.config.model is None else self.config.spec(self.cpus)

    def waits(self) -> bool:
        return False

    def loads_bytes(self) -> int | None:
        c = self.config
        return 0 if c.model is None else bytes_on_cpu(c.model, c.revision, c.dtype)

    def computed(self, ready: Ready) -> Any:
        """The batch, and what the model says of its sound rows."""
        raise NotImplementedError

    def setup(self) -> None:
        self.room = Room()
        self.model = self.opened()
        self.finite = Finite.of(self.name, str(self.config.model), self.model)
        warm = getattr(self.model, "warm", None)
        if warm is not None:
            warm(self.config.batch_size)
        self.note = self.model.note
        c, cpus = self.config, self.config.resources.cpus or self.cpus
        self.ahead = streams(cpus)
        threads = max(1, int(cpus), self.ahead // 2)
        self.feed = Feed(
            self.model, c.image, threads, c.batch_size, self.computed, self.words,
            self.ahead,
        )  # fmt: skip

    def close(self) -> None:
        if self.feed is not None:
            self.feed.close()

    def prepare(self, rows: pa.Table) -> None:
        """Begins with rows that will come next, while those before them are computed."""
        if self.feed is not None:
            self.feed.prepare(rows)

    def words(self, rows: pa.Table, sound: list[int]) -> dict[str, Any]:
        """The texts' inputs of some rows."""
        texts = rows.column(self.config.text).take(pa.array(sound, pa.int64()))
        return self.model.words(texts.to_pylist())

    def by_rows(self, call: Callable[..., Any], *sides: Mapping[str, Any]) -> list[Any]:
        """What the model's `call` says of each row of its inputs, in batches that fit its memory;
        a call answers with something that goes row by row.
        """

        def work(rows: list[int]) -> list[Any]:
            at = slice(rows[0], rows[-1] + 1)
            return list(call(*({name: v[at] for name, v in side.items()} for side in sides)))

        count = len(next(iter(sides[0].values())))
        found = in_halves(work, list(range(count)), self.room)
        self.note = self.room.note(self.model.note)
        return found

    def numbers(self, ready: Ready, *values: np.ndarray) -> list[np.ndarray]:
        """The model's answers for the sound rows, (n, …) each, without those of rows that have one
        which is no finite number: these fail.
        """
        fine = np.logical_and.reduce(
            [np.isfinite(side).reshape(len(side), -1).all(1) for side in values]
        )
        errors = self.finite.judged(fine.tolist())
        if fine.all():
            return list(values)
        for row, error in zip(ready.sound, errors, strict=True):
            ready.errors[row] = error
        ready.sound = [row for row, one in zip(ready.sound, fine, strict=True) if one]
        return [side[fine] for side in values]

    def scored(self, rows: pa.Table, ready: Ready, scores: Any) -> tuple[pa.Array, pa.Array]:
        """The columns of scores and of errors of all rows, from the scores of the sound ones."""
        full = np.full(rows.num_rows, np.nan, np.float32)
        full[ready.sound] = scores
        return pa.array(full), error_array(ready.errors)
