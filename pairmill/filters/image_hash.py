"""A perceptual hash and a tiny thumbnail of each image: what near-duplicate search looks at."""

from typing import Annotated, Literal

import numpy as np
import pyarrow as pa
from PIL import Image

from pairmill.images import DecodeError, decode_rgb
from pairmill.schemas.arrow import column, error_array
from pairmill.schemas.config import SPEED, StageConfig
from pairmill.stages.base import Stage

THUMBNAIL_PX = 8
THUMBNAIL = THUMBNAIL_PX * THUMBNAIL_PX * 3


class ImageHashConfig(StageConfig):
    """64-bit pHash of each image (Zauner 2010), and an 8 × 8 RGB thumbnail that tells colours
    apart.
    """

    stage: Annotated[Literal["image_hash"], SPEED] = "image_hash"
    image: str = "image"
    """Column with encoded images."""


class ImageHashStage(Stage):
    """pHash: luminance at 32 × 32, DCT, the 8 × 8 lowest frequencies against their median."""

    Config = ImageHashConfig
    prefix = "image_hash"
    version = 2
    decodes = True
    cpus = 0.5

    def reads(self) -> list[str]:
        return [self.config.image]

    def writes(self) -> pa.Schema:
        return pa.schema(
            [
                column(self.column(), pa.uint64(), "64-bit pHash", "hash"),
                column(
                    self.column("thumbnail"),
                    pa.list_(pa.uint8(), THUMBNAIL),
                    "8 × 8 RGB thumbnail, row by row",
                ),
            ]
        )

    def __call__(self, rows: pa.Table) -> pa.Table:
        hashes: list[int | None] = []
        thumbnails: list[list[int] | None] = []
        errors: list[tuple[str, str] | None] = []
        for data in rows.column(self.config.image):
            try:
                image = decode_rgb(data.as_py())
            except DecodeError as error:
                hashes.append(None)
                thumbnails.append(None)
                errors.append(("decode", str(error)))
                continue
            hashes.append(phash(image))
            small = image.resize((THUMBNAIL_PX, THUMBNAIL_PX), Image.Resampling.BOX)
            thumbnails.append(np.asarray(small).ravel().tolist())
            errors.append(None)
        table = pa.table(
            [pa.array(hashes, pa.uint64()), pa.array(thumbnails, self.writes().field(1).type)],
            schema=self.writes(),
        )
        return table.append_column("error", error_array(errors))


def phash(image: Image.Image) -> int:
    """The hash of an RGB image as an integer, most significant bit first."""
    from scipy.fft import dctn

    grey = np.asarray(image.convert("L").resize((32, 32), Image.Resampling.LANCZOS), np.float32)
    low = dctn(grey, norm="ortho")[:8, :8].ravel()
    bits = low > np.median(low[1:])
    return int(np.packbits(bits).view(">u8")[0])
