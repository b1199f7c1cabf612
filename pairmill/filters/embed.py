"""Embeddings of images and texts as columns, computed once for all that reads them."""

from typing import Annotated, Any, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from pairmill.filters.clip import ClipStage, TowersConfig, unit
from pairmill.schemas.arrow import column, error_array
from pairmill.schemas.config import SPEED
from pairmill.torch_device import in_halves

WIDTH = {"float16": pa.float16(), "float32": pa.float32()}


class EmbedConfig(TowersConfig):
    """Embeddings of a two-tower model: one forward pass for `clip`, `classify`, `retrieve`, dedup.

    `{stage: embed, model: openai/clip-vit-large-patch14}` writes `image_embedding` and
    `text_embedding`; stages that read them (`clip` with `embedded:`, `classify` with `embedding:`)
    then compute no image a second time.
    """

    stage: Annotated[Literal["embed"], SPEED] = "embed"
    embeddings: list[Literal["image", "text"]] = Field(["image", "text"], min_length=1)
    """Which towers run; only their column is read."""
    stored: Literal["float16", "float32"] = "float16"
    """Precision in which they are stored: float16 changes a cosine in its fourth digit."""


class EmbedStage(ClipStage):
    """`image_embedding` and `text_embedding`, of unit length."""

    Config = EmbedConfig
    prefix = ""
    version = 1

    def reads(self) -> list[str]:
        sides = {"image": self.config.image, "text": self.config.text}
        return [sides[side] for side in dict.fromkeys(self.config.embeddings)]

    def writes(self) -> pa.Schema:
        kind = pa.list_(WIDTH[self.config.stored], self.dimension())
        return pa.schema(
            column(
                self.column(f"{side}_embedding"),
                kind,
                f"unit-length {side} embedding of {str(self.config.model).rpartition('/')[2]}",
                role="embedding",
                of=getattr(self.config, side),
            )
            for side in dict.fromkeys(self.config.embeddings)
        )

    def prepare(self, rows: pa.Table) -> None:
        if "image" in self.config.embeddings:
            super().prepare(rows)

    def __call__(self, rows: pa.Table) -> pa.Table:
        errors: list[tuple[str, str] | None] = [None] * rows.num_rows
        parts: list[dict[str, Any]] = []
        if "image" in self.config.embeddings:
            _, begun = self.waiting.pop(id(rows), (rows, None))
            answers = [future.result() for future in begun or self.begun(rows)]
            errors = [e for part, _ in answers for e in part]
            parts = [p for _, p in answers if p]
        sound = [i for i, error in enumerate(errors) if error is None]
        columns = []
        for side in dict.fromkeys(self.config.embeddings):
            found = self.images(parts) if side == "image" else self.texts(rows, sound)
            columns.append(self.spread(found, sound, rows.num_rows))
        return pa.table(columns, schema=self.writes()).append_column("error", error_array(errors))

    def images(self, parts: list[dict[str, Any]]) -> np.ndarray:
        """Unit-length float32, (n, d), of prepared images."""
        import torch

        if not parts:
            return np.zeros((0, self.dimension()), np.float32)
        pixels = {name: torch.cat([p[name] for p in parts]) for name in parts[0]}
        return self.vectors(pixels, self.towers.of_images)

    def texts(self, rows: pa.Table, sound: list[int]) -> np.ndarray:
        """Unit-length float32, (n, d), of the texts of some rows."""
        texts = rows.column(self.config.text).take(pa.array(sound, pa.int64())).to_pylist()
        if not texts:
            return np.zeros((0, self.dimension()), np.float32)
        return self.vectors(self.towers.words(texts), self.towers.of_texts)

    def vectors(self, inputs: dict[str, Any], tower: Any) -> np.ndarray:
        def work(rows: list[int]) -> list[np.ndarray]:
            at = slice(rows[0], rows[-1] + 1)
            return list(tower({name: value[at] for name, value in inputs.items()}))

        count = len(next(iter(inputs.values())))
        found = np.stack(in_halves(work, list(range(count)), self.room))
        self.note = self.room.told(self.towers.note)
        return unit(found)

    def spread(self, vectors: np.ndarray, rows: list[int], total: int) -> pa.Array:
        """Embeddings of some rows as a nullable column of all rows."""
        dim, width = self.dimension(), np.dtype(self.config.stored)
        full, absent = np.zeros((total, dim), width), np.ones(total, bool)
        full[rows], absent[rows] = vectors.astype(width), False
        return pa.FixedSizeListArray.from_arrays(pa.array(full.ravel()), dim, mask=pa.array(absent))
