"""CLIP similarity of image and text."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator

from pairmill.errors import StageBroken
from pairmill.filters.seeing import ComparingConfig, SeeingStage
from pairmill.models.feed import Ready
from pairmill.models.load import Spec
from pairmill.models.open_clip_towers import is_open_clip, open_clip_length
from pairmill.models.towers import made_by, open_towers
from pairmill.models.two_towers import TwoTowers, embedding_length
from pairmill.models.vectors import NOT_COMPARABLE, check_embeddings, cosines, unit
from pairmill.schemas.arrow import column, error_array
from pairmill.schemas.config import COLUMN, MODEL, SPEED, StageConfig


class TowersConfig(ComparingConfig):
    """The keys of a stage with a two-tower model."""

    model: Annotated[str | None, MODEL] = "openai/clip-vit-base-patch32"
    """Hub id or folder of a two-tower model: CLIP, SigLIP, SigLIP 2, AltCLIP, ChineseCLIP, MetaCLIP
    2, ALIGN, …; a checkpoint of open_clip needs the extra `open_clip`.
    """
    text: Annotated[str, COLUMN] = "text"
    """Column with texts; cut at the text tower's length."""
    embeddings: list[Literal["image", "text"]] = []
    """Embeddings to store, unit length, as float16."""
    embedding_dim: int | None = Field(None, ge=1, le=16_384)
    """Length of stored embeddings; read from the model's config if absent."""
    compile: bool = False
    """Makes kernels for the image tower at load (`torch.compile`), some tens of seconds of work
    that pay on a GPU; a score changes as it does by another precision.
    """

    def spec(self, cpus: float) -> Spec:
        """What is loaded, and where."""
        return replace(super().spec(cpus), compiled=self.compile)


class ClipConfig(TowersConfig):
    """Cosine similarity of image and text by a CLIP-like model of `transformers` or open_clip.

    LAION-5B keeps English pairs with ViT-B/32 >= 0.28, others with >= 0.26; DataComp's clip filters
    are thresholds on L/14 or B/32 (top 30%: L/14 >= 0.243, B/32 >= 0.281).
    """

    stage: Annotated[Literal["clip"], SPEED] = "clip"
    embedded: list[str] | None = Field(None, min_length=2, max_length=2)
    """Columns with the image's and the text's embedding, as `embed` writes them; no model runs."""

    @model_validator(mode="before")
    @classmethod
    def _no_model_beside_embeddings(cls, keys: Any) -> Any:
        if not isinstance(keys, dict) or keys.get("embedded") is None:
            return keys
        if keys.get("model") is not None or keys.get("embeddings"):
            raise ValueError("`embedded` reads stored embeddings: leave `model`, `embeddings` out")
        return {**keys, "model": None}


class ClipStage(SeeingStage):
    """`clip_score` = cosine of the projected image and text embeddings, in [-1, 1]."""

    Config: ClassVar[type[StageConfig]] = ClipConfig
    prefix = "clip"
    version = 2
    model: TwoTowers

    def __init__(self, config: TowersConfig) -> None:
        super().__init__(config)
        if self.embedded:
            self.version = 3
        if config.resources.gpus or config.device == "cuda":
            self.overlap = 2  # the end of a shard does not leave the GPU idle

    @property
    def embedded(self) -> list[str] | None:
        """Columns of embeddings that are read in place of images and texts."""
        return getattr(self.config, "embedded", None)

    def bind(self, schema: pa.Schema) -> None:
        """Checks that stored embeddings can be compared."""
        check_embeddings(schema, *(self.embedded or []))

    def reads(self) -> list[str]:
        return self.embedded or [self.config.image, self.config.text]

    def writes(self) -> pa.Schema:
        fields = [
            column(
                self.column("score"),
                pa.float32(),
                "cosine of image and text embedding",
                "",
                -1,
                1,
                role="score",
            )
        ]
        for side in self.config.embeddings:
            kind = pa.list_(pa.float16(), self.dimension())
            doc = f"unit-length {side} embedding"
            field = column(self.column(f"{side}_embedding"), kind, doc, role="embedding")
            fields.append(made_by(field, self.config.spec(self.cpus)))
        return pa.schema(fields)

    def dimension(self) -> int:
        """Numbers in an embedding, as the config or the checkpoint tells; raises StageBroken where
        neither does.
        """
        if self.config.embedding_dim is None:
            spec = self.config.spec(self.cpus)
            open_clip = is_open_clip(spec)
            dim = open_clip_length(spec) if open_clip else embedding_length(self.name, spec)
            if not dim:
                raise StageBroken(
                    f"stage {self.name!r}: the config of {self.config.model!r} tells no embedding "
                    "length; set `embedding_dim`"
                )
            self.config = self.config.model_copy(update={"embedding_dim": int(dim)})
        return self.config.embedding_dim

    def examine(self) -> list[str]:
        from pairmill.models.check import check_clip

        if self.embedded:
            return []
        return check_clip(self.name, self.config.spec(self.cpus))

    def opened(self) -> TwoTowers:
        return open_towers(self.name, self.config.spec(self.cpus))

    def setup(self) -> None:
        if not self.embedded:
            super().setup()

    def computed(self, ready: Ready) -> tuple[Ready, dict[str, np.ndarray]]:
        """Unit-length float32 embeddings of the sound rows by side, (n, d) each."""
        if not ready.sound:
            return ready, dict.fromkeys(("image", "text"), np.zeros((0, 1), np.float32))
        pairs = self.by_rows(self.both, ready.images, ready.words)
        both = (np.stack(side) for side in zip(*pairs, strict=True))
        image, text = self.numbers(ready, *both)
        return ready, {"image": unit(image), "text": unit(text)}

    def both(self, images: dict[str, Any], words: dict[str, Any]) -> Iterable[Any]:
        """(image, text) embeddings, row by row."""
        return zip(*self.model.embed(images, words), strict=True)

    def __call__(self, rows: pa.Table) -> pa.Table:
        if self.embedded:
            return self.of_embeddings(*(rows.column(name) for name in self.embedded))
        assert self.feed is not None
        ready, vectors = self.feed(rows)
        cosine = (vectors["image"] * vectors["text"]).sum(1)
        scores, errors = self.scored(rows, ready, cosine)
        columns: list[pa.Array] = [scores]
        for side in self.config.embeddings:
            columns.append(spread(vectors[side], ready.sound, rows.num_rows, self.dimension()))
        table = pa.table(columns, schema=self.writes())
        return table.append_column("error", errors)

    def of_embeddings(self, image: pa.ChunkedArray, text: pa.ChunkedArray) -> pa.Table:
        """The answer by stored embeddings."""
        assert self.embedded is not None
        cosine, sound = cosines(image, text)
        why = "{!r} and {!r} are no vectors of as many finite numbers, not all 0"
        told = (NOT_COMPARABLE, why.format(*self.embedded))
        table = pa.table([pa.array(cosine, mask=~sound)], schema=self.writes())
        return table.append_column("error", error_array(None if s else told for s in sound))


def spread(vectors: np.ndarray, rows: list[int], total: int, dim: int) -> pa.Array:
    """Embeddings of some rows as a nullable fixed-size list column of all rows."""
    full = np.zeros((total, dim), np.float16)
    full[rows] = vectors
    present = np.zeros(total, bool)
    present[rows] = True
    return pa.FixedSizeListArray.from_arrays(pa.array(full.ravel()), dim, mask=pa.array(~present))
