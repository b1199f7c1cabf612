"""What may be done of reading a source in any process: the rows of some of its units, written to a
file of Arrow batches until they have their place; and a shard, stored.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa

from pairmill.errors import RunError
from pairmill.sources.base import Remark, Source, Unit, Unreadable
from pairmill.sources.unchanged import as_listed
from pairmill.workspace.fingerprints import is_here
from pairmill.workspace.parts import (
    ReadPart,
    parts_together,
    placed_rows,
    read_parts,
)
from pairmill.workspace.shards import ShardFacts, store_shard
from pairmill.workspace.spool import Carried, Spool
from pairmill.workspace.storage import Storage

Said = ReadPart | Remark | Unreadable
Place = tuple[int, int]
"""A unit, and which of its parts."""
WORTH_BYTES = 32 * 2**20
"""From how many bytes of input on several processes are sooner done, their start included."""
TASK_BYTES, TASK_UNITS = 8 * 2**20, 256
"""Small files are read together, up to so many."""
TOGETHER_ROWS, TOGETHER_BYTES = 8_192, 16 * 2**20
"""Rows of theirs that are made together, at most."""
PIECE_BYTES = 256 * 2**20
"""Larger pieces of the input are not read ahead, so that there is never a copy of them."""
SPOOL_BYTES = 2**30
"""What the rows of a task may take on the disk; of more, what was read is thrown away, and who
places the rows reads them.
"""
THREAD_BYTES = 2**20
STORED_AHEAD = 8
"""Shards for each process that may wait while a large piece is read."""
AHEAD = 2
"""Tasks of each process that are read before their rows are wanted."""


@dataclass(frozen=True)
class Hands:
    """Processes that do the work of a source: `spread` gives each item with its result, and takes
    items that come to the queue meanwhile.
    """

    count: int
    spread: Callable[[Any, "deque[Any]"], Generator[tuple[Any, Any]]]
    worth_bytes: int = WORTH_BYTES
    piece_bytes: int = PIECE_BYTES
    spool_bytes: int = SPOOL_BYTES
    task_bytes: int = TASK_BYTES
    travels: bool = False
    """Whether rows travel with what is told of them: no folder is seen by all processes."""
    first_here: bool = False
    """Whether who places the rows reads the first task itself, while the processes start."""
    threads: bool = False
    """Whether threads of this process may do it instead (reading_threads.py)."""
    thread_bytes: int = THREAD_BYTES
    """Of files as large as that as a rule: of small ones most of the work is Python's."""
    carried: bool = False
    """Whether they do: rows wait in memory."""
    ahead: int = AHEAD
    """Tasks of each that are read before their rows are wanted."""
    queue: "Callable[[], deque[Any]]" = deque
    """Makes the queue of items."""


@dataclass(frozen=True)
class Reading:
    """A task: places in the source.  `name`: of the first of its files, for people."""

    number: int
    places: tuple[Place, ...]
    name: str = ""

    def __str__(self) -> str:
        return f"reading {self.name}"


@dataclass(frozen=True)
class Storing:
    """A shard that is to be stored: rows that have their places, and the parts they are in."""

    number: int
    placed: pa.Table
    parts: dict[int, ReadPart]
    table: pa.Table | None = None
    """The rows, where they travel."""

    def __str__(self) -> str:
        return f"storing shard {self.number} of the source"


@dataclass(frozen=True)
class SourceWork:
    """What a process does: it travels there once."""

    source: Source
    schema: pa.Schema
    root: str
    spool: str
    """Files in which rows wait for their place begin so."""
    spool_bytes: int
    travels: bool = False
    carried: bool = False

    def __call__(self, item: Reading | Storing) -> Any:
        """What was read, by place; or the facts of a stored shard."""
        if isinstance(item, Storing):
            if item.table is not None:
                return store_shard(Storage(self.root), item.table)
            return stored(Storage(self.root), item.placed, item.parts, self.schema, None)
        return self.read(item)

    @cached_property
    def units(self) -> Sequence[Unit]:
        """The source's."""
        return units_of(self.source)

    def spool_of(self, name: str) -> Spool | Carried:
        """Where rows wait for their place."""
        return Carried() if self.travels or self.carried else Spool(f"{self.spool}{name}")

    def has(self, task: Reading) -> bool:
        """Whether the files of a task are on this machine as they were listed."""
        return all(is_here(item) for unit, _ in task.places for item in self.units[unit].items)

    def has_beside(self) -> bool:
        """The same of files that belong to all tasks, such as a folder of images."""
        own = {item.url for unit in self.units for item in unit.items}
        return all(is_here(item) for item in self.source.inputs() if item.url not in own)

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in vars(self).items() if k != "units"}

    def read(self, task: Reading) -> list[list[Said]] | None:
        """Writes the rows of a task into a file; gives what stands for them, place by place; None
        where they are too large for a file.
        """
        with self.spool_of(str(task.number)) as spool:
            found: dict[Place, list[Said]] = {place: [] for place in task.places}
            for place, said in read_pieces(self.units, task.places, self.schema):
                found[place].append(spool.put(said) if isinstance(said, ReadPart) else said)
                if spool.bytes > self.spool_bytes:
                    spool.forget()
                    return None
        return list(found.values())


def units_of(source: Source) -> Sequence[Unit]:
    """A source's units, for which files may be looked into."""
    with as_listed(source.inputs()):
        return source.units()


def pieces(unit: Unit) -> Sequence[Callable[[], Iterator[Any]]]:
    """What reads the parts of a unit, in order."""
    with as_listed(unit.items):
        return unit.parts() or (unit.read,)


def read_pieces(
    units: Mapping[int, Unit] | Sequence[Unit], places: Sequence[Place], schema: pa.Schema
) -> Iterator[tuple[Place, Said]]:
    """What reading some pieces of the input gives, piece by piece, each with its place; the rows of
    small neighbours are made together.
    """
    held: list[tuple[Place, pa.Table | Remark | Unreadable]] = []
    tables: list[pa.Table] = []
    rows = size = 0
    for place in places:
        for said in raw_piece(units[place[0]], place[1]):
            if isinstance(said, pa.Table):
                if tables and (
                    rows + said.num_rows > TOGETHER_ROWS
                    or size + said.nbytes > TOGETHER_BYTES
                    or not said.schema.equals(tables[0].schema)
                ):
                    yield from made(held, tables, schema)
                    held, tables, rows, size = [], [], 0, 0
                tables.append(said)
                rows, size = rows + said.num_rows, size + said.nbytes
            held.append((place, said))
    yield from made(held, tables, schema)


def made(
    held: Sequence[tuple[Place, pa.Table | Remark | Unreadable]],
    tables: Sequence[pa.Table],
    schema: pa.Schema,
) -> Iterator[tuple[Place, Said]]:
    """The same with a table's columns.  `tables`: those among what is held."""
    parts = iter(parts_together(tables, schema))
    for place, said in held:
        if isinstance(said, pa.Table):
            yield from ((place, part) for part in next(parts))
        else:
            yield place, said


def read_piece(unit: Unit, piece: int, schema: pa.Schema) -> Iterator[Said]:
    """One piece, as it comes."""
    for said in raw_piece(unit, piece):
        if isinstance(said, pa.Table):
            yield from read_parts(said, schema)
        else:
            yield said


def raw_piece(unit: Unit, piece: int) -> Iterator[pa.Table | Remark | Unreadable]:
    """Rows with a source's columns, and what is to be told.  Raises RunError where a file is gone,
    or is another one now.
    """
    parts = pieces(unit)
    if piece >= len(parts):
        names = ", ".join(item.name for item in unit.items[:3])
        raise RunError(f"{names} was changed while it was read; run the same command again")
    with as_listed(unit.items):
        for said in parts[piece]():
            if isinstance(said, Unreadable | Remark) or said.num_rows:
                yield said


def stored(
    storage: Storage,
    placed: pa.Table,
    parts: dict[int, ReadPart],
    schema: pa.Schema,
    there: set[str] | None,
) -> ShardFacts:
    """Stores a shard."""
    return store_shard(storage, placed_rows(placed, parts, schema), there)
