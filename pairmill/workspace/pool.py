"""The pool: the rows of one source, written once, cut into shards of whole documents."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pairmill.addresses import without_credentials
from pairmill.schemas.config import value_fields
from pairmill.schemas.hashing import digest, row_uid
from pairmill.sources.base import Input, NoInput, Source, Unreadable, content_digest
from pairmill.workspace.columns import shard_file, with_sizes
from pairmill.workspace.storage import SIGN, Storage

FINGERPRINTS = "pool/fingerprints.json"


@dataclass(frozen=True)
class Pool:
    """A written pool: rows of each shard, and how many input rows could not be read."""

    id: str
    shard_rows: tuple[int, ...]
    unreadable: int

    @property
    def rows(self) -> int:
        return sum(self.shard_rows)


def pool_id(storage: Storage, source: Source) -> str:
    """Identity of a source's rows: its options and the content of its files (names and places do
    not count).

    Hashes are remembered in the workspace, if there is one yet.
    """
    known = fingerprints(storage)
    digests, fresh = [], False
    for item in source.inputs():
        key = fingerprint_key(item)
        if key not in known or not item.version:
            known[key], fresh = content_digest(item), True
        digests.append([item.name, known[key]])
    if fresh and storage.exists(SIGN):
        storage.write_json(FINGERPRINTS, known)
    options = {k: v for k, v in value_fields(source.config).items() if k != "path"}
    return digest({"type": source.config.type, "options": options, "files": digests, "format": 1})


def fingerprints(storage: Storage) -> dict[str, str]:
    """Hashes of input files that the workspace remembers."""
    return storage.read_json(FINGERPRINTS) if storage.exists(FINGERPRINTS) else {}


def fingerprint_key(item: Input) -> str:
    return digest([item.url, item.size_bytes, item.version])  # a URL may hold a secret


def unread_bytes(storage: Storage, source: Source) -> int:
    """Bytes of local files that `pool_id` would have to read, because nothing remembers their
    hashes.
    """
    known = fingerprints(storage)
    return sum(
        i.size_bytes
        for i in source.inputs()
        if i.url.startswith("file://") and (fingerprint_key(i) not in known or not i.version)
    )


def open_pool(storage: Storage, pool: str) -> Pool | None:
    """A pool that was written whole, or None."""
    name = f"pool/{pool}/pool.json"
    if not storage.exists(name):
        return None
    facts = storage.read_json(name)
    return Pool(pool, tuple(facts["shard_rows"]), facts["unreadable"])


def build_pool(
    storage: Storage,
    source: Source,
    pool: str,
    schema: pa.Schema,
    redact: Callable[[Any], Any] = lambda value: value,
) -> Pool:
    """Writes the pool's shards, then pool.json; the same input gives the same files."""
    unreadable: list[Unreadable] = []
    shard_rows: list[int] = []
    storage.check_space(sum(i.size_bytes for i in source.inputs()))
    for table in shards(rows_of(source, schema, unreadable), source.config.rows_per_shard):
        storage.write_table(f"pool/{pool}/{shard_file(len(shard_rows))}", with_sizes(table, schema))
        shard_rows.append(table.num_rows)
    if not shard_rows:
        reasons = "; ".join(f"{u.location}: {u.reason}" for u in unreadable[:3])
        raise NoInput(f"the source gives no readable row{': ' + reasons if reasons else ''}")
    bad = pa.table(
        {"location": [u.location for u in unreadable], "reason": [u.reason for u in unreadable]},
        schema=pa.schema([("location", pa.string()), ("reason", pa.string())]),
    )
    storage.write_table(f"pool/{pool}/unreadable.parquet", bad)
    facts: dict[str, Any] = {
        "rows": sum(shard_rows),
        "unreadable": len(unreadable),
        "shard_rows": shard_rows,
        "source": json.loads(source.config.model_dump_json()),
    }
    storage.write_json(f"pool/{pool}/pool.json", redact(facts))
    return Pool(pool, tuple(shard_rows), len(unreadable))


def rows_of(source: Source, schema: pa.Schema, unreadable: list[Unreadable]) -> Iterator[pa.Table]:
    position = Positions()
    for part in source.read():
        if isinstance(part, Unreadable):
            unreadable.append(part)
        elif part.num_rows:
            yield prepared(part, schema, position)


class Positions:
    """Counts rows within documents; neighbouring rows with one doc_id are one document."""

    def __init__(self) -> None:
        self.last: str | None = None
        self.next = 0

    def number(self, doc_ids: list[str]) -> list[int]:
        found = []
        for doc in doc_ids:
            self.next = self.next + 1 if doc == self.last else 0
            self.last = doc
            found.append(self.next)
        return found


def prepared(part: pa.Table, schema: pa.Schema, position: Positions) -> pa.Table:
    """A source's rows with the pool's columns."""
    n = part.num_rows
    have: dict[str, Any] = {name: part.column(name) for name in part.schema.names}
    text = pc.cast(have.get("text", pa.nulls(n)), pa.string())
    url = pc.cast(have.get("url", pa.nulls(n)), pa.string())
    have["text"] = text
    have["url"] = pa.array([without_credentials(u) for u in url.to_pylist()], pa.string())
    given = pc.cast(have["uid"], pa.string()).to_pylist() if "uid" in have else [None] * n
    marks = have["sha256"].to_pylist() if "sha256" in have and "image" in have else [None] * n
    made = (
        row_uid(u, t, m)
        for u, t, m in zip(have["url"].to_pylist(), text.to_pylist(), marks, strict=True)
    )
    uids = [g or m for g, m in zip(given, made, strict=True)]
    have["uid"] = pa.array(uids, pa.string())
    doc_ids = (
        [
            d or u
            for d, u in zip(pc.cast(have["doc_id"], pa.string()).to_pylist(), uids, strict=True)
        ]
        if "doc_id" in have
        else uids
    )
    have["doc_id"] = pa.array(doc_ids, pa.string())
    numbers = position.number(doc_ids) if "doc_id" in part.schema.names else [0] * n
    have["position"] = pa.array(numbers, pa.int32())
    have.setdefault("source", pa.nulls(n, pa.string()))
    return pa.table([as_field(have.get(f.name), f, n) for f in schema], schema=schema)


def as_field(values: Any, field: pa.Field, rows: int) -> Any:
    if values is None:
        return pa.nulls(rows, field.type)
    return values.cast(field.type) if values.type != field.type else values


def shards(parts: Iterator[pa.Table], rows_per_shard: int) -> Iterator[pa.Table]:
    """Cuts a stream of tables after `rows_per_shard` rows, or later where a document goes on."""
    waiting: list[pa.Table] = []
    count = 0
    for part in parts:
        waiting.append(part)
        count += part.num_rows
        while count > rows_per_shard:
            table = pa.concat_tables(waiting)
            cut = boundary(table, rows_per_shard)
            if cut is None:
                waiting = [table]
                break
            yield table.slice(0, cut).combine_chunks()
            waiting, count = [table.slice(cut)], count - cut
    if count:
        yield pa.concat_tables(waiting).combine_chunks()


def boundary(table: pa.Table, at_least: int) -> int | None:
    """The first row at or behind `at_least` that begins a document."""
    starts = np.asarray(table.column("position").slice(at_least)) == 0
    found = np.flatnonzero(starts)
    return at_least + int(found[0]) if len(found) else None


def describe_inputs(inputs: list[Input]) -> str:
    total = sum(i.size_bytes for i in inputs)
    return f"{len(inputs)} file{'s' * (len(inputs) != 1)}, {total / 1e6:.1f} MB"
