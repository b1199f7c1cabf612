"""A gate alone: computes nothing, only `keep` matters."""

from typing import Annotated, Literal

import pyarrow as pa

from pairmill.schemas.config import SPEED, StageConfig
from pairmill.stages.base import Stage


class FilterConfig(StageConfig):
    """A gate over columns that are already there."""

    stage: Annotated[Literal["filter"], SPEED] = "filter"
    keep: Annotated[str | None, SPEED] = None
    """SQL expression over columns (docs/expressions.md); rows for which it is not true go no
    further.
    """


class FilterStage(Stage):
    """Applies `keep` to columns of earlier stages."""

    Config = FilterConfig

    def reads(self) -> list[str]:
        return []

    def writes(self) -> pa.Schema:
        return pa.schema([])

    def __call__(self, rows: pa.Table) -> pa.Table:
        return rows.select([])
