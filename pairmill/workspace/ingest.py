"""From a source to a table: files that are known are taken as they were read, the others are read,
cut into shards and stored.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pairmill.schemas.hashing import canonical, digest
from pairmill.sources.base import NoInput, Remark, Source, Unit, Unreadable
from pairmill.sources.unchanged import check_unchanged
from pairmill.workspace.cutting import SHARD_BYTES, CutRows, Cutter
from pairmill.workspace.fingerprints import input_digests
from pairmill.workspace.memo import Memory, Segment, remember
from pairmill.workspace.parts import ReadPart
from pairmill.workspace.placing import Placing
from pairmill.workspace.readers import readers
from pairmill.workspace.reading import Hands, units_of
from pairmill.workspace.shards import ShardFacts
from pairmill.workspace.storage import Storage
from pairmill.workspace.tables import Table, save_table, unreadable_file
from pairmill.workspace.told import Notes

ROWS_PER_SHARD = 1_024
"""Where nobody says, the planner included."""
Progress = Callable[[int, int, int], None]
"""Told of the rows that were read so far, of files that are done, and of how many there are."""
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
    hands: Hands | None = None,
    progress: Progress = lambda rows, files, of: None,
) -> Table:
    """Reads what is not known, stores shards, then the table; the same input gives the same files,
    whatever is known, and whoever reads (`hands`: processes, where there is much to read).
    """
    try:
        memory = Memory(storage)
        ingest = Ingest(storage, source, schema, memory, hands, progress)
        table, unreadable = ingest.table(identity)
    except DocumentGoesOn:
        ingest = Ingest(storage, source, schema, None, hands, progress)
        table, unreadable = ingest.table(identity)
    storage.write_table(unreadable_file(identity), unreadable)
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
    keys = unit_keys(storage, source, units_of(source), schema)
    rows, unread = known_units(keys, Memory(storage), schema)
    return rows, len(unread)


def known_units(keys: Sequence[str], memory: Memory, schema: pa.Schema) -> tuple[int, list[int]]:
    """(rows of units that are known, places of those that are not)."""
    at, rows, unread = 0, 0, []
    while at < len(keys):
        segment = memory.find(keys, at, schema)
        if segment is None:
            unread.append(at)
        rows += segment.rows if segment else 0
        at += len(segment.units) if segment else 1
    return rows, unread


@dataclass
class Ingest:
    """One pass over a source.  `memory`: None where nothing is to be taken as known."""

    storage: Storage
    source: Source
    schema: pa.Schema
    memory: Memory | None
    hands: Hands | None = None
    progress: Progress = lambda rows, files, of: None
    shards: dict[int, ShardFacts] = field(default_factory=dict)
    """By their place; some may not be stored yet."""
    segment: Segment = field(default_factory=Segment)
    known_rows: int = 0
    """Rows of files that were not read again."""

    def __post_init__(self) -> None:
        self.notes = Notes(self.source.remarks())
        self.placing, self.cutter = Placing(), Cutter()
        self.positions, self.uids = self.placing.positions, self.placing.uids
        self.rows_per_shard = self.source.config.rows_per_shard or ROWS_PER_SHARD
        self.there = self.memory.shards if self.memory else None
        self.parts: dict[int, ReadPart] = {}
        """Parts with rows of which the shard is not known yet."""
        self.counts = {"parts": 0, "shards": 0, "rows": 0}
        self.files = self.of = 0
        """Files that are done, and all of them."""
        self.ended: list[tuple[Segment, range]] = []
        """Segments whose shards may not be stored yet, with the places of these."""
        self.first = 0
        """Place of the first shard of the segment."""

    def table(self, identity: str) -> tuple[Table, pa.Table]:
        """The table and the list of unreadable rows; every shard is stored then."""
        units = units_of(self.source)
        keys = unit_keys(self.storage, self.source, units, self.schema)
        unread = list(range(len(keys)))
        if self.memory:
            unread = known_units(keys, self.memory, self.schema)[1]
        ahead = [(at, units[at]) for at in unread]
        source, there, hands = self.source, self.there, self.hands
        with readers(self.storage, source, self.schema, there, hands, ahead) as self.reader:
            self.take_all(units, keys)
        self.remember()
        if not self.shards:
            reasons = "; ".join(f"{u.location}: {u.reason}" for u in self.notes.unreadable[:3])
            raise NoInput(f"the source gives no readable row{': ' + reasons if reasons else ''}")
        count = sum(u.rows for u in self.notes.unreadable)
        shards = [self.shards[at] for at in range(len(self.shards))]
        return Table.of(identity, shards, count, self.notes.told()), self.notes.table()

    def take_all(self, units: Sequence[Unit], keys: list[str]) -> None:
        """Reads all units that are not known, in order."""
        at, self.of = 0, sum(len(unit.items) for unit in units)
        while at < len(units):
            known = self.known(keys, at)
            if known is None:
                self.read(at, units[at], keys[at])
                done = 1
            else:
                done = len(known.units)
                self.take(known, units[at : at + done])
            self.files += sum(len(unit.items) for unit in units[at : at + done])
            at += done
            self.progress(self.counts["rows"], self.files, self.of)
            self.remember()
        if (last := self.cutter.flush()) is not None:
            self.store(last)
        self.end_segment()

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
        for facts in known.shards:
            self.shards[self.next_shard()] = facts
        self.first = self.counts["shards"]
        self.known_rows += known.rows
        self.uids.adopt(known.seen[0])
        self.positions.last, self.positions.next = known.last, known.next
        for number, (unit, notes) in enumerate(zip(units, known.notes, strict=True)):
            self.notes.join(notes)
            unit.passed(0 if number else known.rows, notes.unreadable)

    def read(self, at: int, unit: Unit, key: str) -> None:
        """Reads the unit at a place."""
        notes = Notes()
        begins: list[str] = []
        for table, before in self.cutter.unit(self.rows_of(at, unit, notes, begins)):
            self.store(table)
            if before:
                self.end_segment()
        check_unchanged(unit.items)
        segment = self.segment
        if segment.first is None and begins:
            segment.first, segment.large = begins[0], self.cutter.was_large
        segment.units.append(key)
        segment.seen.append(self.uids.end_unit())
        segment.notes.append(notes)
        segment.last, segment.next = self.positions.last, self.positions.next
        self.notes.join(notes)

    def rows_of(self, at: int, unit: Unit, notes: Notes, begins: list[str]) -> Iterator[CutRows]:
        """A unit's rows with their places; the first row's document goes to `begins`."""
        for part in self.reader.of_unit(at, unit):
            if isinstance(part, Unreadable | Remark):
                notes.add(part)
                continue
            number = self.counts["parts"] = self.counts["parts"] + 1
            self.parts[number] = part
            rows, first = self.placing.place(number, part, self.rows_per_shard, notes)
            self.counts["rows"] += len(rows)
            self.progress(self.counts["rows"], self.files, self.of)
            if not begins:
                begins.append(first)
                if rows.table.column("position")[0].as_py() and not self.cutter.open:
                    raise DocumentGoesOn
            yield rows

    def store(self, placed: pa.Table) -> None:
        """A shard ends."""
        at = self.next_shard()
        numbers = pc.unique(placed.column("part")).to_pylist()
        parts = {number: self.parts[number] for number in numbers}
        for number in [n for n in self.parts if n < numbers[-1]]:  # which may go on
            del self.parts[number]
        self.reader.store(placed, parts, lambda facts: self.shards.update({at: facts}))

    def next_shard(self) -> int:
        """The place of a new shard."""
        self.counts["shards"] += 1
        return self.counts["shards"] - 1

    def end_segment(self) -> None:
        """The units so far end on a boundary."""
        done, self.segment = self.segment, Segment()
        done.due = self.cutter.was_due
        shards = range(self.first, self.counts["shards"])
        self.first = shards.stop
        if shards and done.units:
            self.ended.append((done, shards))

    def remember(self) -> None:
        """Stores segments that have ended, as soon as their shards are stored."""
        while self.ended and all(at in self.shards for at in self.ended[0][1]):
            segment, shards = self.ended.pop(0)
            segment.shards = [self.shards[at] for at in shards]
            remember(self.storage, segment)
