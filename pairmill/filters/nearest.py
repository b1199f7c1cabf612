"""The nearest of given vectors: clusters of a pool, and whether a target hits them."""

from typing import Annotated, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from pairmill.errors import StageBroken
from pairmill.filters.heads import read_arrays
from pairmill.models.vectors import NOT_COMPARABLE, check_embeddings, is_sound, vectors_as_long
from pairmill.schemas.arrow import column, error_array
from pairmill.schemas.config import FILE, SPEED, StageConfig
from pairmill.stages.base import Stage

AT_ONCE = 2**24
"""Products that are held in memory."""


class NearestConfig(StageConfig):
    """The centroid nearest to each embedding, and whether it is one that a target hits.

    DataComp's image-based filter: `centroids` are 100,000 clusters of the pool's L/14 embeddings,
    `targets` the embeddings of ImageNet's pictures; `keep: nearest_hit`.
    """

    stage: Annotated[Literal["nearest"], SPEED] = "nearest"
    embedding: str
    """Column with embeddings."""
    centroids: Annotated[str, FILE]
    """File with vectors, (k, d): .npy, .npz, .safetensors, .pt."""
    targets: Annotated[str | None, FILE] = None
    """File with numbers of centroids that are wanted, or with vectors (n, d) whose nearest
    centroids are."""
    batch_size: Annotated[int, SPEED] = Field(1024, ge=1, le=65_536)
    """Rows compared at once."""


class NearestStage(Stage):
    """`nearest`: number of the centroid with the largest product, the first of equal ones, as
    `argmax` has it; `nearest_product`: that product; `nearest_hit` with targets.
    """

    Config = NearestConfig
    prefix = "nearest"
    version = 2
    actor = True

    def bind(self, schema: pa.Schema) -> None:
        """Checks that the column holds embeddings."""
        check_embeddings(schema, self.config.embedding)

    def reads(self) -> list[str]:
        return [self.config.embedding]

    def writes(self) -> pa.Schema:
        c = self.column
        fields = [
            column(c(), pa.int32(), "number of the nearest centroid", "", 0),
            column(c("product"), pa.float32(), "product of embedding and centroid"),
        ]
        if self.config.targets is not None:
            fields.append(column(c("hit"), pa.bool_(), "a target's nearest centroid is the same"))
        return pa.schema(fields)

    def setup(self) -> None:
        self.centroids = vectors_in(self.name, self.config.centroids)
        self.wanted = np.zeros(len(self.centroids), bool)
        if self.config.targets is None:
            return
        path, width = self.config.targets, self.centroids.shape[1]
        targets = one_array(self.name, path)
        if targets.ndim == 2 and targets.shape[1] == width:
            numbers, _ = nearest(targets, self.centroids)
        elif (targets == np.floor(targets)).all():
            numbers = targets.reshape(-1).astype(np.int64)
        else:
            raise StageBroken(
                f"stage {self.name!r}: {path} holds {targets.shape}, neither numbers of centroids "
                f"nor vectors (n, {width}), as long as those of {self.config.centroids}; are they "
                "of another model?"
            )
        outside = numbers[(numbers < 0) | (numbers >= len(self.wanted))]
        if len(outside):
            raise StageBroken(
                f"stage {self.name!r}: {path} names the centroid {outside[0]}, "
                f"and there are {len(self.wanted)}"
            )
        self.wanted[numbers] = True

    def __call__(self, rows: pa.Table) -> pa.Table:
        name, width = self.config.embedding, self.centroids.shape[1]
        values = rows.column(name)
        kind = values.type
        if pa.types.is_fixed_size_list(kind) and kind.list_size != width:
            raise StageBroken(
                f"stage {self.name!r}: {name!r} has vectors of {kind.list_size} numbers, and the "
                f"centroids of {width}: are they of another model?"
            )
        vectors = vectors_as_long(values, width)
        sound = is_sound(vectors)
        with np.errstate(over="ignore", invalid="ignore"):
            number, product = nearest(np.where(sound[:, None], vectors, 0), self.centroids)
        none = ~sound | ~np.isfinite(product)
        why = f"{name!r} is no vector of {width} finite numbers like the centroids, not all 0"
        wrong = none & np.asarray(values.is_valid())
        columns = [
            pa.array(number, pa.int32(), mask=none),
            pa.array(product, pa.float32(), mask=none),
        ]
        if self.config.targets is not None:
            columns.append(pa.array(self.wanted[number], mask=none))
        table = pa.table(columns, schema=self.writes())
        errors = ((NOT_COMPARABLE, why) if fault else None for fault in wrong)
        return table.append_column("error", error_array(errors))


def nearest(vectors: np.ndarray, centroids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(number of the centroid with the largest product, that product), int64 and float32, (n,)."""
    number, product = np.zeros(len(vectors), np.int64), np.zeros(len(vectors), np.float32)
    step = max(1, AT_ONCE // len(centroids))
    for first in range(0, len(vectors), step):
        products = vectors[first : first + step] @ centroids.T
        number[first : first + step] = products.argmax(1)
        product[first : first + step] = products.max(1)
    return number, product


def one_array(stage: str, path: str) -> np.ndarray:
    """The one array of a file, float32."""
    arrays = list(read_arrays(stage, path).values())
    if len(arrays) != 1 or not arrays[0].size:
        raise StageBroken(f"stage {stage!r}: {path} holds {len(arrays)} arrays, and one is wanted")
    return arrays[0]


def vectors_in(stage: str, path: str) -> np.ndarray:
    """The vectors of a file, float32 (k, d)."""
    found = one_array(stage, path)
    if found.ndim != 2:
        raise StageBroken(f"stage {stage!r}: {path} holds {found.shape}, not vectors (k, d)")
    return found
