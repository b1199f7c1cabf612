"""Images that the input brings along: their bytes, and what their headers say."""

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pairmill.images import open_image, shown_size
from pairmill.schemas.arrow import HASH_OF, column
from pairmill.sources.base import Unreadable


def measured_schema() -> list[pa.Field]:
    """The columns that come with image bytes."""
    return [
        column("image", pa.large_binary(), "encoded image, as it stood in the input"),
        column("width", pa.int32(), "width of `image`", "px", 1),
        column("height", pa.int32(), "height of `image`", "px", 1),
        with_hash_mark(column("sha256", pa.string(), "SHA-256 of the bytes of `image`, hex")),
    ]


def with_hash_mark(field: pa.Field) -> pa.Field:
    """The field, told to be the hash of `image`, against which packages compare the bytes."""
    return field.with_metadata({**field.metadata, HASH_OF: b"image"})


def image_columns(
    table: pa.Table, image: str, file: str, places: Sequence[int | str] | None = None
) -> Iterator[pa.Table | Unreadable]:
    """Replaces the input's image column by `image`, `width`, `height`, `sha256`; rows without a
    readable image come as Unreadable.

    `places`: numbers of the rows in their file, where the table is not the whole of it, or words.
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
            place = places[i] if places else i
            where = place if isinstance(place, str) else f"{file} row {place}"
            yield Unreadable(where, str(error), "image")
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
