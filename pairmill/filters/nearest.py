"""The nearest of given vectors: clusters of a pool, and whether a target hits them."""

from typing import Annotated, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from pairmill.errors import StageBroken
from pairmill.filters.heads import read_arrays
from pairmill.models.vectors import vectors_of
from pairmill.schemas.arrow import column
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
    actor = True

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
        targets = one_array(self.name, self.config.targets)
        if targets.ndim == 2 and targets.shape[1] == self.centroids.shape[1]:
            numbers, _ = nearest(targets, self.centroids)
        else:
            numbers = targets.reshape(-1).astype(np.int64)
        if len(numbers) and not 0 <= numbers.min() <= numbers.max() < len(self.wanted):
            raise StageBroken(
                f"stage {self.name!r}: {self.config.targets} names the centroid {numbers.max()}, "
                f"and there are {len(self.wanted)}"
            )
        self.wanted[numbers] = True

    def __call__(self, rows: pa.Table) -> pa.Table:
        vectors = vectors_of(rows.column(self.config.embedding))
        if len(vectors) and vectors.shape[1] != self.centroids.shape[1]:
            raise StageBroken(
                f"stage {self.name!r}: embeddings have {vectors.shape[1]} numbers, centroids "
                f"{self.centroids.shape[1]}"
            )
        none = ~np.isfinite(vectors).all(1) if len(vectors) else np.zeros(0, bool)
        number, product = nearest(np.nan_to_num(vectors), self.centroids)
        columns = [
            pa.array(number, pa.int32(), mask=none),
            pa.array(product, pa.float32(), mask=none),
        ]
        if self.config.targets is not None:
            columns.append(pa.array(self.wanted[number], mask=none))
        return pa.table(columns, schema=self.writes())


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
