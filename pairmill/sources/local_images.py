"""Images in files that a table names: paths within one folder, `file://`, Hugging Face's paths;
and those that stand in the table itself as base64.
"""

import json
import os
import posixpath
import re
from base64 import b64decode
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

import fsspec
import pyarrow as pa
import pyarrow.compute as pc

from pairmill.errors import first_line
from pairmill.sources.base import Input, Unreadable
from pairmill.sources.files import below, unusable
from pairmill.sources.globs import below_it
from pairmill.sources.image_numbers import holds_numbers, of_numbers, one_of
from pairmill.sources.input_file import facts_of
from pairmill.sources.members import IMAGES
from pairmill.sources.tar import MAX_MEMBER_BYTES
from pairmill.sources.unchanged import as_listed, check_unchanged

BATCH_BYTES = 2**25
BASE64 = re.compile(r"(?:data:image/[\w.+-]+;base64,)|(?:/9j/|iVBORw0KGgo|UklGR|R0lGOD)[\w+/=]{80}")
"""How JPEG, PNG, WebP and GIF begin in base64."""


class ImageFiles:
    """The files of one folder (`named`, or the tables' `own`), by the names that a table has for
    them.

    A name that leads out of the folder is refused: a table of strangers must not choose which of
    this machine's files become part of a data set.
    """

    def __init__(self, named: str | None, own: str, written: Sequence[str] = ()) -> None:
        self.folder = (named or own).rstrip("/") or "/"
        self.beside = named is None
        self.written = written
        """Folders that the pipeline writes."""
        self._listed: dict[str, Input] | None = None
        self.system, self.root = fsspec.core.url_to_fs(self.folder)
        self.local = "file" in self.system.protocol
        self.shown = self.root if self.local else self.folder

    def inputs(self) -> Iterable[Input]:
        """Every image file, as part of what is read; looked up once.  Of an object store a folder
        that nobody named is not listed: it may be all of a bucket.
        """
        if self._listed is None and self.beside and not self.local:
            self._listed = {}
        if self._listed is None:
            written = tuple(below_it(self.root if self.local else self.folder, self.written))
            self._listed = {
                item.url: replace(item, beside=self.beside)
                for item in below(self.system, self.root, self.root, is_image)
                if unusable(item) is None and not item.name.startswith(written)
            }
        return self._listed.values()

    def read(self, name: str) -> bytes:
        """Raises ValueError where there is no such file in the folder, RunError where it is no more
        what was listed: the row would else be lost, or have another image than its table's identity
        stands for.
        """
        place = self.place(name)
        if (bare := without_number(name)) != name and not self.system.exists(place):
            place = self.place(bare)
        if "\\" in name and not self.system.exists(place):  # written on Windows
            place = self.place(bare.replace("\\", "/"))
        item = (self._listed or {}).get(self.system.unstrip_protocol(place))
        with as_listed([item] if item else []):
            data = self.data(name, place)
        check_unchanged([item] if item else [])
        return data

    def data(self, name: str, place: str) -> bytes:
        """The bytes at a place; raises ValueError where there are none for an image."""
        try:
            size, _, _, fault = facts_of(self.system, place)
            if fault:
                raise ValueError(f"{name[:200]} is {fault}")
            if size > MAX_MEMBER_BYTES:
                raise ValueError(f"{name} has {size:,} bytes, too many for an image")
            return self.system.cat_file(place)
        except FileNotFoundError:
            raise ValueError(f"there is no file {name[:200]} in {self.shown}") from None
        except OSError as error:
            raise ValueError(f"{name[:200]} cannot be read: {first_line(error)}") from None

    def place(self, name: str) -> str:
        """Where the file of this name lies; raises ValueError for an address, and for what leads
        out of the folder, by links too.
        """
        path = unquote(name.removeprefix("file://")) if name.startswith("file://") else name
        if "://" in path:
            raise ValueError(f"{name[:200]} is an address, and `image` names files of a folder")
        place = path if path.startswith("/") else posixpath.join(self.root, path)
        if not self.local:
            place = posixpath.normpath(place)
        root = os.path.realpath(self.root) if self.local else posixpath.normpath(self.root)
        real = os.path.realpath(place) if self.local else place
        if real != root and not real.startswith(root.rstrip("/") + "/"):
            raise ValueError(
                f"{name[:200]} lies outside {self.shown}; name the folder of the images: "
                f"`images: {posixpath.dirname(path) or '/'}`"
            )
        return place


def is_image(name: str) -> bool:
    """Whether a file's name ends as that of an image."""
    return name.lower().rpartition(".")[2] in IMAGES


def names_of(values: pa.ChunkedArray) -> list[Any]:
    """What a column says of each image: bytes, the name of a file, None, or a reason why not."""
    if holds_numbers(values.type):
        return [of_numbers(value.values) for value in values]
    found: list[Any] = []
    for value in values.to_pylist():
        if isinstance(value, str) and value.startswith("["):
            value = listed(value)
        if isinstance(value, list):
            value = one_of(value)
        if isinstance(value, dict):
            value = value.get("bytes") or value.get("path")
        if isinstance(value, list):
            value = one_of(value)
        found.append(value)
    return found


def without_number(name: str) -> str:
    """The name of a file without the number of a caption, which Flickr30k writes as `1.jpg#0`."""
    bare, mark, number = name.rpartition("#")
    return bare if mark and number.isdigit() else name


def decoded(text: str) -> bytes:
    """The bytes of a picture in base64, of a data URL too; raises ValueError."""
    body = text.partition(",")[2] if text.startswith("data:") else text
    try:
        return b64decode(re.sub(r"\s+", "", body), validate=True)
    except ValueError as error:
        raise ValueError(f"damaged base64: {error}") from None


def listed(text: str) -> Any:
    """A list of names that stands as JSON text, or the text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def without_pictures(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Names of image files, null for pictures that stand there as base64."""
    if not pa.types.is_string(values.type):
        return values
    encoded = pc.match_substring_regex(values, f"^(?:{BASE64.pattern})")
    return pc.if_else(encoded, None, values)


def with_images(
    table: pa.Table, column: str, places: list[str], files: ImageFiles
) -> Iterator[tuple[pa.Table, list[str]] | Unreadable]:
    """Tables whose column holds bytes or null, in pieces of some MB, and the places of their
    rows.
    """
    rows: list[int] = []
    images: list[bytes | None] = []
    size = 0

    def piece() -> tuple[pa.Table, list[str]]:
        part = table.drop_columns([column]).take(pa.array(rows, pa.int64()))
        part = part.append_column(column, pa.array(images, pa.large_binary()))
        return part, [places[i] for i in rows]

    for i, value in enumerate(names_of(table.column(column))):
        try:
            if isinstance(value, Exception):
                raise value
            if isinstance(value, str) and BASE64.match(value):
                value = decoded(value)
            data = files.read(value) if isinstance(value, str) else value
        except ValueError as error:
            yield Unreadable(places[i], str(error), "image")
            continue
        rows.append(i)
        images.append(data)
        size += len(data or b"")
        if size > BATCH_BYTES:
            yield piece()
            rows, images, size = [], [], 0
    if rows:
        yield piece()
