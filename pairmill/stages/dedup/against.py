"""Other sets in which rows are looked for: Parquet files, folders of images, packages."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from pairmill.errors import PairmillError
from pairmill.images import DecodeError, decode_rgb
from pairmill.sources.base import NoInput, Source, Unreadable
from pairmill.sources.folder import FolderConfig, FolderSource
from pairmill.sources.package import PackageConfig, PackageSource, read_manifest
from pairmill.sources.plain_types import plain_type
from pairmill.stages.dedup.config import DedupConfig
from pairmill.stages.dedup.kinds import KindOfDuplicate, kind_of
from pairmill.stages.dedup.pictures import LARGE_THUMBNAIL, THUMBNAIL, looked_at, trimmed

NAMES = ("uid", "key", "id", "path", "source", "url")
"""Columns that name a member, the first that there is; else its file and row."""


class BadSet(PairmillError):
    """A set of `against` that cannot be compared; the message says which and why."""


@dataclass
class OtherSet:
    """`members`: names of its members, object, (m,).  `seen`: its values as the kind loads them."""

    name: str
    members: np.ndarray
    seen: Any

    def nearest(self, kind: KindOfDuplicate, rows: Any) -> tuple[np.ndarray, np.ndarray]:
        """For each row the position of its nearest duplicate in the set, -1 for none; its score."""
        try:
            return kind.nearest(rows, self.seen)
        except ValueError as error:
            raise BadSet(f"against {self.name!r}: {error}") from None


def open_sets(config: DedupConfig) -> list[OtherSet]:
    """The sets of `against`, read whole.  Raises BadSet."""
    config = config.model_copy(update={"mirrored": False})  # the rows' mirror images are enough
    kind, found = kind_of(config), []
    for name, path in config.against.items():
        try:
            members, values = read_set(config, path)
            if values.num_rows:
                kind.check(values.schema)
            seen = kind.load(values)
            bad, why = kind.unfit(seen)
        except (ValueError, OSError, pa.ArrowException, NoInput) as error:
            raise BadSet(f"against {name!r} ({path}): {error}") from None
        if bad.any():
            first = members[np.flatnonzero(bad)[:3]].tolist()
            raise BadSet(
                f"against {name!r} ({path}): {int(bad.sum()):,} of {len(bad):,} members cannot be "
                f"compared ({', '.join(map(str, first))}): {config.on[0]!r} {why}"
            )
        found.append(OtherSet(name, members, seen))
    return found


def read_set(config: DedupConfig, path: str) -> tuple[np.ndarray, pa.Table]:
    """(names of the members, their columns under the names that rows have)."""
    if os.path.isdir(path) and read_manifest(path) is not None:
        source: Source = PackageSource(PackageConfig(path=path))
    elif os.path.isdir(path) and not holds_parquet(path):
        source = FolderSource(FolderConfig(path=path))
    else:
        return read_parquet(config, path)
    return from_source(config, source)


def holds_parquet(folder: str) -> bool:
    """Whether there is a Parquet file in a folder."""
    return any(name.endswith(".parquet") for _, _, names in os.walk(folder) for name in names)


def read_parquet(config: DedupConfig, path: str) -> tuple[np.ndarray, pa.Table]:
    """Members that stand in Parquet files."""
    import pyarrow.dataset as ds  # it imports pandas, a third of a second

    data = ds.dataset(path, format="parquet")
    wanted = compared(config, data.schema.names)
    name = next((n for n in NAMES if n in data.schema.names), None)
    table = data.to_table(columns=list(dict.fromkeys([*wanted, *([name] if name else [])])))
    if name:
        members = np.array(table.column(name).cast(pa.string()).to_pylist(), object)
    else:
        members = np.array([f"row {i}" for i in range(table.num_rows)], object)
    return renamed(members, table, wanted)


def compared(config: DedupConfig, have: list[str]) -> dict[str, str]:
    """Column of the set → the column of the rows that it is compared with."""
    own = [config.against_on] if config.against_on else config.on
    if absent := [column for column in own if column not in have]:
        raise ValueError(
            f"has no column {absent[0]!r} (columns: {', '.join(have)}); name the one to compare "
            "with `against_on`"
        )
    found = dict(zip(own, config.on, strict=False))
    extra = [c for c in kind_of(config).reads(have) if c in have and c not in found]
    return found | {c: c for c in extra if c not in config.on}


def renamed(
    members: np.ndarray, table: pa.Table, columns: dict[str, str]
) -> tuple[np.ndarray, pa.Table]:
    """Members without nulls, under the rows' names of columns."""
    values = pa.table({ours: plain(table.column(theirs)) for theirs, ours in columns.items()})
    whole = np.ones(values.num_rows, bool)
    for column in values.columns:
        whole &= column.is_valid().to_numpy()
    at = np.flatnonzero(whole)
    return members[at], values.take(pa.array(at)).combine_chunks()


def plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column as a source would read it: no dictionaries, no views; of texts any amount."""
    kind = plain_type(column.type)
    kind = pa.large_string() if pa.types.is_string(kind) else kind
    return column if column.type == kind else column.cast(kind)


def from_source(config: DedupConfig, source: Source) -> tuple[np.ndarray, pa.Table]:
    """Members that a source reads; pictures are hashed where their hashes are what is compared."""
    own = config.against_on or config.on[0]
    members: list[Any] = []
    parts: list[pa.Table] = []
    for table in sound_tables(source):
        have = table.schema.names
        if own not in have and config.kind == "perceptual" and "image" in have:
            table = hashed(config, table)
        columns = compared(config, table.schema.names)
        name = next((n for n in NAMES if n in have), None)
        known = table.column(name).to_pylist() if name else [None] * table.num_rows
        first = len(members)
        named = [m if m is not None else f"row {first + i}" for i, m in enumerate(known)]
        own_members, values = renamed(np.array(named, object), table, columns)
        members += own_members.tolist()
        parts.append(values)
    if not parts:
        raise ValueError("holds nothing")
    return np.array(members, object), pa.concat_tables(parts).combine_chunks()


def sound_tables(source: Source) -> Iterator[pa.Table]:
    """What a source reads; raises ValueError at the first member that cannot be read."""
    for part in source.read():
        if isinstance(part, Unreadable):
            raise ValueError(f"{part.location} cannot be read: {part.reason}")
        if isinstance(part, pa.Table):
            yield part


def hashed(config: DedupConfig, table: pa.Table) -> pa.Table:
    """The table with hashes of its pictures, as `image_hash` makes them."""
    name, have = config.against_on or config.on[0], table.schema.names
    hashed_as = "pdq" if config.on[0].endswith("_pdq") else "phash"
    plain, large = config.on[0].removesuffix("_pdq"), config.crops > 0
    seen = []
    for number, data in enumerate(table.column("image").to_pylist()):
        try:
            image = decode_rgb(data)
        except DecodeError as error:
            place = table.column("source")[number] if "source" in have else number
            raise ValueError(f"the picture {place} cannot be decoded: {error}") from None
        image = trimmed(image)[0] if plain.endswith("_trimmed") else image
        seen.append(looked_at(image, [hashed_as], large=large))
    kind = pa.uint64() if hashed_as == "phash" else pa.string()
    thumbnails = pa.array([s["thumbnail"] for s in seen], pa.list_(pa.uint8(), THUMBNAIL))
    own = config.thumbnail or f"{plain}_thumbnail"
    if large:
        larges = pa.array([s["large"] for s in seen], pa.list_(pa.uint8(), LARGE_THUMBNAIL))
        table = table.append_column(f"{plain}_large", larges)
    table = table.append_column(name, pa.array([s[hashed_as] for s in seen], kind))
    return table if own in have else table.append_column(own, thumbnails)
