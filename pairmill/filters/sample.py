"""A number by chance for each row, which depends on the row and the seed alone."""

from typing import Annotated, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from pairmill.schemas.arrow import column
from pairmill.schemas.config import SPEED, StageConfig
from pairmill.schemas.hash_columns import row_chances
from pairmill.stages.base import Stage


class SampleConfig(StageConfig):
    """A uniform random number per row; `keep: sample < 0.1` keeps a tenth."""

    stage: Annotated[Literal["sample"], SPEED] = "sample"
    batch_size: Annotated[int, SPEED] = Field(16_384, ge=1, le=65_536)
    """Rows given to the stage at once."""
    seed: int | None = Field(None, ge=0, le=2**32 - 1)
    """Seed, the pipeline's if absent; two samples with different seeds are independent."""


class SampleStage(Stage):
    """BLAKE2b of seed and uid as a number in [0, 1): the same for a row in every run, on every
    machine.
    """

    Config = SampleConfig
    prefix = "sample"
    cpus = 0.25

    def reads(self) -> list[str]:
        return ["uid"]

    def writes(self) -> pa.Schema:
        return pa.schema(
            [column(self.column(), pa.float64(), "uniform random number of the row", "", 0, 1)]
        )

    def __call__(self, rows: pa.Table) -> pa.Table:
        chances = row_chances(rows.column("uid"), self.config.seed or 0, "sample")
        numbers = (chances >> np.uint64(11)).astype(np.float64) / 2**53
        return pa.table([pa.array(numbers)], schema=self.writes())
