"""Near duplicates of images: pHashes within a Hamming radius whose thumbnails agree."""

from typing import Annotated, Literal

import numpy as np
import polars as pl
import pyarrow as pa
from pydantic import Field

from pairmill.schemas.arrow import ORDER, column
from pairmill.schemas.config import SPEED, StageConfig
from pairmill.stages.base import GlobalStage
from pairmill.stages.near_pairs import components


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
        hashes = rows.column(self.config.hash).to_numpy().astype(np.uint64)
        thumbnails = rows.column(f"{self.config.hash}_thumbnail").combine_chunks()
        pixels = thumbnails.flatten().to_numpy().reshape(len(hashes), -1)
        component = components(hashes, pixels, self.config.radius, self.config.max_difference)
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
