"""Marks the best share of all living rows by a score."""

import polars as pl
import pyarrow as pa
from pydantic import Field

from pairmill.stage import GlobalStage, StageConfig, column


class TopFractionConfig(StageConfig):
    score: str
    """Column with the score."""
    share: float = Field(0.3, gt=0, le=1)
    """Share of the rows that is marked; of equal scores the earlier rows."""


class TopFractionStage(GlobalStage):
    """True for the best share of the rows that come to it."""

    Config, prefix = TopFractionConfig, "top"

    def reads(self) -> list[str]:
        return [self.config.score]

    def writes(self) -> pa.Schema:
        return pa.schema([column(self.column(), pa.bool_(), "whether the row is of the best")])

    def __call__(self, rows: pa.Table) -> pa.Table:
        place = pl.Series(rows[self.config.score]).rank("ordinal", descending=True)
        best = place <= round(self.config.share * rows.num_rows)
        return pa.table([best.to_arrow()], schema=self.writes())
