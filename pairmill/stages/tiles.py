"""Parts of each image as a list: a grid, or boxes that a column names."""

import io
import math
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import pyarrow as pa
from PIL import Image
from pydantic import Field, model_validator

from pairmill.schemas.arrow import column
from pairmill.schemas.config import COLUMN, SPEED, StageConfig
from pairmill.stages.base import Stage
from pairmill.stages.decoding import decoded

Box = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels of the upright image; right and bottom are outside."""
TILE = pa.struct([("box", pa.list_(pa.int32())), ("image", pa.large_binary())])
JPEG_QUALITY = 95


class TilesConfig(StageConfig):
    """Tiles of each image: a grid (`grid: [2, 3]`, which may overlap), or the boxes of a column."""

    stage: Annotated[Literal["tiles"], SPEED] = "tiles"
    image: Annotated[str, COLUMN] = "image"
    """Column with encoded images."""
    grid: list[Annotated[int, Field(ge=1, le=64)]] | None = Field(None, min_length=2, max_length=2)
    """Rows and columns of the grid; every pixel lies in a tile."""
    overlap: float = Field(0.0, ge=0, lt=1)
    """Share of a tile's width and height that it has in common with its neighbour."""
    whole: bool = False
    """Whether the whole image stands in front of the tiles, as the last models want it."""
    boxes: Annotated[str | None, COLUMN] = None
    """Column with lists of boxes instead of a grid: four numbers each, or structs with a field
    `box`
    of four numbers.
    """
    box_format: Literal["xyxy", "xywh"] = "xyxy"
    """What the four numbers are: left, top, right, bottom, or left, top, width, height."""
    box_unit: Literal["px", "share"] = "px"
    """Their unit: pixels of the upright image, or shares of its width and height."""
    format: Literal["jpg", "png"] = "jpg"
    """Encoding of the tiles: JPEG of quality 95, or PNG, which loses nothing."""

    @model_validator(mode="after")
    def _one_way(self) -> "TilesConfig":
        if (self.grid is None) == (self.boxes is None):
            raise ValueError("give either `grid: [rows, columns]` or `boxes: COLUMN`")
        if self.boxes is not None and self.overlap:
            raise ValueError("`overlap:` belongs to a grid; boxes overlap as they are")
        return self


class TilesStage(Stage):
    """Cuts each image; a box without a pixel in the image has a null image, and is counted."""

    Config = TilesConfig
    prefix = "tiles"
    decodes = True
    cpus = 0.5

    def reads(self) -> list[str]:
        return [self.config.image, *([self.config.boxes] if self.config.boxes else [])]

    def writes(self) -> pa.Schema:
        return pa.schema(
            [
                column(self.column(), pa.list_(TILE), "tiles in order, with their boxes in pixels"),
                column(self.column("count"), pa.int32(), "tiles that have an image", "", 0),
                column(self.column("empty"), pa.int32(), "boxes outside of the image", "", 0),
            ]
        )

    def __call__(self, rows: pa.Table) -> pa.Table:
        found = decoded(rows.column(self.config.image))
        lists, counts, empty = [], [], []
        boxes = rows.column(self.config.boxes).to_pylist() if self.config.boxes else None
        for row, image in zip(found.sound, found.images, strict=True):
            places = self.places(image, boxes[row] if boxes else None)
            tiles = [{"box": list(box), "image": self.cut(image, box)} for box in places]
            lists.append(tiles)
            counts.append(sum(tile["image"] is not None for tile in tiles))
            empty.append(len(tiles) - counts[-1])
        return found.answer(self.writes(), lists, counts, empty)

    def places(self, image: Image.Image, given: list[Any] | None) -> list[Box]:
        """The boxes of an image's tiles, in order."""
        whole = [(0, 0, image.width, image.height)] if self.config.whole else []
        if given is not None:
            return [*whole, *(self.box_of(one, image) for one in given)]
        rows, columns = self.config.grid or (1, 1)
        across = spans(image.width, columns, self.config.overlap)
        down = spans(image.height, rows, self.config.overlap)
        return [*whole, *((x0, y0, x1, y1) for y0, y1 in down for x0, x1 in across)]

    def box_of(self, given: Any, image: Image.Image) -> Box:
        """A box as given, in whole pixels around it, cut at the image's border; without extent
        where
        it is none.
        """
        numbers = given.get("box") if isinstance(given, dict) else given
        if numbers is None or len(numbers) != 4 or not all(map(is_number, numbers)):
            return (0, 0, 0, 0)
        left, top, x, y = map(float, numbers)
        right, bottom = (left + x, top + y) if self.config.box_format == "xywh" else (x, y)
        across, down = (image.width, image.height) if self.config.box_unit == "share" else (1, 1)
        x0, x1 = inside(left * across, right * across, image.width)
        y0, y1 = inside(top * down, bottom * down, image.height)
        return (x0, y0, x1, y1)

    def cut(self, image: Image.Image, box: Box) -> bytes | None:
        """A tile's encoded image; None where the box holds no pixel."""
        if box[2] <= box[0] or box[3] <= box[1]:
            return None
        out = io.BytesIO()
        tile = image.crop(box)
        if self.config.format == "png":
            tile.save(out, "PNG")
        else:
            tile.save(out, "JPEG", quality=JPEG_QUALITY)
        return out.getvalue()


def is_number(value: Any) -> bool:
    """Whether a value is a finite number."""
    return isinstance(value, int | float) and math.isfinite(value)


def inside(low: float, high: float, size: int) -> tuple[int, int]:
    """The whole pixels around a span, within an image of `size` pixels."""
    # A ten-thousandth of a pixel forgives what shares lose in arithmetic.
    first, last = math.floor(low + 1e-4), math.ceil(high - 1e-4)
    return min(max(first, 0), size), min(max(last, 0), size)


def spans(size: int, count: int, overlap: float) -> Sequence[tuple[int, int]]:
    """`count` spans of equal length that cover `size` pixels, neighbours with `overlap` of their
    length in common; a span of an image with fewer pixels than spans may be empty.
    """
    length = size / (1 + (count - 1) * (1 - overlap))
    places = [i * length * (1 - overlap) for i in range(count)]
    starts = [min(round(place), size) for place in places]
    ends = [min(round(place + length), size) for place in places]
    # halves are rounded to even numbers, so an end may fall one short of the next start
    return [
        (start, max(end, after))
        for start, end, after in zip(starts, ends, [*starts[1:], size], strict=True)
    ]
