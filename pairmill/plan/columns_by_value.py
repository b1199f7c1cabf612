"""Which columns of a table hold addresses, picture files and texts, told by their values where
their names say nothing.
"""

import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from pairmill.sources.local_images import BASE64
from pairmill.sources.tables import like
from pairmill.sources.values import is_list

ADDRESS = re.compile(r"^\s*https?://\S+\s*$", re.IGNORECASE)
"""An address alone: a line of a table that was not taken apart begins with one, too."""
PICTURE = re.compile(r"\.(?:jpe?g|png|webp|gif|bmp|tiff?)(?:[?#]|$)", re.IGNORECASE)
ENCODED = re.compile(rf"^\s*(?:{BASE64.pattern})")
"""A picture as base64 text."""
WORDS = re.compile(r"\S\s+\S|[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff]")
"""Two words, or letters of a script that sets no spaces between them."""
OBJECTS = re.compile(r"^\s*(?:\[\s*)?\{")
"""Objects as JSON, such as the boxes of a picture."""
LOOKED_FOR = 20
"""Names of files that are looked for in each folder."""
CAPTION = re.compile("caption|alt_?text", re.IGNORECASE)
"""Names of what was written about a picture rather than about its page."""
GIVEN = ("uid", "doc_id", "source")
"""Columns that name a row or its file, whatever they hold."""
MOST_NAMED = 5


@dataclass
class TextSample:
    """The texts of a table by the dotted path that leads to them, within objects too."""

    rows: int
    values: dict[str, list[str]] = field(default_factory=dict)
    lists: set[str] = field(default_factory=set)
    """Paths at which rows hold lists of texts."""

    def add(self, path: str, values: Iterable[Any]) -> None:
        """Takes in the values at a path."""
        there = [v for v in values if v is not None]
        objects = objects_of(there)
        for key in dict.fromkeys(key for one in objects for key in one if "." not in key):
            self.add(f"{path}.{key}", (one.get(key) for one in objects))
        if there and not objects:
            flat = [x for v in there for x in (v if isinstance(v, list) else [v]) if x is not None]
            if flat and all(isinstance(x, str) for x in flat):
                self.values[path] = flat
                self.lists |= {path} if any(isinstance(v, list) for v in there) else set()

    def mostly(self, pattern: re.Pattern[str]) -> list[str]:
        """Paths at which more than half of the rows match."""
        counts = {p: sum(bool(pattern.search(v)) for v in found) for p, found in self.single()}
        return [path for path, count in counts.items() if 2 * count > self.rows]

    def single(self) -> list[tuple[str, list[str]]]:
        """Paths with one text a row."""
        return [(path, found) for path, found in self.values.items() if path not in self.lists]


def texts_of(rows: pa.Table) -> TextSample:
    """The texts of some rows, whose columns have the input's names."""
    found = TextSample(rows.num_rows)
    for column in rows.schema:
        dtype = column.type.value_type if is_list(column.type) else column.type
        plain = pa.types.is_string(dtype) or pa.types.is_large_string(dtype)
        if column.name not in GIVEN and (plain or pa.types.is_struct(dtype)):
            found.add(column.name, rows.column(column.name).to_pylist())
    return found


def objects_of(values: list[Any]) -> list[dict[str, Any]]:
    """The values, if every one is an object or the JSON text of one; else none."""
    found = []
    for value in values:
        if isinstance(value, str) and value.startswith("{"):
            try:
                value = json.loads(value)
            except (ValueError, RecursionError):
                return []
        if not isinstance(value, dict):
            return []
        found.append(value)
    return found


@dataclass(frozen=True)
class ColumnChoice:
    """What was taken for something, and what else might have been."""

    path: str
    others: tuple[str, ...]

    def note(self, ours: str) -> list[str]:
        """A line that tells the other possibilities, if there are any."""
        shown = ", ".join(self.others[:MOST_NAMED])
        more = f", … ({len(self.others)} in all)" if len(self.others) > MOST_NAMED else ""
        return [f"{ours} might also be {shown}{more}"] if self.others else []


def address(texts: TextSample) -> ColumnChoice | None:
    """The path of addresses: of pictures rather than of pages, by suffix, then by name."""
    found = texts.mostly(ADDRESS)
    pictures = set(texts.mostly(PICTURE))
    return best(found, lambda p: (p in pictures, like("image", leaf(p)), like("url", leaf(p))))


def picture_file(texts: TextSample) -> ColumnChoice | None:
    """The path of names of picture files."""
    addresses = texts.mostly(ADDRESS)
    return best([p for p in texts.mostly(PICTURE) if p not in addresses], lambda path: ())


def picture_text(texts: TextSample) -> ColumnChoice | None:
    """The path of pictures in base64."""
    return best(texts.mostly(ENCODED), lambda path: ())


def caption(texts: TextSample) -> ColumnChoice | None:
    """The path of the longest texts of several words, one whose name says that it is text first."""
    other = {*texts.mostly(ADDRESS), *texts.mostly(PICTURE), *texts.mostly(OBJECTS)}
    lengths = {}
    for path, found in texts.values.items():
        words = 2 * sum(bool(WORDS.search(v)) for v in found) > len(found)
        named = like("text", leaf(path))
        if path not in other and not ADDRESS.match(found[0]) and (words or named):
            is_caption = words and bool(CAPTION.search(leaf(path)))
            lengths[path] = (words, named, is_caption, sum(map(len, found)) / len(found))
    return best(list(lengths), lengths.__getitem__)


def mixed(texts: TextSample, path: str) -> list[str]:
    """A line where a column has addresses and names of picture files: one of the two is lost."""
    values = texts.values.get(path, [])
    addresses = sum(bool(ADDRESS.search(v)) for v in values)
    files = sum(bool(PICTURE.search(v) and not re.search("://|^data:", v)) for v in values)
    if not (addresses and files):
        return []
    return [
        f"{path} mixes addresses ({addresses:,}) and names of files ({files:,}): it is read as one "
        "of the two, and the other rows are lost; write two tables, and a pipeline for each "
        "(docs/sources.md, several sources)"
    ]


def no_address(texts: TextSample, path: str) -> list[str]:
    """A line where a column that is called like addresses holds none."""
    values = texts.values.get(path, [])
    if not values or any(ADDRESS.search(v) for v in values):
        return []
    return [f"{path} holds no address that begins with http:// or https://, such as {values[0]!r}"]


def best(paths: list[str], rank: Any) -> ColumnChoice | None:
    """The path of the highest rank, the first of several, and the others."""
    if not paths:
        return None
    chosen = max(paths, key=rank)
    return ColumnChoice(chosen, tuple(p for p in paths if p != chosen))


def leaf(path: str) -> str:
    """The path without the column that it leads into, if it leads into one."""
    return path.partition(".")[2] or path


def below(texts: TextSample, path: str) -> TextSample:
    """The texts within the objects at a path."""
    inside: Mapping[str, list[str]] = {
        p: v for p, v in texts.values.items() if p.startswith(f"{path}.")
    }
    return TextSample(texts.rows, dict(inside), texts.lists & inside.keys())


def folder_of(path: str, names: list[str]) -> str | None:
    """The folder in which the pictures that a table names lie; None where it is the table's own, or
    is not found.
    """
    home = os.path.dirname(path) or "."
    if "://" in path:
        return None
    rooted = [os.path.dirname(name) for name in names if os.path.isabs(name)]
    if 2 * len(rooted) > len(names):  # one stray name does not choose the folder of all
        whole = os.path.commonpath(rooted)
        own = os.path.commonpath([whole, os.path.abspath(home)]) == os.path.abspath(home)
        return None if own or whole == "/" else whole
    first = [name for name in names if not os.path.isabs(name)][:LOOKED_FOR]
    if any(lies_in(home, name) for name in first):
        return None
    inside = (os.path.join(home, entry) for entry in sorted(os.listdir(home)))
    return next((f for f in inside if any(lies_in(f, name) for name in first)), None)


def lies_in(folder: str, name: str) -> bool:
    """Whether there is a file of this name, however its folders are written."""
    return any(os.path.isfile(os.path.join(folder, n)) for n in (name, name.replace("\\", "/")))


def names_files(path: str, values: list[str]) -> bool:
    """Whether texts that are no addresses name files beside the table at `path`."""
    first = next(iter(values), "")
    if not first or ADDRESS.search(first) or "://" in path:
        return False
    folder = folder_of(path, [first])
    return folder is not None or lies_in(os.path.dirname(path) or ".", first)
