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

from pairmill.sources.base import Remark, Source, Unit, Unreadable
from pairmill.workspace.disk import temporary_name
from pairmill.workspace.parts import InFile, ReadPart, read_parts
from pairmill.workspace.reading import (
    AHEAD,
    TASK_BYTES,
    TASK_UNITS,
    Hands,
    Place,
    Reading,
    Said,
    SourceWork,
    Storing,
    pieces,
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
        for part in unit.read():
            if isinstance(part, Unreadable | Remark):
                yield part
            elif part.num_rows:
                yield from read_parts(part, self.schema)

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
        self.at = {place: task.number for task in tasks for place in task.places}
        self.found: dict[int, dict[Place, list[Said]]] = {}
        self.waiting: dict[int, tuple[Storing, Callable[[ShardFacts], None]]] = {}
        self.rows: Counter[str] = Counter()
        """File → rows that are not stored yet, and one while its task is not used up."""
        self.count = 0

    def of_unit(self, number: int, unit: Unit) -> Iterator[Said]:
        """As it was read ahead; a unit that nobody reads ahead is read here."""
        if (number, 0) not in self.at:
            yield from super().of_unit(number, unit)
            return
        for place in [(number, i) for i in range(len(pieces(unit)))]:
            task = self.at.pop(place)
            while task not in self.found:
                self.pump()
                self.step()
            yield from self.heard(unit, self.found[task].pop(place))
            if not self.found[task]:
                del self.found[task]
                self.room += 1
                self.pump()
                self.used(f"{self.spool}{task}", 1)

    def heard(self, unit: Unit, found: list[Said]) -> Iterator[Said]:
        """What was read of a part, once the unit has heard of it."""
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

    def pump(self) -> None:
        """Gives tasks out, as long as there is room for what they read."""
        while self.tasks and self.room > 0:
            self.items.append(self.tasks.popleft())
            self.room -= 1

    def step(self) -> None:
        """Waits for a process that is done with something."""
        item, result = next(self.running)
        if isinstance(item, Reading):
            self.found[item.number] = dict(zip(item.places, result, strict=True))
            read = [said for one in result for said in one if isinstance(said, ReadPart)]
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
        if not all(isinstance(part.where, InFile) for part in parts.values()):
            super().store(placed, parts, done)
            return
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
    tasks = tasks_of(ahead, hands.worth_bytes) if hands and hands.count > 1 else []
    alone = OneReader(storage, schema, there)
    if hands is None or not tasks:
        yield alone
        return
    folder = storage.path("ingest") if storage.local else tempfile.gettempdir()
    os.makedirs(folder, exist_ok=True)
    work = SourceWork(source, schema, storage.root, f"{folder}/{temporary_name()}")
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
        for task in tasks:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{work.spool}{task.number}")


def tasks_of(ahead: Sequence[tuple[int, Unit]], worth_bytes: int) -> list[Reading]:
    """Units in tasks, small ones together; none where there is little to read."""
    wanted = [(at, unit) for at, unit in ahead if unit.items and not unit.at_hand]
    sizes = {at: sum(item.size_bytes for item in unit.items) for at, unit in wanted}
    if sum(sizes.values()) < worth_bytes:
        return []
    found: list[Reading] = []
    places: list[Place] = []
    size = 0
    for at, unit in wanted:
        count = len(pieces(unit))
        for part in range(count):
            places.append((at, part))
            size += sizes[at] // count
            if size >= TASK_BYTES or len(places) >= TASK_UNITS:
                found.append(Reading(len(found), tuple(places)))
                places, size = [], 0
    if places:
        found.append(Reading(len(found), tuple(places)))
    return found
