"""What may be done of reading a source in any process: the rows of some of its units, written to a
file of Arrow batches until they have their place; and a shard, stored.
"""

import contextlib
import os
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import pyarrow as pa

from pairmill.errors import RunError, first_line
from pairmill.sources.base import Remark, Source, Unit, Unreadable
from pairmill.workspace.disk import check_space, full_disk_told
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
PIECE_BYTES = 256 * 2**20
"""Larger pieces of the input are not read ahead, so that there is never a copy of them."""
SPOOL_BYTES = 2**30
"""What the rows of a task may take on the disk; of more, what was read is thrown away, and who
places the rows reads them.
"""
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

    def __call__(self, item: Reading | Storing) -> Any:
        """What was read, by place; or the facts of a stored shard."""
        if isinstance(item, Storing):
            return stored(Storage(self.root), item.placed, item.parts, self.schema, None)
        return self.read(item)

    @cached_property
    def units(self) -> Sequence[Unit]:
        """The source's."""
        with gone_told("the source"):
            return self.source.units()

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in vars(self).items() if k != "units"}

    def read(self, task: Reading) -> list[list[Said]] | None:
        """Writes the rows of a task into a file; gives what stands for them, place by place; None
        where they are too large for a file.
        """
        with Spool(f"{self.spool}{task.number}") as spool:
            found: list[list[Said]] = []
            for unit, part in task.places:
                found.append([])
                for said in read_piece(self.units[unit], part, self.schema):
                    found[-1].append(spool.put(said) if isinstance(said, ReadPart) else said)
                    if spool.bytes > self.spool_bytes:
                        spool.forget()
                        return None
        return found


class Spool:
    """A file of Arrow batches, opened for the first of them.  Raises DiskFull."""

    def __init__(self, file: str) -> None:
        self.file, self.batches = file, 0
        self.stream: pa.OSFile | None = None
        self.writer: pa.ipc.RecordBatchFileWriter | None = None
        check_space(os.path.dirname(file))

    @property
    def bytes(self) -> int:
        """Written so far."""
        return 0 if self.stream is None else int(self.stream.tell())

    def put(self, part: ReadPart) -> ReadPart:
        """Writes rows; gives what stands for them."""
        with full_disk_told(os.path.dirname(self.file)):
            if self.writer is None:
                self.stream = pa.OSFile(self.file, "wb")
                self.writer = pa.ipc.new_file(self.stream, part.rows.schema)
            self.writer.write_batch(part.rows)
        self.batches += 1
        return replace(part, where=InFile(self.file, self.batches - 1))

    def forget(self) -> None:
        """Removes the file."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.file)

    def __enter__(self) -> "Spool":
        return self

    def __exit__(self, *raised: object) -> None:
        if self.writer is None or self.stream is None:
            return
        with full_disk_told(os.path.dirname(self.file)), self.stream:
            self.writer.close()


def pieces(unit: Unit) -> Sequence[Callable[[], Iterator[Any]]]:
    """What reads the parts of a unit, in order."""
    return unit.parts() or (unit.read,)


def read_piece(unit: Unit, piece: int, schema: pa.Schema) -> Iterator[Said]:
    """Rows with a table's columns, and what is to be told.  Raises RunError where a file is gone,
    or is another one now.
    """
    parts, names = pieces(unit), ", ".join(item.name for item in unit.items[:3])
    if piece >= len(parts):
        raise RunError(f"{names} was changed while it was read; run the same command again")
    with gone_told(names):
        for said in parts[piece]():
            if isinstance(said, Unreadable | Remark):
                yield said
            elif said.num_rows:
                yield from read_parts(said, schema)


@contextlib.contextmanager
def gone_told(names: str) -> Iterator[None]:
    """Raises RunError where files that were there do not answer."""
    try:
        yield
    except OSError as error:
        raise RunError(
            f"{names} cannot be read any more: {first_line(error)}; run the same command again "
            "when it is there"
        ) from None


def stored(
    storage: Storage,
    placed: pa.Table,
    parts: dict[int, ReadPart],
    schema: pa.Schema,
    there: set[str] | None,
) -> ShardFacts:
    """Stores a shard."""
    return store_shard(storage, placed_rows(placed, parts, schema), there)
