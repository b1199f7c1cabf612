"""Sides and shape of an image, from its width and height."""

from typing import Annotated, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from pairmill.schemas.arrow import column
from pairmill.schemas.config import COLUMN, SPEED, StageConfig
from pairmill.stages.base import Stage


class ResolutionConfig(StageConfig):
    """Sides and aspect of each image.

    DataComp's basic filter is `keep: shorter_side >= 200 AND aspect <= 3.0` over the original size.
    """

    stage: Annotated[Literal["resolution"], SPEED] = "resolution"
    batch_size: Annotated[int, SPEED] = Field(16_384, ge=1, le=65_536)
    """Rows given to the stage at once."""
    width: Annotated[str, COLUMN] = "width"
    """Column with the width in pixels; `original_width` for the size before resizing."""
    height: Annotated[str, COLUMN] = "height"
    """Column with the height in pixels; `original_height` for the size before resizing."""


class ResolutionStage(Stage):
    """aspect = longer side / shorter side, as in DataComp's basic filter."""

    Config = ResolutionConfig
    cpus = 0.25

    def reads(self) -> list[str]:
        return [self.config.width, self.config.height]

    def writes(self) -> pa.Schema:
        return pa.schema(
            [
                column(self.column("shorter_side"), pa.int32(), "shorter side", "px", 1),
                column(self.column("longer_side"), pa.int32(), "longer side", "px", 1),
                column(self.column("aspect"), pa.float32(), "longer side / shorter side", "", 1),
                column(self.column("megapixels"), pa.float32(), "width × height / 10⁶", "Mpx", 0),
            ]
        )

    def __call__(self, rows: pa.Table) -> pa.Table:
        width = rows.column(self.config.width).to_numpy().astype(np.float64)
        height = rows.column(self.config.height).to_numpy().astype(np.float64)
        shorter, longer = np.minimum(width, height), np.maximum(width, height)
        aspect = np.divide(longer, shorter, out=np.full_like(longer, np.nan), where=shorter > 0)
        columns = [
            shorter.astype(np.int32),
            longer.astype(np.int32),
            aspect.astype(np.float32),
            (width * height / 1e6).astype(np.float32),
        ]
        return pa.table([pa.array(c) for c in columns], schema=self.writes())
