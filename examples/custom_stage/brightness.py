"""A stage of one's own: mean brightness of each image."""

import numpy as np
import pyarrow as pa

from pairmill import Stage, StageConfig, column
from pairmill.images import decode_rgb


class BrightnessConfig(StageConfig):
    image: str = "image"
    """Column with encoded images."""


class BrightnessStage(Stage):
    """Mean of all pixel values over 255: 0 is black, 1 is white."""

    Config = BrightnessConfig
    prefix = "brightness"

    def reads(self) -> list[str]:
        return [self.config.image]

    def writes(self) -> pa.Schema:
        return pa.schema([column(self.column(), pa.float32(), "mean pixel value", "", 0, 1)])

    def __call__(self, rows: pa.Table) -> pa.Table:
        values = [
            np.asarray(decode_rgb(data.as_py())).mean() / 255
            for data in rows.column(self.config.image)
        ]
        return pa.table([pa.array(values, pa.float32())], schema=self.writes())
