"""The pool: the rows of one source, written once, cut into shards of whole documents."""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pairmill.schemas.arrow import is_payload
from pairmill.schemas.hashing import digest
from pairmill.sources.base import (
    Input,
    NoInput,
    Remark,
    Source,
    Unreadable,
    content_digest,
)
from pairmill.workspace.columns import shard_file, with_sizes
from pairmill.workspace.encoding import corrupt, sealed
from pairmill.workspace.pool_rows import Positions, in_order, prepared
from pairmill.workspace.storage import SIGN, Storage
from pairmill.workspace.told import Notes, Told
from pairmill.workspace.uids import UniqueUids

FINGERPRINTS = "pool/fingerprints.json"
SHARD_BYTES = 64 * 2**20
"""Payload of one shard, so that memory follows the bytes of images and not their number."""


@dataclass(frozen=True)
class Pool:
    """A written pool: rows of each shard, how many input rows could not be read, and what else a
    person must be told of the input.
    """

    id: str
    shard_rows: tuple[int, ...]
    unreadable: int
    told: tuple[Told, ...] = ()

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
        storage.write_json(FINGERPRINTS, sealed(known))
    return digest({**source.options(), "files": digests, "format": 2})


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
    try:
        told = tuple(Told(t["kind"], t["count"], tuple(t["examples"])) for t in facts["told"])
        return Pool(pool, tuple(facts["shard_rows"]), facts["unreadable"], told)
    except (LookupError, TypeError) as error:
        raise corrupt(storage.path(name), error) from None


def build_pool(
    storage: Storage,
    source: Source,
    pool: str,
    schema: pa.Schema,
    redact: Callable[[Any], Any] = lambda value: value,
) -> Pool:
    """Writes the pool's shards, then pool.json; the same input gives the same files."""
    notes = Notes(source.remarks())
    shard_rows: list[int] = []
    storage.check_space(sum(i.size_bytes for i in source.inputs()))
    for table in shards(rows_of(source, schema, notes), source.config.rows_per_shard):
        table = in_order(table)
        storage.write_table(f"pool/{pool}/{shard_file(len(shard_rows))}", with_sizes(table, schema))
        shard_rows.append(table.num_rows)
    if not shard_rows:
        reasons = "; ".join(f"{u.location}: {u.reason}" for u in notes.unreadable[:3])
        raise NoInput(f"the source gives no readable row{': ' + reasons if reasons else ''}")
    storage.write_table(f"pool/{pool}/unreadable.parquet", notes.table())
    told = notes.told()
    count = sum(u.rows for u in notes.unreadable)
    facts: dict[str, Any] = {
        "rows": sum(shard_rows),
        "unreadable": count,
        "told": [asdict(t) for t in told],
        "shard_rows": shard_rows,
        "source": json.loads(source.config.model_dump_json()),
    }
    storage.write_json(f"pool/{pool}/pool.json", sealed(redact(facts)))
    return Pool(pool, tuple(shard_rows), count, told)


def rows_of(source: Source, schema: pa.Schema, notes: Notes) -> Iterator[pa.Table]:
    position, uids = Positions(), UniqueUids()
    for part in source.read():
        if isinstance(part, Unreadable | Remark):
            notes.add(part)
        elif part.num_rows:
            yield prepared(part, schema, position, uids, notes)


def shards(parts: Iterator[pa.Table], rows_per_shard: int) -> Iterator[pa.Table]:
    """Cuts a stream of tables after `rows_per_shard` rows or SHARD_BYTES of payload, or later where
    a document goes on.
    """
    waiting: list[pa.Table] = []
    count = 0
    for part in parts:
        waiting.append(part)
        count += part.num_rows
        while True:
            table = pa.concat_tables(waiting)
            least = rows_that_fit(table, rows_per_shard)
            if count <= least:
                break
            cut = boundary(table, least)
            if cut is None:
                waiting = [table]
                break
            yield table.slice(0, cut)
            waiting, count = [table.slice(cut)], count - cut
    if count:
        yield pa.concat_tables(waiting)


def rows_that_fit(table: pa.Table, most: int) -> int:
    """Rows from the beginning, at least one, whose payload is within SHARD_BYTES."""
    payload = [f.name for f in table.schema if is_payload(f.type)]
    head = table.slice(0, most).select(payload)
    if head.nbytes <= SHARD_BYTES:
        return most
    sizes = sum(
        np.asarray(pc.fill_null(pc.binary_length(c), 0)).astype(np.int64) for c in head.columns
    )
    return max(1, int(np.searchsorted(np.cumsum(sizes), SHARD_BYTES, "right")))


def boundary(table: pa.Table, at_least: int) -> int | None:
    """The first row at or behind `at_least` that begins a document."""
    starts = np.asarray(table.column("position").slice(at_least)) == 0
    found = np.flatnonzero(starts)
    return at_least + int(found[0]) if len(found) else None


def describe_inputs(inputs: list[Input]) -> str:
    total = sum(i.size_bytes for i in inputs)
    return f"{len(inputs)} file{'s' * (len(inputs) != 1)}, {total / 1e6:.1f} MB"
