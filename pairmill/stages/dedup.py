"""Exact duplicates over one or several columns."""

from typing import Annotated, Literal

import polars as pl
import pyarrow as pa
from pydantic import Field

from pairmill.schemas.arrow import ORDER, column
from pairmill.schemas.config import SPEED, StageConfig
from pairmill.stages.base import GlobalStage


class DedupConfig(StageConfig):
    """Rows that are equal in all of `on`; `keep: dup_of IS NULL` leaves one of each."""

    stage: Annotated[Literal["dedup"], SPEED] = "dedup"
    on: list[str] = Field(min_length=1, max_length=16)
    """Columns that make a duplicate when all are equal, such as `[sha256]` or `[url, text]`.  Tools
    that read YAML 1.1 take a bare `on` for true; they want `"on": [sha256]`.
    """
    prefer: str | None = None
    """Numeric column whose largest value wins; the earlier row wins among equals, and a row without
    a value (null, NaN) only where none has one.
    """


class DedupStage(GlobalStage):
    """`dup_of`: uid of the row that stands for the cluster, null for that row itself;
    `cluster_size`: rows in the cluster.
    """

    Config = DedupConfig

    def keys(self) -> list[str]:
        return list(self.config.on)

    def reads(self) -> list[str]:
        return [*self.config.on, *([self.config.prefer] if self.config.prefer else [])]

    def may_lack(self) -> list[str]:
        return [c for c in self.reads() if c not in self.config.on]

    def writes(self) -> pa.Schema:
        return pa.schema(
            [
                column(
                    self.column("dup_of"),
                    pa.string(),
                    "uid of the row this one repeats; null for the first of its kind",
                    role="duplicate",
                ),
                column(
                    self.column("cluster_size"),
                    pa.int64(),
                    "living rows that are equal, this one included",
                    "rows",
                    1,
                ),
            ]
        )

    def __call__(self, rows: pa.Table) -> pa.Table:
        frame = pl.from_arrow(rows)
        assert isinstance(frame, pl.DataFrame)
        by, descending = ([ORDER], [False])
        if self.config.prefer:
            by, descending = [self.config.prefer, ORDER], [True, False]
            if frame.schema[self.config.prefer].is_float():
                frame = frame.with_columns(pl.col(self.config.prefer).fill_nan(None))
        answer = frame.with_row_index("__at").sort(by, descending=descending, nulls_last=True).select(
            "__at",
            pl.when(pl.col(ORDER) != pl.col(ORDER).first().over(self.config.on))
            .then(pl.col("uid").first().over(self.config.on))
            .alias(self.column("dup_of")),
            pl.len().over(self.config.on).cast(pl.Int64).alias(self.column("cluster_size")),
        )  # fmt: skip
        return answer.sort("__at").drop("__at").to_arrow().cast(self.writes())
