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
from collections.abc import Callable, Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from pairmill.sources.base import Source, Unit, Unreadable
from pairmill.workspace.disk import TEMPORARY, clear_temporary, machine, temporary_name
from pairmill.workspace.parts import InFile, ReadPart
from pairmill.workspace.reading import (
    AHEAD,
    STORED_AHEAD,
    TASK_UNITS,
    Hands,
    Place,
    Reading,
    Said,
    SourceWork,
    Spool,
    Storing,
    pieces,
    read_piece,
    stored,
)
from pairmill.workspace.shards import ShardFacts
from pairmill.workspace.storage import Storage


class OneReader:
    """Reads and stores in this process, when it is asked to."""

    def __init__(self, storage: Storage, schema: pa.Schema, there: set[str] | None) -> None:
        self.storage, self.schema, self.there = storage, schema, there

    def of_unit(self, number: int, unit: Unit) -> Iterator[Said]:
        """What reading a unit gives, in order; `number`: its place in the source."""
        for piece in range(len(pieces(unit))):
            yield from heard(unit, self.of_piece(unit, (number, piece)))

    def of_piece(self, unit: Unit, place: Place) -> Iterator[Said]:
        """What reading one of its pieces gives."""
        yield from read_piece(unit, place[1], self.schema)

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
    ) -> None:
        super().__init__(storage, schema, None)
        self.spool = work.spool
        self.items: deque[Reading | Storing] = deque()
        self.running = hands.spread(work, self.items)
        self.tasks = deque(tasks)
        self.room = AHEAD * hands.count
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
        for said in super().of_piece(unit, place):
            if not isinstance(said, ReadPart):
                yield said
                continue
            while len(self.waiting) > self.most:
                self.step()
            self.count += 1
            file = f"{self.spool}here{self.count}"
            with Spool(file) as spool:
                part = spool.put(said)
            self.rows[file] = said.rows.num_rows
            yield part

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
            read = [said for one in result or () for said in one if isinstance(said, ReadPart)]
            file = f"{self.spool}{item.number}"
            self.rows[file] = 1 + sum(part.rows.num_rows for part in read)
            return
        asked, done = self.waiting.pop(item.number)
        for counted in pc.value_counts(asked.placed.column("part")).to_pylist():
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
        item = Storing(self.count, placed, parts)
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
    alone = OneReader(storage, schema, there)
    if hands is None or tasks is None:
        yield alone
        return
    folder = storage.path("ingest") if storage.local else tempfile.gettempdir()
    os.makedirs(folder, exist_ok=True)
    clear_temporary(folder, recursive=False, begins=f"{TEMPORARY}{machine()}-")
    work = SourceWork(
        source, schema, storage.root, f"{folder}/{temporary_name()}", hands.spool_bytes
    )
    try:
        pickle.dumps(work)
    except (pickle.PicklingError, AttributeError, TypeError):  # a source of a script, or a notebook
        yield alone
        return
    many = ManyReaders(storage, schema, hands, work, tasks)
    try:
        yield many
        many.close()
    finally:
        many.running.close()  # after an error processes are still at work
        for name in os.listdir(folder):
            if f"{folder}/{name}".startswith(work.spool):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(f"{folder}/{name}")


def tasks_of(ahead: Sequence[tuple[int, Unit]], hands: Hands) -> list[Reading] | None:
    """Units in tasks, small ones together, large ones left out; None where there is little to
    read.
    """
    wanted = [(at, unit) for at, unit in ahead if unit.items and not unit.at_hand]
    sizes = {at: sum(item.size_bytes for item in unit.items) for at, unit in wanted}
    if sum(sizes.values()) < max(hands.worth_bytes, 1):
        return None
    found: list[Reading] = []
    places: list[Place] = []
    name, size = "", 0
    for at, unit in wanted:
        count = len(pieces(unit))
        if sizes[at] > count * hands.piece_bytes:
            continue
        for part in range(count):
            name = name if places else unit.items[0].name
            places.append((at, part))
            size += sizes[at] // count
            if size >= hands.task_bytes or len(places) >= TASK_UNITS:
                found.append(Reading(len(found), tuple(places), name))
                places, size = [], 0
    if places:
        found.append(Reading(len(found), tuple(places), name))
    return found
