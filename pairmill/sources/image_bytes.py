"""Images that the input brings along: their bytes, and what their headers say."""

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pairmill.images import open_image, shown_size
from pairmill.schemas.arrow import column
from pairmill.sources.base import Unreadable


def measured_schema() -> list[pa.Field]:
    """The columns that come with image bytes."""
    return [
        column("image", pa.large_binary(), "encoded image, as it stood in the input"),
        column("width", pa.int32(), "width of `image`", "px", 1),
        column("height", pa.int32(), "height of `image`", "px", 1),
        column("sha256", pa.string(), "SHA-256 of the bytes of `image`, hex"),
    ]


def image_columns(
    table: pa.Table, image: str, file: str, places: Sequence[int] | None = None
) -> Iterator[pa.Table | Unreadable]:
    """Replaces the input's image column by `image`, `width`, `height`, `sha256`; rows without a
    readable image come as Unreadable.

    `places`: numbers of the rows in their file, where the table is not the whole of it.
    """
    values = table.column(image)
    if pa.types.is_struct(values.type):
        values = pc.struct_field(values, "bytes")
    sound: list[int] = []
    columns: dict[str, list[Any]] = {"image": [], "width": [], "height": [], "sha256": []}
    for i, data in enumerate(values.to_pylist()):
        try:
            if data is None:
                raise ValueError("no image bytes")
            width, height = shown_size(open_image(data))
        except ValueError as error:
            yield Unreadable(f"{file} row {places[i] if places else i}", str(error), "image")
            continue
        sound.append(i)
        for name, value in zip(
            columns, (data, width, height, hashlib.sha256(data).hexdigest()), strict=True
        ):
            columns[name].append(value)
    table = table.drop_columns([image]).take(pa.array(sound, pa.int64()))
    for field in measured_schema():
        table = table.append_column(field, pa.array(columns[field.name], field.type))
    yield table
