"""Near duplicates of images: pHashes within a Hamming radius whose thumbnails agree."""

import itertools
from typing import Annotated, Literal

import numpy as np
import polars as pl
import pyarrow as pa
from pydantic import Field

from pairmill.schemas.arrow import ORDER, column
from pairmill.schemas.config import SPEED, StageConfig
from pairmill.stages.base import GlobalStage

PAIRS_AT_ONCE = 4_000_000


class NearDedupConfig(StageConfig):
    """Clusters of images that look alike; `keep: near_dup_of IS NULL` leaves one of each."""

    stage: Annotated[Literal["near_dedup"], SPEED] = "near_dedup"
    hash: str = "image_hash"
    """Column with 64-bit hashes, as `image_hash` writes."""
    radius: int = Field(7, ge=0, le=15)
    """Most bits in which two hashes may differ."""
    max_difference: float = Field(12.0, ge=0, le=255)
    """Largest mean difference of the thumbnails' values, 0 to 255; tells pictures that differ in
    colour only.
    """


class NearDedupStage(GlobalStage):
    """All pairs within the radius (exact: bands by the pigeonhole principle), connected components,
    the first row wins.
    """

    Config = NearDedupConfig
    prefix = "near"

    def reads(self) -> list[str]:
        return [self.config.hash, f"{self.config.hash}_thumbnail"]

    def writes(self) -> pa.Schema:
        return pa.schema(
            [
                column(
                    self.column("dup_of"),
                    pa.string(),
                    "uid of the row this one looks like; null for the first of its kind",
                    role="duplicate",
                ),
                column(
                    self.column("cluster_size"),
                    pa.int64(),
                    "living rows of the cluster, this one included",
                    "rows",
                    1,
                ),
            ]
        )

    def __call__(self, rows: pa.Table) -> pa.Table:
        from scipy.sparse import coo_matrix
        from scipy.sparse.csgraph import connected_components

        hashes = rows.column(self.config.hash).to_numpy().astype(np.uint64)
        thumbnails = rows.column(f"{self.config.hash}_thumbnail").combine_chunks()
        pixels = thumbnails.flatten().to_numpy().reshape(len(hashes), -1)
        left, right = self.pairs(hashes, pixels)
        graph = coo_matrix((np.ones(len(left), bool), (left, right)), shape=(len(hashes),) * 2)
        _, component = connected_components(graph, directed=False)
        frame = pl.DataFrame(
            {
                "component": component,
                "order": rows.column(ORDER).to_numpy(),
                "uid": rows.column("uid").to_pylist(),
            }
        )
        first = pl.col("order").arg_min()
        answer = frame.select(
            pl.when(pl.col("order") != pl.col("order").min().over("component"))
            .then(pl.col("uid").get(first).over("component"))
            .alias(self.column("dup_of")),
            pl.len().over("component").cast(pl.Int64).alias(self.column("cluster_size")),
        )
        return answer.to_arrow().cast(self.writes())

    def pairs(self, hashes: np.ndarray, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Index pairs within radius and difference.  Two hashes that differ in at most r bits agree
        in one of r + 1 bands.
        """
        bands = self.config.radius + 1
        edges = np.linspace(0, 64, bands + 1).astype(int)
        found: set[tuple[int, int]] = set()
        for low, high in itertools.pairwise(edges):
            key = (hashes >> np.uint64(low)) & np.uint64((1 << int(high - low)) - 1)
            order = np.argsort(key, kind="stable")
            starts = np.flatnonzero(np.r_[True, np.diff(key[order]) != 0, True])
            for a, b in itertools.pairwise(starts):
                if b - a > 1:
                    found.update(self.within(order[a:b], hashes, pixels))
        pairs = np.array(sorted(found), np.int64).reshape(-1, 2)
        return pairs[:, 0], pairs[:, 1]

    def within(
        self, members: np.ndarray, hashes: np.ndarray, pixels: np.ndarray
    ) -> list[tuple[int, int]]:
        pairs = []
        step = max(1, PAIRS_AT_ONCE // len(members))
        for start in range(0, len(members), step):
            block = members[start : start + step]
            distance = np.bitwise_count(hashes[block][:, None] ^ hashes[members][None, :])
            i, j = np.nonzero(distance <= self.config.radius)
            one, two = block[i], members[j]
            keep = one < two
            one, two = one[keep], two[keep]
            difference = np.abs(pixels[one].astype(np.int16) - pixels[two]).mean(1)
            pairs += list(
                zip(
                    one[difference <= self.config.max_difference].tolist(),
                    two[difference <= self.config.max_difference].tolist(),
                    strict=True,
                )
            )
        return pairs
