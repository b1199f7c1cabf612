"""Who reads parts of a source and stores shards: this process, or several that work ahead.

A task is some parts of units, read one after another; its rows go to a file of Arrow batches, which
whoever places and stores them maps.  At most a few tasks are ahead, so memory and disk are bounded
whatever the size of the source.
"""

import contextlib
import os
import pickle
import tempfile
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType

import pyarrow as pa
import pyarrow.compute as pc

from pairmill.sources.base import Source, Unit, Unreadable
from pairmill.workspace.disk import TEMPORARY, clear_temporary, machine, temporary_name
from pairmill.workspace.parts import InFile, ReadPart, placed_rows, without_rest
from pairmill.workspace.reading import (
    STORED_AHEAD,
    Hands,
    Place,
    Reading,
    Said,
    SourceWork,
    Storing,
    pieces,
    read_piece,
    read_pieces,
    stored,
)
from pairmill.workspace.reading_groups import SMALL_BYTES, grouped, size_of, tasks_of
from pairmill.workspace.reading_threads import in_threads, suits_threads
from pairmill.workspace.shards import ShardFacts
from pairmill.workspace.storage import Storage

GROUP_BYTES = 128 * 2**20
"""Rows of a group in memory; packed files may hold more, and are read one by one then."""


class OneReader:
    """Reads and stores in this process, when it is asked to.  `groups`: small `units` that are read
    together once the first of them is asked for.
    """

    def __init__(
        self,
        storage: Storage,
        schema: pa.Schema,
        there: set[str] | None,
        units: Mapping[int, Unit] = MappingProxyType({}),
        groups: Sequence[Reading] = (),
    ) -> None:
        self.storage, self.schema, self.there = storage, schema, there
        self.units, self.group_bytes = units, GROUP_BYTES
        self.groups = {place: group for group in groups for place in group.places}
        self.read: dict[Place, list[Said]] = {}
        """Of groups, what was not asked for yet."""

    def of_unit(self, number: int, unit: Unit) -> Iterator[Said]:
        """What reading a unit gives, in order; `number`: its place in the source."""
        for piece in range(len(pieces(unit))):
            yield from heard(unit, self.of_piece(unit, (number, piece)))

    def of_piece(self, unit: Unit, place: Place) -> Iterator[Said]:
        """What reading one of its pieces gives."""
        if place in self.groups and place not in self.read:
            self.read |= self.of_group(self.groups[place])
        if place in self.read:
            yield from self.read.pop(place)
        else:
            yield from read_piece(unit, place[1], self.schema)

    def of_group(self, group: Reading) -> dict[Place, list[Said]]:
        """What reading pieces together gives."""
        found: dict[Place, list[Said]] = {place: [] for place in group.places}
        size = 0
        for place, said in read_pieces(self.units, group.places, self.schema):
            found[place].append(said)
            size += said.rows.nbytes if isinstance(said, ReadPart) else 0
            if size > self.group_bytes:
                rest = group.places[group.places.index(place) :]
                for one in rest:
                    del found[one], self.groups[one]
                break
        return found

    def store(
        self, placed: pa.Table, parts: dict[int, ReadPart], done: Callable[[ShardFacts], None]
    ) -> None:
        """Stores a shard, and says so."""
        done(stored(self.storage, placed, parts, self.schema, self.there))

    def close(self) -> None:
        """Nothing is left to be done."""


class ManyReaders(OneReader):
    """Lets processes read `wanted` units ahead, in order, and store shards."""

    def __init__(
        self,
        storage: Storage,
        schema: pa.Schema,
        hands: Hands,
        work: SourceWork,
        tasks: Sequence[Reading],
        units: Mapping[int, Unit],
        groups: Sequence[Reading],
    ) -> None:
        super().__init__(storage, schema, None, units, groups)
        self.work, self.spool = work, work.spool
        self.items: deque[Reading | Storing] = hands.queue()
        if hands.first_here and len(tasks) > 1 and len(tasks[0].places) == 1:
            tasks = tasks[1:]
        self.tasks = deque(tasks)
        self.room = hands.ahead * hands.count
        self.pump()
        self.running = hands.spread(work, self.items)
        self.most = STORED_AHEAD * hands.count
        self.at = {place: task.number for task in tasks for place in task.places}
        self.found: dict[int, dict[Place, list[Said] | None]] = {}
        self.waiting: dict[int, tuple[Storing, Callable[[ShardFacts], None]]] = {}
        self.rows: Counter[str] = Counter()
        """File → rows that are not stored yet, and one while its task is not used up."""
        self.count = 0

    def of_piece(self, unit: Unit, place: Place) -> Iterator[Said]:
        """As it was read ahead; a piece that nobody reads ahead is read here."""
        if (task := self.at.pop(place, None)) is None:
            yield from self.here(unit, place)
            return
        while task not in self.found:
            self.pump()
            self.step()
        read = self.found[task].pop(place)
        yield from self.here(unit, place) if read is None else read
        if not self.found[task]:
            del self.found[task]
            self.room += 1
            self.pump()
            self.used(f"{self.spool}{task}", 1)

    def here(self, unit: Unit, place: Place) -> Iterator[Said]:
        """Read batch by batch in this process, for others to store."""
        self.pump()
        if place in self.groups and place not in self.read:
            self.read |= self.of_group(self.groups[place])
        if place in self.read:
            yield from self.read.pop(place)
            return
        for said in read_piece(unit, place[1], self.schema):
            if not isinstance(said, ReadPart):
                yield said
                continue
            while len(self.waiting) > self.most:
                self.step()
            self.count += 1
            with self.work.spool_of(f"here{self.count}") as spool:
                part = spool.put(said)
            self.wait_for([part])
            yield part
        pa.default_memory_pool().release_unused()  # the processes are about to need it

    def of_group(self, group: Reading) -> dict[Place, list[Said]]:
        """As it is read here, its rows in one file."""
        while len(self.waiting) > self.most:
            self.step()
        found = super().of_group(group)
        self.count += 1
        with self.work.spool_of(f"here{self.count}") as spool:
            for place, told in found.items():
                found[place] = [spool.put(s) if isinstance(s, ReadPart) else s for s in told]
                self.wait_for(found[place])
        return found

    def wait_for(self, told: Iterable[Said]) -> None:
        """Rows in files are to be stored, before their files go."""
        for part in told:
            if isinstance(part, ReadPart) and isinstance(part.where, InFile):
                self.rows[part.where.file] += part.where.count

    def pump(self) -> None:
        """Gives tasks out, as long as there is room for what they read."""
        while self.tasks and self.room > 0:
            self.items.append(self.tasks.popleft())
            self.room -= 1

    def step(self) -> None:
        """Waits for a process that is done with something."""
        item, result = next(self.running)
        if isinstance(item, Reading):
            lists = result or [None] * len(item.places)
            self.found[item.number] = dict(zip(item.places, lists, strict=True))
            self.rows[f"{self.spool}{item.number}"] = 1
            for told in result or ():
                self.wait_for(told)
            return
        asked, done = self.waiting.pop(item.number)
        counts = pc.value_counts(asked.placed.column("part")).to_pylist() if asked.parts else ()
        for counted in counts:
            where = asked.parts[counted["values"]].where
            if isinstance(where, InFile):
                self.used(where.file, counted["counts"])
        done(result)

    def used(self, file: str, count: int) -> None:
        """Rows of a file are stored; it goes with the last of them."""
        self.rows[file] -= count
        if not self.rows[file]:
            del self.rows[file]
            with contextlib.suppress(FileNotFoundError):
                os.unlink(file)

    def store(
        self, placed: pa.Table, parts: dict[int, ReadPart], done: Callable[[ShardFacts], None]
    ) -> None:
        self.count += 1
        table = placed_rows(placed, parts, self.schema) if self.work.travels else None
        parts = {} if self.work.travels else parts
        placed = placed if self.work.carried else without_rest(placed)
        item = Storing(self.count, placed, parts, table)
        self.waiting[item.number] = item, done
        self.items.append(item)

    def close(self) -> None:
        """Waits for all shards."""
        while self.waiting:
            self.step()
        for _ in self.running:
            pass


def heard(unit: Unit, found: Iterator[Said]) -> Iterator[Said]:
    """What was read of a piece, once the unit has heard of it."""
    misfits: list[Unreadable] = []
    for said in found:
        if isinstance(said, Unreadable) and said.misfit:
            misfits.append(said)
        elif isinstance(said, ReadPart):
            unit.heard(said.rows.num_rows + len(misfits), misfits)
            misfits = []
        yield said
    if misfits:
        unit.heard(len(misfits), misfits)


@contextlib.contextmanager
def readers(
    storage: Storage,
    source: Source,
    schema: pa.Schema,
    there: set[str] | None,
    hands: Hands | None,
    ahead: Sequence[tuple[int, Unit]],
) -> Iterator[OneReader]:
    """Who reads a source; `ahead`: places and units that are to be read in any case.  All is stored
    when the block ends well.
    """
    tasks = tasks_of(ahead, hands) if hands and hands.count > 1 else None
    units = dict(ahead)
    small = [(at, unit) for at, unit in ahead if unit.items and size_of(unit) <= SMALL_BYTES]
    alone = OneReader(storage, schema, there, units, grouped(small))
    if hands is None or tasks is None:
        yield alone
        return
    if suits_threads(ahead, schema, hands):
        hands = in_threads(hands)
    folder = storage.path("ingest") if storage.local else tempfile.gettempdir()
    os.makedirs(folder, exist_ok=True)
    clear_temporary(folder, recursive=False, begins=f"{TEMPORARY}{machine()}-")
    work = SourceWork(
        source,
        schema,
        storage.root,
        f"{folder}/{temporary_name()}",
        hands.spool_bytes,
        hands.travels,
        hands.carried,
    )
    try:
        pickle.dumps(work)
    except (pickle.PicklingError, AttributeError, TypeError):  # a source of a script, or a notebook
        yield alone
        return
    at_hand = grouped([(at, unit) for at, unit in small if unit.at_hand])
    many = ManyReaders(storage, schema, hands, work, tasks, units, at_hand)
    try:
        yield many
        many.close()
    finally:
        many.running.close()  # after an error processes are still at work
        for name in os.listdir(folder):
            if f"{folder}/{name}".startswith(work.spool):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(f"{folder}/{name}")
