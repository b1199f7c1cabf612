"""A first pipeline file for an input: how it is read, and a plain recipe that can be run as it
is.
"""

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pairmill.errors import RunError
from pairmill.schemas.pipeline import SourceConfig
from pairmill.sources.base import Source
from pairmill.sources.catalogue import SOURCES, open_source
from pairmill.sources.tables import TableSource

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
ADDRESS = r"^https?://"
PICTURE = r"(?i)\.(?:jpe?g|png|webp|gif|bmp|tiff?)$"
NOTHING = "no column holds addresses"
LOOKED_AT = 1000
"""Rows whose values are looked at where no name of a column is known."""


class NoProposal(RunError):
    """The input is nothing that pairmill reads, or holds neither addresses nor images."""


@dataclass(frozen=True)
class Proposal:
    """A source that reads the input: its keys, the columns it gives, what was taken for what."""

    keys: dict[str, Any]
    columns: tuple[str, ...]
    mapping: list[str] = field(default_factory=list)

    @property
    def images(self) -> bool:
        """Whether the rows bring their images along."""
        return "image" in self.columns


def propose(path: str) -> Proposal:
    """Tries the ways in which the input may be read, the plainest first; raises NoProposal."""
    tried: dict[str, str] = {}
    for keys in ways(path):
        try:
            return looked_at(keys)
        except (RunError, OSError, ValueError) as error:
            way = ", ".join(f"{k}: {v!r}" for k, v in keys.items() if k != "path")
            tried[way] = str(error)
    # what was read and held nothing of use says more than what could not be read
    best = sorted(tried, key=lambda way: tried[way].startswith(NOTHING), reverse=True)[:3]
    reasons = "\n".join(f"  {way}: {tried[way]}" for way in best)
    raise NoProposal(f"{path} cannot be read as image–text pairs\n{reasons}")


def ways(path: str) -> Iterator[dict[str, Any]]:
    """Keys of `source:` to try, but for `path`."""
    names = [path.lower()]
    if os.path.isdir(path):
        names = [name.lower() for _, _, files in os.walk(path) for name in files]
    if "manifest.json" in names:
        yield {"type": "package", "path": path}
    if any(".tar" in name for name in names):
        yield {"type": "webdataset", "path": path}
    if any(name.endswith(".parquet") for name in names):
        yield {"type": "parquet", "path": path}
    if os.path.isdir(path) and any(name.endswith(IMAGE_SUFFIXES) for name in names):
        yield {"type": "folder", "path": path}
    table = {"type": "pairs", "path": path}
    yield table
    if any(kind in name for name in names for kind in (".csv", ".tsv", ".tab")):
        for delimiter in (";", "\t", ",", "|"):
            yield {**table, "delimiter": delimiter}
        yield {**table, "header": False}
        yield {**table, "header": False, "delimiter": "\t"}
        for encoding in ("utf-16", "latin-1"):
            yield {**table, "encoding": encoding}


def looked_at(keys: dict[str, Any]) -> Proposal:
    """The proposal for one way of reading; raises RunError where it gives no address or image."""
    source = opened(keys)
    columns = source.schema().names
    if "url" not in columns and "image" not in columns:
        keys = {**keys, **by_values(renamed(source, first_rows(source)), str(keys["path"]))}
        source = opened(keys)
        columns = source.schema().names
    elif deeper := within_objects(source):
        keys = {**keys, "columns": deeper}
        source = opened(keys)
        columns = source.schema().names
    return Proposal(keys, tuple(columns), source.mapping())


def opened(keys: dict[str, Any]) -> Source:
    """The source of some keys; raises ValidationError where they do not fit its type."""
    config: SourceConfig = SOURCES[keys["type"]].model_validate(keys)
    return open_source(config)


def first_rows(source: Source) -> pa.Table:
    """The first rows, at most `LOOKED_AT`; raises NoProposal where none can be read."""
    for part in source.read():
        if isinstance(part, pa.Table) and part.num_rows:
            return part.slice(0, LOOKED_AT)
    raise NoProposal("no row can be read")


def within_objects(source: Source) -> dict[str, str]:
    """Paths such as `image.url` for columns of a table that were found by name and hold objects:
    `url` by a member that is an address, `text` by the longest text; none where there are no such.
    """
    if not isinstance(source, TableSource):
        return {}
    rows, found = first_rows(source), {}
    for name, paths in source.layout().files[0].mapping.made.items():
        objects = objects_of(rows.column(name)) if name in rows.schema.names else []
        members = {key: [o[key] for o in objects if key in o] for o in objects for key in o}
        texts = {k: v for k, v in members.items() if all(isinstance(x, str) for x in v)}
        if name == "url":
            texts = {k: v for k, v in texts.items() if all(re.match(ADDRESS, x) for x in v)}
        if texts and len(paths) == 1:
            best = max(texts, key=lambda key: sum(map(len, texts[key])))
            found[name] = f"{paths[0]}.{best}"
            if paths[0] == "image":  # the name of what will be fetched
                found["image_facts"] = "image"
    return found


def objects_of(values: pa.ChunkedArray) -> list[dict[str, Any]]:
    """The values of a column of JSON texts, if every one is an object."""
    found = []
    for value in values.drop_null().to_pylist():
        if not (isinstance(value, str) and value.startswith("{")):
            return []
        try:
            found.append(json.loads(value))
        except ValueError:
            return []
    return found


def renamed(source: Source, rows: pa.Table) -> pa.Table:
    """The rows under the names that the input has for its columns."""
    if not isinstance(source, TableSource):
        return rows
    theirs = source.layout().files[0].mapping.kept
    return rows.rename_columns([theirs.get(name, name) for name in rows.schema.names])


def by_values(rows: pa.Table, path: str) -> dict[str, Any]:
    """Keys for a table whose names say nothing: the first column of addresses is `url`, else the
    first of files that are pictures is `image`; the one of the longest other texts is `text`.
    """
    texts = {
        f.name: rows.column(f.name)
        for f in rows.schema
        if (pa.types.is_string(f.type) or pa.types.is_large_string(f.type))
        and f.name not in ("uid", "doc_id", "source")
        and rows.column(f.name).null_count < rows.num_rows
    }

    def fitting(pattern: str) -> list[str]:
        counts = {n: pc.sum(pc.match_substring_regex(v, pattern)).as_py() for n, v in texts.items()}
        return [name for name, count in counts.items() if 2 * (count or 0) > rows.num_rows]

    addresses, files = fitting(ADDRESS), fitting(PICTURE)
    if not addresses and not files:
        have = ", ".join(rows.schema.names)
        raise NoProposal(f"{NOTHING} or names of picture files (columns: {have})")
    lengths = {
        name: pc.mean(pc.utf8_length(values)).as_py()
        for name, values in texts.items()
        if name not in (*addresses, *files)
    }
    known = "text" in texts or not lengths
    text = {} if known else {"text": max(lengths, key=lambda name: lengths[name])}
    if addresses:
        return {"columns": {"url": addresses[0], **text}}
    folder = folder_of(path, texts[files[0]].drop_null()[0].as_py())
    return {
        "image": files[0],
        **({"images": folder} if folder else {}),
        **({"columns": text} if text else {}),
    }


def folder_of(path: str, name: str) -> str | None:
    """The folder in which the picture `name` of a table lies; None where it is the table's own, or
    is not found.
    """
    home = os.path.dirname(path) or "."
    if "://" in path or os.path.exists(os.path.join(home, name)):
        return None
    inside = (os.path.join(home, entry) for entry in sorted(os.listdir(home)))
    return next((f for f in inside if os.path.exists(os.path.join(f, name))), None)
