"""From a source to a table: files that are known are taken as they were read, the others are read,
cut into shards and stored.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from pairmill.schemas.hashing import canonical, digest
from pairmill.sources.base import NoInput, Remark, Source, Unit, Unreadable
from pairmill.workspace.cutting import SHARD_BYTES, Cutter
from pairmill.workspace.fingerprints import input_digests
from pairmill.workspace.memo import Memory, Segment, remember
from pairmill.workspace.pool_rows import Positions, in_order, prepared
from pairmill.workspace.shards import ShardFacts, store_shard
from pairmill.workspace.storage import Storage
from pairmill.workspace.tables import FOLDER, Table, save_table
from pairmill.workspace.told import Notes
from pairmill.workspace.uids import UniqueUids

ROWS_PER_SHARD = 1_024
"""Where nobody says, the planner included."""
FORMAT = 2
"""Raised where the same files give other shards than before."""


class DocumentGoesOn(Exception):
    """A document that began in a known file goes on in one that is read: nothing is taken as known
    then.
    """


def build_table(
    storage: Storage,
    source: Source,
    identity: str,
    schema: pa.Schema,
    redact: Callable[[Any], Any] = lambda value: value,
) -> Table:
    """Reads what is not known, stores shards, then the table; the same input gives the same files,
    whatever is known.
    """
    try:
        table, unreadable = Ingest(storage, source, schema, Memory(storage)).table(identity)
    except DocumentGoesOn:
        table, unreadable = Ingest(storage, source, schema, None).table(identity)
    storage.write_table(f"{FOLDER}/{identity}-unreadable.parquet", unreadable)
    save_table(storage, table, redact({"source": canonical(source.config, "source")}))
    return table


def unit_keys(
    storage: Storage, source: Source, units: Sequence[Unit], schema: pa.Schema
) -> list[str]:
    """What decides the rows and shards of each unit."""
    items = {item.url for unit in units for item in unit.items}
    digests = input_digests(storage, source)
    common = {
        "schema": str(schema.remove_metadata()),
        "beside": [[i.name, d] for i, d in digests if i.url not in items],
        "bytes": SHARD_BYTES,
        "format": FORMAT,
    }
    by_url = {item.url: d for item, d in digests}
    whole, shared = source.options(), digest(common)
    return [
        digest(
            [
                shared,
                whole if u.options is None else u.options,
                u.how,
                [[i.name, i.partitions, by_url.get(i.url)] for i in u.items],
            ]
        )
        for u in units
    ]


def foreseen(storage: Storage, source: Source, schema: pa.Schema) -> tuple[int, int]:
    """(rows of files that are known, parts of the input that are not), before anything is read."""
    units, memory = source.units(), Memory(storage)
    keys = unit_keys(storage, source, units, schema)
    at, rows, unread = 0, 0, 0
    while at < len(keys):
        segment = memory.find(keys, at, schema)
        rows += segment.rows if segment else 0
        unread += segment is None
        at += len(segment.units) if segment else 1
    return rows, unread


@dataclass
class Ingest:
    """One pass over a source.  `memory`: None where nothing is to be taken as known."""

    storage: Storage
    source: Source
    schema: pa.Schema
    memory: Memory | None
    shards: list[ShardFacts] = field(default_factory=list)
    segment: Segment = field(default_factory=Segment)
    known_rows: int = 0
    """Rows of files that were not read again."""

    def __post_init__(self) -> None:
        self.notes = Notes(self.source.remarks())
        self.positions, self.uids = Positions(), UniqueUids()
        self.cutter = Cutter(self.source.config.rows_per_shard or ROWS_PER_SHARD)
        self.there = self.memory.shards if self.memory else None

    def table(self, identity: str) -> tuple[Table, pa.Table]:
        """The table and the list of unreadable rows; every shard is stored then."""
        units = self.source.units()
        keys = unit_keys(self.storage, self.source, units, self.schema)
        at = 0
        while at < len(units):
            known = self.known(keys, at)
            if known is None:
                self.read(units[at], keys[at])
                at += 1
            else:
                self.take(known, units[at : at + len(known.units)])
                at += len(known.units)
        if (last := self.cutter.flush()) is not None:
            self.store(last)
        self.end_segment()
        if not self.shards:
            reasons = "; ".join(f"{u.location}: {u.reason}" for u in self.notes.unreadable[:3])
            raise NoInput(f"the source gives no readable row{': ' + reasons if reasons else ''}")
        count = sum(u.rows for u in self.notes.unreadable)
        return Table.of(identity, self.shards, count, self.notes.told()), self.notes.table()

    def known(self, keys: list[str], at: int) -> Segment | None:
        """A segment that begins with the unit at a place, and would be cut the same way there."""
        segment = self.memory.find(keys, at, self.schema) if self.memory else None
        if segment is None or segment.first == self.positions.last:
            return None
        if self.cutter.open and not (self.cutter.due or segment.large):
            return None
        end = at + len(segment.units)
        if not segment.due and end < len(keys):
            assert self.memory is not None
            following = self.memory.find(keys, end, self.schema)
            if following is None or not following.large or following.first == segment.last:
                return None
        return segment if self.uids.fits(segment.seen[0]) else None

    def take(self, known: Segment, units: Sequence[Unit]) -> None:
        """Takes a segment as it was read."""
        if (ended := self.cutter.flush()) is not None:
            self.store(ended)
        self.end_segment()
        self.shards += known.shards
        self.known_rows += known.rows
        self.uids.adopt(known.seen[0])
        self.positions.last, self.positions.next = known.last, known.next
        for number, (unit, notes) in enumerate(zip(units, known.notes, strict=True)):
            self.notes.join(notes)
            unit.passed(0 if number else known.rows, notes.unreadable)

    def read(self, unit: Unit, key: str) -> None:
        """Reads a unit."""
        notes = Notes()
        begins: list[str] = []
        for table, before in self.cutter.unit(self.rows_of(unit, notes, begins)):
            self.store(table)
            if before:
                self.end_segment()
        segment = self.segment
        if segment.first is None and begins:
            segment.first, segment.large = begins[0], self.cutter.was_large
        segment.units.append(key)
        segment.seen.append(self.uids.end_unit())
        segment.notes.append(notes)
        segment.last, segment.next = self.positions.last, self.positions.next
        self.notes.join(notes)

    def rows_of(self, unit: Unit, notes: Notes, begins: list[str]) -> Iterator[pa.Table]:
        """A unit's rows with the table's columns; the first row's document goes to `begins`."""
        for part in unit.read():
            if isinstance(part, Unreadable | Remark):
                notes.add(part)
            elif part.num_rows:
                rows = prepared(part, self.schema, self.positions, self.uids, notes)
                if not begins:
                    begins.append(rows.column("doc_id")[0].as_py())
                    if rows.column("position")[0].as_py() and not self.cutter.open:
                        raise DocumentGoesOn
                yield rows

    def store(self, table: pa.Table) -> None:
        """A shard ends."""
        facts = store_shard(self.storage, in_order(table), self.there)
        self.shards.append(facts)
        self.segment.shards.append(facts)

    def end_segment(self) -> None:
        """The units so far end on a boundary."""
        done, self.segment = self.segment, Segment()
        done.due = self.cutter.was_due
        if done.shards and done.units:
            remember(self.storage, done)
