"""Images that the input brings along: their bytes, and what their headers (or pixels) say."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from pairmill.images import check_pixels, open_image, shown_size
from pairmill.schemas.arrow import HASH_OF, column
from pairmill.schemas.pipeline import SourceConfig
from pairmill.sources.base import Unreadable

Check = Literal["header", "pixels"]
THREADS = min(8, os.cpu_count() or 1)
"""Pictures decoded at once, each up to half a gigabyte."""


class ImageBytesConfig(SourceConfig):
    """Keys of every source that brings image bytes along."""

    check: Check | None = None
    """How a row's image is looked at: its `header`, or all its `pixels`, so that a damaged one is
    `unreadable`.  If absent: `header` where a stage that no row passes by (`when:`,
    `on_missing: keep`) decodes the source's images (clip, image_hash, caption) and tells damaged
    ones as `decode` failures, else `pixels`.  It is part of the pool's identity, as every option
    is: the first stage that decodes makes another pool; say `check:` to keep one for both.
    """


def measured_schema() -> list[pa.Field]:
    """The columns that come with image bytes."""
    return [
        column("image", pa.large_binary(), "encoded image, as it stood in the input"),
        column("width", pa.int32(), "width of `image`", "px", 1, of="image"),
        column("height", pa.int32(), "height of `image`", "px", 1, of="image"),
        with_hash_mark(column("sha256", pa.string(), "SHA-256 of the bytes of `image`, hex")),
    ]


def with_hash_mark(field: pa.Field) -> pa.Field:
    """The field, told to be the hash of `image`, against which packages compare the bytes."""
    return field.with_metadata({**field.metadata, HASH_OF: b"image"})


def image_columns(
    table: pa.Table,
    image: str,
    file: str,
    places: Sequence[int | str] | None = None,
    check: Check | None = None,
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
    with ThreadPoolExecutor(THREADS if check != "header" else 1) as threads:
        measured = threads.map(lambda data: measure(data, check), values.to_pylist())
        for i, found in enumerate(measured):
            if isinstance(found, str):
                place = places[i] if places else i
                where = place if isinstance(place, str) else f"{file} row {place}"
                yield Unreadable(where, found, "image")
                continue
            sound.append(i)
            for name, value in zip(columns, found, strict=True):
                columns[name].append(value)
    table = table.drop_columns([image]).take(pa.array(sound, pa.int64()))
    for field in measured_schema():
        table = table.append_column(field, pa.array(columns[field.name], field.type))
    yield table


def measure(data: bytes | None, check: Check | None) -> tuple[bytes, int, int, str] | str:
    """(bytes, width and height as shown, SHA-256), or why there is no image."""
    if data is None:
        return "no image bytes"
    try:
        image = open_image(data)
        width, height = shown_size(image)
        if check != "header":
            check_pixels(image)
    except (ValueError, MemoryError) as error:
        return str(error) or "not enough memory to decode"
    return data, width, height, hashlib.sha256(data).hexdigest()
