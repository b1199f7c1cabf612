"""Embeddings of images and texts as columns, computed once for all that reads them."""

from dataclasses import replace
from typing import Annotated, Any, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from pairmill.errors import StageBroken
from pairmill.filters.clip import ClipStage, TowersConfig
from pairmill.models.feed import Ready
from pairmill.models.files import checkpoint_folder
from pairmill.models.load import Spec, load_config
from pairmill.models.open_clip_towers import is_open_clip
from pairmill.models.towers import made_by, open_towers
from pairmill.models.two_towers import TwoTowers
from pairmill.models.vectors import unit
from pairmill.models.vision_tower import Pooling, check_vision, is_vision, vision_length
from pairmill.schemas.arrow import column, error_array
from pairmill.schemas.config import ADDED, SPEED

WIDTH = {"float16": pa.float16(), "float32": pa.float32()}


class EmbedConfig(TowersConfig):
    """Embeddings of a model: one forward pass for `clip`, `classify`, `retrieve`, dedup.

    `{stage: embed, model: openai/clip-vit-large-patch14}` writes `image_embedding` and
    `text_embedding`; stages that read them (`clip` with `embedded:`, `classify` with `embedding:`)
    then compute no image a second time.  A model that sees pictures alone takes
    `embeddings: [image]`: `{stage: embed, model: facebook/dinov2-base, embeddings: [image]}`.
    """

    stage: Annotated[Literal["embed"], SPEED] = "embed"
    embeddings: list[Literal["image", "text"]] = Field(["image", "text"], min_length=1)
    """Which towers run; only their column is read."""
    stored: Literal["float16", "float32"] = "float16"
    """Precision in which they are stored: float16 changes a cosine in its fourth digit."""
    pooling: Annotated[Pooling | None, ADDED] = None
    """Of an encoder of pictures alone: the first token (`cls`), the mean of the patches, or the
    model's own `pooler`; what the family's examples do, if absent.
    """

    def spec(self, cpus: float) -> Spec:
        """What is loaded, and where."""
        return replace(super().spec(cpus), pooling=self.pooling)


class EmbedStage(ClipStage):
    """`image_embedding` and `text_embedding`, of unit length."""

    Config = EmbedConfig
    prefix = ""
    version = 1

    def dimension(self) -> int:
        config = self.config
        if config.embedding_dim is None and self.sees_alone():
            folder = checkpoint_folder(
                config.model, config.revision, weights=False, code=config.trust_remote_code
            )
            length = vision_length(load_config(self.name, folder, config.spec(self.cpus)))
            if length:
                self.config = config.model_copy(update={"embedding_dim": int(length)})
        return super().dimension()

    def sees_alone(self) -> bool:
        """Whether the model is an encoder of pictures alone; raises StageBroken where texts are
        asked of it.
        """
        spec = self.config.spec(self.cpus)
        alone = not is_open_clip(spec) and is_vision(self.name, spec)
        if alone and "text" in self.config.embeddings:
            raise StageBroken(
                f"stage {self.name!r}: {self.config.model!r} sees pictures alone and embeds no "
                "text; set `embeddings: [image]`"
            )
        if self.config.pooling and not alone:
            raise StageBroken(
                f"stage {self.name!r}: {self.config.model!r} has a vector of its own for a "
                "picture; leave `pooling` out"
            )
        return alone

    def examine(self) -> list[str]:
        if self.sees_alone():
            return check_vision(self.name, self.config.spec(self.cpus))
        return super().examine()

    def opened(self) -> TwoTowers:
        return open_towers(self.name, self.config.spec(self.cpus), one=self.sees_alone())

    def reads(self) -> list[str]:
        sides = {"image": self.config.image, "text": self.config.text}
        return [sides[side] for side in dict.fromkeys(self.config.embeddings)]

    def writes(self) -> pa.Schema:
        kind = pa.list_(WIDTH[self.config.stored], self.dimension())
        fields = (
            column(
                self.column(f"{side}_embedding"),
                kind,
                f"unit-length {side} embedding of {str(self.config.model).rpartition('/')[2]}",
                role="embedding",
                of=getattr(self.config, side),
            )
            for side in dict.fromkeys(self.config.embeddings)
        )
        spec = self.config.spec(self.cpus)
        return pa.schema(made_by(field, spec) for field in fields)

    def prepare(self, rows: pa.Table) -> None:
        if "image" in self.config.embeddings:
            super().prepare(rows)

    def words(self, rows: pa.Table, sound: list[int]) -> dict[str, Any]:
        return super().words(rows, sound) if "text" in self.config.embeddings else {}

    def computed(self, ready: Ready) -> tuple[Ready, dict[str, np.ndarray]]:
        """Unit-length float32 embeddings, (n, d), of the sound rows, by side."""
        sides = {
            "image": (self.model.of_images, ready.images),
            "text": (self.model.of_texts, ready.words),
        }
        wanted = list(dict.fromkeys(self.config.embeddings))
        if not ready.sound:
            return ready, dict.fromkeys(wanted, np.zeros((0, self.dimension()), np.float32))
        found = self.numbers(ready, *(np.stack(self.by_rows(*sides[side])) for side in wanted))
        return ready, {side: unit(own) for side, own in zip(wanted, found, strict=True)}

    def __call__(self, rows: pa.Table) -> pa.Table:
        if "image" in self.config.embeddings:
            assert self.feed is not None
            ready, found = self.feed(rows)
        else:
            every = list(range(rows.num_rows))
            words = self.words(rows, every)
            ready, found = self.computed(Ready([None] * rows.num_rows, every, words=words))
        columns = [
            self.spread(found[side], ready.sound, rows.num_rows)
            for side in dict.fromkeys(self.config.embeddings)
        ]
        table = pa.table(columns, schema=self.writes())
        return table.append_column("error", error_array(ready.errors))

    def spread(self, vectors: np.ndarray, rows: list[int], total: int) -> pa.Array:
        """Embeddings of some rows as a nullable column of all rows."""
        dim, width = self.dimension(), np.dtype(self.config.stored)
        full, absent = np.zeros((total, dim), width), np.ones(total, bool)
        full[rows], absent[rows] = vectors.astype(width), False
        return pa.FixedSizeListArray.from_arrays(pa.array(full.ravel()), dim, mask=pa.array(absent))
