"""Countable facts about a picture: sharpness, contrast, borders, colour, size in bytes."""

from typing import Annotated, Literal

import numpy as np
import pyarrow as pa
from PIL import Image
from pydantic import Field

from pairmill.images import DecodeError, decode_rgb
from pairmill.schemas.arrow import column, error_array
from pairmill.schemas.config import COLUMN, SPEED, StageConfig
from pairmill.stages.base import Stage

FACTS = ("sharpness", "entropy", "brightness", "contrast", "saturation", "border")


class ImageRulesConfig(StageConfig):
    """Counts over pixels; `keep: image_rules_sharpness > 20 AND image_rules_border < 0.4`.

    LAION-5B drops files below 5 KB: `image_rules_bytes >= 5000`.
    """

    stage: Annotated[Literal["image_rules"], SPEED] = "image_rules"
    image: Annotated[str, COLUMN] = "image"
    """Column with encoded images."""
    side: int = Field(256, ge=16, le=4096)
    """Larger pictures are looked at with the longer side shrunk to this, in pixels."""
    border_range: int = Field(8, ge=0, le=255)
    """Levels that rows and columns of a border may differ by, of 255."""


class ImageRulesStage(Stage):
    """`sharpness`: variance of the Laplacian of the luminance (Pech-Pacheco 2000); `entropy`: of
    its 256 levels, in bits; `brightness`, `contrast`: its mean and standard deviation;
    `saturation`:
    mean distance of the largest and smallest channel, 0 in a grey picture; `border`: share of rows
    and columns at the edges that have one colour; `bytes`.
    """

    Config = ImageRulesConfig
    prefix = "image_rules"
    decodes = True
    cpus = 0.5

    def reads(self) -> list[str]:
        return [self.config.image]

    def writes(self) -> pa.Schema:
        c, real = self.column, pa.float32()
        return pa.schema(
            [
                column(c("sharpness"), real, "variance of the luminance's Laplacian", "", 0),
                column(c("entropy"), real, "entropy of the luminance's levels", "bits", 0, 8),
                column(c("brightness"), real, "mean luminance", "", 0, 255),
                column(c("contrast"), real, "standard deviation of the luminance", "", 0, 128),
                column(c("saturation"), real, "mean of largest less smallest channel", "", 0, 255),
                column(c("border"), real, "share of one-coloured edges", "", 0, 1),
                column(c("bytes"), pa.int64(), "size of the file", "bytes", 0),
            ]
        )

    def __call__(self, rows: pa.Table) -> pa.Table:
        values = np.full((rows.num_rows, len(FACTS)), np.nan, np.float32)
        sizes: list[int] = []
        errors: list[tuple[str, str] | None] = [None] * rows.num_rows
        for i, data in enumerate(rows.column(self.config.image)):
            encoded = data.as_py()
            sizes.append(len(encoded))
            try:
                values[i] = facts(shrunk(decode_rgb(encoded), self.config.side), self.config)
            except DecodeError as error:
                errors[i] = ("decode", str(error))
        columns = [pa.array(values[:, i], from_pandas=True) for i in range(len(FACTS))]
        table = pa.table([*columns, pa.array(sizes, pa.int64())], schema=self.writes())
        return table.append_column("error", error_array(errors))


def shrunk(image: Image.Image, side: int) -> np.ndarray:
    """The pixels, uint8 (h, w, 3), of a picture whose longer side is at most `side`."""
    longest = max(image.size)
    if longest > side:
        width, height = (max(1, round(s * side / longest)) for s in image.size)
        image = image.resize((width, height), Image.Resampling.BOX)
    return np.asarray(image)


def facts(pixels: np.ndarray, config: ImageRulesConfig) -> tuple[float, ...]:
    """Numbers in the order of FACTS."""
    grey = pixels.astype(np.float64) @ np.array([0.299, 0.587, 0.114])
    levels = np.bincount(np.rint(grey).astype(np.int64).ravel(), minlength=256)
    share = levels[levels > 0] / levels.sum()
    spread = pixels.max(2).astype(np.float64) - pixels.min(2)
    return (
        laplacian_variance(grey), float(-(share * np.log2(share)).sum()), float(grey.mean()),
        float(grey.std()), float(spread.mean()), border(pixels, config.border_range),
    )  # fmt: skip


def laplacian_variance(grey: np.ndarray) -> float:
    """Variance of the four neighbours' sum less four times the pixel, inner pixels alone."""
    if min(grey.shape) < 3:
        return 0.0
    inner = grey[1:-1, 1:-1]
    around = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
    return float((around - 4 * inner).var())


def border(pixels: np.ndarray, allowed: int) -> float:
    """The share of the picture that lies in rows and columns of one colour at its edges."""
    plain_rows = one_coloured(pixels, allowed)
    plain_columns = one_coloured(pixels.swapaxes(0, 1), allowed)
    height, width = pixels.shape[:2]
    left = (height - edges(plain_rows)) * (width - edges(plain_columns))
    return 1 - left / (height * width)


def one_coloured(lines: np.ndarray, allowed: int) -> np.ndarray:
    """Whether each line's pixels differ by no more than `allowed` levels in any channel."""
    return (lines.max(1).astype(np.int64) - lines.min(1)).max(1) <= allowed


def edges(plain: np.ndarray) -> int:
    """How many lines at both ends are plain."""
    if plain.all():
        return len(plain)
    return int(plain.argmin() + plain[::-1].argmin())
