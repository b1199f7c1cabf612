"""Pictures in a terminal that has the colours for them, two pixels to a character cell."""

import tarfile
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from rich.console import Console
from rich.table import Table
from rich.text import Text
from rich_pixels import Pixels

from pairmill.images import DecodeError, decode_rgb
from pairmill.safe_output import printable
from pairmill.schemas.arrow import is_payload
from pairmill.workspace.storage import Storage

SIDE_PX = 32
"""The longer side of a picture: 32 columns, or 16 lines."""
GAP = 2
IMAGES = (".jpg", ".jpeg", ".png", ".webp", ".gif")


def can_show(out: Console) -> bool:
    """Whether the terminal shows colours."""
    return out.is_terminal and out.color_system in ("256", "truecolor")


def show_pictures(storage: Storage, name: str, count: int, out: Console) -> None:
    """The first pictures of a Parquet file or a tar side by side; nothing where there are none."""
    pictures = (
        pictures_of_tar(storage, name, count)
        if name.endswith(".tar")
        else pictures_of_parquet(storage, name, count)
    )
    shown = (
        [
            (Pixels.from_image(small(data)), Text(printable(label), style="dim"))
            for label, data in pictures
        ]
        if count
        else []
    )
    for beside in batched(shown, max(1, out.width // (SIDE_PX + GAP))):
        table = Table.grid(padding=(0, GAP, 0, 0))
        for _ in beside:
            table.add_column(width=SIDE_PX)
        table.add_row(*(picture for picture, _ in beside))
        table.add_row(*(label for _, label in beside))
        out.print(table)


def batched(items: list[Any], size: int) -> Iterator[list[Any]]:
    """Items in groups of at most so many."""
    yield from (items[i : i + size] for i in range(0, len(items), size))


def small(data: bytes) -> Image.Image:
    """A grey square stands for what is no picture."""
    try:
        image = decode_rgb(data)
    except DecodeError:
        return Image.new("RGB", (8, 8), (128, 128, 128))
    image.thumbnail((SIDE_PX, SIDE_PX))
    return image


def pictures_of_tar(storage: Storage, name: str, count: int) -> Iterator[tuple[str, bytes]]:
    """(name, bytes) of the first pictures in a tar."""
    with (
        storage.fs.open_input_file(storage.path(name)) as stream,
        tarfile.open(fileobj=stream) as tar,
    ):
        for member in tar:
            if (
                count
                and member.name.lower().endswith(IMAGES)
                and (handle := tar.extractfile(member))
            ):
                yield member.name, handle.read()
                count -= 1
            if not count:
                return


def pictures_of_parquet(storage: Storage, name: str, count: int) -> Iterator[tuple[str, bytes]]:
    """Of the first column that holds bytes, or lists of them as a document does; of each row the
    first that is not null.
    """
    with storage.fs.open_input_file(storage.path(name)) as stream:
        file = pq.ParquetFile(stream)
        column = next((f.name for f in file.schema_arrow if holds_pictures(f.type)), None)
        values: Iterator[Any] = (
            (
                v
                for b in file.iter_batches(batch_size=64, columns=[column])
                for v in b.column(0).to_pylist()
            )
            if column
            else iter(())
        )
        for row, value in enumerate(values):
            data = next((v for v in value or () if v), None) if isinstance(value, list) else value
            if data:
                yield f"row {row}", data
                count -= 1
            if not count:
                return


def holds_pictures(dtype: pa.DataType) -> bool:
    """Whether a column may hold encoded images, at any depth."""
    return is_payload(dtype)
