"""A first pipeline file for an input: how it is read, and a plain recipe that can be run as it is."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pairmill.errors import RunError
from pairmill.schemas.pipeline import SourceConfig
from pairmill.sources.base import Source
from pairmill.sources.catalogue import SOURCES, open_source

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
ADDRESS = r"^https?://"
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
    reasons = "\n".join(f"  {way}: {reason}" for way, reason in list(tried.items())[:3])
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
        found = by_values(first_rows(source))
        keys = {**keys, "columns": found}
        source = opened(keys)
        columns = source.schema().names
    return Proposal(keys, tuple(columns), source.mapping())


def opened(keys: dict[str, Any]) -> Source:
    config: SourceConfig = SOURCES[keys["type"]].model_validate(keys)
    return open_source(config)


def first_rows(source: Source) -> pa.Table:
    for part in source.read():
        if isinstance(part, pa.Table) and part.num_rows:
            return part.slice(0, LOOKED_AT)
    raise NoProposal("no row can be read")


def by_values(rows: pa.Table) -> dict[str, str]:
    """`columns:` for a table whose names say nothing: the first column of addresses is `url`, the one
    of the longest other texts is `text`.
    """
    texts = {
        f.name: rows.column(f.name)
        for f in rows.schema
        if (pa.types.is_string(f.type) or pa.types.is_large_string(f.type))
        and f.name not in ("uid", "doc_id", "source")
        and rows.column(f.name).null_count < rows.num_rows
    }
    addresses = [
        name
        for name, values in texts.items()
        if 2 * (pc.sum(pc.match_substring_regex(values, ADDRESS)).as_py() or 0) > rows.num_rows
    ]
    if not addresses:
        raise NoProposal(f"no column holds addresses (columns: {', '.join(rows.schema.names)})")
    lengths = {
        name: pc.mean(pc.utf8_length(values)).as_py()
        for name, values in texts.items()
        if name not in addresses
    }
    found = {"url": addresses[0]}
    if lengths:
        found["text"] = max(lengths, key=lambda name: lengths[name])
    return found
