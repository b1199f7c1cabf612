"""What may be done of reading a source in any process: the rows of some of its units, written to a
file of Arrow batches until they have their place; and a shard, stored.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa

from pairmill.sources.base import Remark, Source, Unit, Unreadable
from pairmill.workspace.parts import InFile, ReadPart, placed_rows, read_parts
from pairmill.workspace.shards import ShardFacts, store_shard
from pairmill.workspace.storage import Storage

Said = ReadPart | Remark | Unreadable
Place = tuple[int, int]
"""A unit, and which of its parts."""
WORTH_BYTES = 32 * 2**20
"""From how many bytes of input on several processes are sooner done, their start included."""
TASK_BYTES, TASK_UNITS = 8 * 2**20, 256
"""Small files are read together, up to so many."""
AHEAD = 2
"""Tasks of each process that are read before their rows are wanted."""


@dataclass(frozen=True)
class Hands:
    """Processes that do the work of a source: `spread` gives each item with its result, and takes
    items that come to the queue meanwhile.
    """

    count: int
    spread: Callable[[Any, "deque[Any]"], Iterator[tuple[Any, Any]]]
    worth_bytes: int = WORTH_BYTES


@dataclass(frozen=True)
class Reading:
    """A task: places in the source."""

    number: int
    places: tuple[Place, ...]


@dataclass(frozen=True)
class Storing:
    """A shard that is to be stored: rows that have their places, and the parts they are in."""

    number: int
    placed: pa.Table
    parts: dict[int, ReadPart]


@dataclass(frozen=True)
class SourceWork:
    """What a process does: it travels there once."""

    source: Source
    schema: pa.Schema
    root: str
    spool: str
    """Files in which rows wait for their place begin so."""

    def __call__(self, item: Reading | Storing) -> Any:
        """What was read, by place; or the facts of a stored shard."""
        if isinstance(item, Storing):
            return stored(Storage(self.root), item.placed, item.parts, self.schema, None)
        return self.read(item)

    @cached_property
    def units(self) -> Sequence[Unit]:
        """The source's."""
        return self.source.units()

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in vars(self).items() if k != "units"}

    def read(self, task: Reading) -> list[list[Said]]:
        """Writes the rows of a task into a file; gives what stands for them, place by place."""
        file, batches = f"{self.spool}{task.number}", 0
        Storage(self.root).check_space()
        writer: pa.ipc.RecordBatchFileWriter | None = None
        found: list[list[Said]] = []
        for unit, part in task.places:
            found.append([])
            for said in pieces(self.units[unit])[part]():
                if not isinstance(said, pa.Table):
                    found[-1].append(said)
                    continue
                for read in read_parts(said, self.schema) if said.num_rows else ():
                    if writer is None:
                        writer = pa.ipc.new_file(file, read.rows.schema)
                    writer.write_batch(read.rows)
                    found[-1].append(
                        ReadPart(InFile(file, batches), read.documents, read.positions, read.source)
                    )
                    batches += 1
        if writer is not None:
            writer.close()
        return found


def pieces(unit: Unit) -> Sequence[Callable[[], Iterator[Any]]]:
    """What reads the parts of a unit, in order."""
    return unit.parts or (unit.read,)


def stored(
    storage: Storage,
    placed: pa.Table,
    parts: dict[int, ReadPart],
    schema: pa.Schema,
    there: set[str] | None,
) -> ShardFacts:
    """Stores a shard."""
    return store_shard(storage, placed_rows(placed, parts, schema), there)
