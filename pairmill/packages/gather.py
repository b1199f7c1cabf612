"""The rows of an output shard, from the pool's shards: narrow columns whole, bytes some rows at a
time.
"""

import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import numpy as np
import pyarrow as pa

from pairmill.fates.decide import Trace
from pairmill.models.vectors import common_length, lengths_of
from pairmill.outputs.base import ShardRows
from pairmill.outputs.values import holds_bytes
from pairmill.packages.windows import Windows
from pairmill.plan.chain import Chain
from pairmill.schemas.companions import size_of
from pairmill.work.block import block_columns
from pairmill.workspace.encoding import GROUP_BYTES
from pairmill.workspace.storage import Storage

TraceOf = Callable[[int], Trace]
"""Shard → its fates, with the sizes of its payload in the frame."""
BATCH_ROWS = 256
BATCH_BYTES = 32 * 2**20
"""Rows, and bytes of payload, that a writer is given at once."""
NARROW_ROWS = 65_536
"""Rows at once where there are no bytes."""
NESTED_BYTES = 2**17
"""A guess for bytes inside lists and structs, whose sizes nothing tells."""
SETTLING_ROWS = 256
"""Rows whose payload a writer sees before it settles how to write."""
BEGINNING = 64
"""Bytes of each that it sees."""
ROW_BYTES = 64
"""More than Arrow needs for a value beside its bytes, where it is a row by itself."""
SPOOL_BYTES = 64 * 2**20
"""Bytes of an output shard that stay in memory; more of them wait on the disk."""


@dataclass(frozen=True)
class Place:
    """Where the rows of an output shard lie: pool shard and row of each, in the package's order."""

    chain: Chain
    shards: np.ndarray
    rows: np.ndarray
    trace_of: TraceOf
    windows: Windows = field(default_factory=Windows)
    """What is held from one output shard to the next."""

    def at(self, shard: int) -> np.ndarray:
        """Numbers, in the output shard, of the rows that a pool shard holds, as they lie there."""
        numbers, shards = self.ordered
        first, last = np.searchsorted(shards, shard), np.searchsorted(shards, shard, "right")
        return numbers[first:last]

    @cached_property
    def ordered(self) -> tuple[np.ndarray, np.ndarray]:
        """(numbers in the output shard, pool shards) of the rows as they lie in the pool."""
        if self.is_in_pool_order:
            return np.arange(len(self.rows), dtype=np.int32), self.shards
        numbers = np.lexsort((self.rows, self.shards))
        return numbers, self.shards[numbers]

    def sources(self) -> list[int]:
        """Numbers of the pool shards in which the rows lie, ascending."""
        return [int(s) for s in np.unique(self.shards)]

    @cached_property
    def is_in_pool_order(self) -> bool:
        """Whether the rows lie in the pool as in the package, so that one pass over it suffices."""
        steps, within = np.diff(self.shards), np.diff(self.rows)
        return bool(np.all((steps > 0) | ((steps == 0) & (within > 0))))


def gathered(
    place: Place,
    columns: Sequence[str],
    folder: str | None,
    files: ExitStack,
) -> ShardRows:
    """The wanted columns of the rows of an output shard.

    Bytes are read from one pool shard at a time.  Where the order is not the pool's, they wait in
    memory or, beyond SPOOL_BYTES, in a file without a name in `folder`.  `files`: closes that file.
    """
    schema = pa.schema([place.chain.schema.field(c) for c in columns])
    wide = [f.name for f in schema if holds_bytes(f.type)]
    count = len(place.rows)
    narrow = partial(narrow_columns, place, [c for c in columns if c not in wide])
    if not wide:
        return ShardRows(schema, count, narrow, partial(slices, count))
    read = partial(in_pool_order, place, wide)
    if place.is_in_pool_order:
        return ShardRows(schema, count, narrow, lambda: (part for _, part in read()))
    held = held_batches(place, wide)
    if held is not None:
        return ShardRows(schema, count, narrow, held)
    stream = files.enter_context(tempfile.SpooledTemporaryFile(SPOOL_BYTES, dir=folder))
    bytes_schema = pa.schema([schema.field(c) for c in wide])
    return ShardRows(schema, count, narrow, spooled(read(), bytes_schema, count, stream))


def first_bytes(place: Place, column: str) -> list[bytes]:
    """The beginnings of a column's values in the first rows of the pool."""
    numbers = np.lexsort((place.rows, place.shards))[:SETTLING_ROWS]
    first = Place(place.chain, place.shards[numbers], place.rows[numbers], place.trace_of)
    beginnings = []
    for _, table in in_pool_order(first, [column]):
        beginnings += [v.as_py()[:BEGINNING] for v in table.column(column) if v.is_valid]
    return beginnings


def embedding_length(place: Place, column: str) -> int:
    """Numbers in an embedding, as the column's type tells, or most rows of the first shard of the
    pool in which one has some; 0 where none has.
    """
    kind = place.chain.schema.field(column).type
    if pa.types.is_fixed_size_list(kind):
        return int(kind.list_size)
    for shard in place.sources():
        rows = shard_rows(place, shard, place.at(shard), [column])
        lengths = lengths_of(rows.column(column))
        if (lengths > 0).any():
            return common_length(lengths[lengths > 0])
    return 0


def slices(count: int) -> Iterator[pa.Table]:
    """So many rows without a column, some at a time."""
    for first in range(0, count, NARROW_ROWS):
        rows = np.arange(first, min(count, first + NARROW_ROWS))
        yield pa.table({"row": rows}).select([])


def narrow_columns(place: Place, columns: list[str]) -> Iterator[pa.Table]:
    """Columns without bytes, of the rows of the output shard, in the package's order: of a pool
    shard at a time where that is the pool's.
    """
    if not columns:
        yield pa.table({"row": pa.array(place.rows)}).select([])
        return
    parts = (shard_rows(place, s, place.at(s), columns) for s in place.sources())
    if place.is_in_pool_order:
        yield from parts
        return
    window = place.windows.narrow.of(
        np.unique(place.shards), columns, lambda s: whole_shard(place, s, columns)
    )
    if window is not None:
        yield window.taken(place.shards, place.rows)
    else:
        rows = pa.concat_tables(parts)
        yield rows.take(pa.array(np.argsort(place.ordered[0])))


def held_batches(place: Place, columns: list[str]) -> Callable[[], Iterator[pa.Table]] | None:
    """Gives columns with bytes of an output shard from shards that are held in memory; None where
    these, or the output shard itself, are too large for that.

    Batches are those that `spooled` gives: where bytes and not rows might end one, it has to.
    """
    if place.chain.elements is not None:
        return None
    shards = np.unique(place.shards)

    def foreseen() -> int:
        rows = (np.arange(place.chain.rows_of(s)) for s in shards.tolist())
        each = zip(shards.tolist(), rows, strict=True)
        return sum(int(row_bytes(place, s, every, columns).sum()) for s, every in each)

    window = place.windows.wide.of(
        shards, columns, lambda s: whole_shard(place, s, columns), foreseen
    )
    rows = window.taken(place.shards, place.rows) if window is not None else None
    if rows is None or rows.nbytes > SPOOL_BYTES:
        return None
    batches = [rows.slice(first, BATCH_ROWS) for first in range(0, rows.num_rows, BATCH_ROWS)]
    if any(b.nbytes + ROW_BYTES * b.num_rows * len(columns) > BATCH_BYTES for b in batches):
        return None
    return lambda: (batch.combine_chunks() for batch in batches)


def whole_shard(place: Place, shard: int, columns: Sequence[str]) -> pa.Table:
    """Columns of all rows of one pool shard."""
    chain = place.chain
    return taken_rows(place, shard, np.arange(chain.rows_of(shard), dtype=np.int32), columns)


def shard_rows(place: Place, shard: int, numbers: np.ndarray, columns: Sequence[str]) -> pa.Table:
    """Columns of those rows of one pool shard that have these numbers in the output shard."""
    return taken_rows(place, shard, place.rows[numbers], columns)


def taken_rows(place: Place, shard: int, rows: np.ndarray, columns: Sequence[str]) -> pa.Table:
    """Columns of some rows of one pool shard."""
    chain, names = place.chain, list(columns)
    made = any(chain.writer_of(name) for name in names)
    found = place.trace_of(shard) if made else None
    taken = block_columns(chain, shard, rows, names, found, len(chain.stages))
    schema = pa.schema([chain.schema.field(c) for c in columns])
    return pa.table([taken.column(c) for c in columns], schema=schema)


def in_pool_order(place: Place, columns: Sequence[str]) -> Iterator[tuple[np.ndarray, pa.Table]]:
    """(numbers in the output shard, columns with bytes) of some rows after the other, as they lie
    in the pool.
    """
    read_bytes = max(BATCH_BYTES, 2 * GROUP_BYTES[Storage(place.chain.root).local])
    for shard in place.sources():
        numbers = place.at(shard)
        sizes = row_bytes(place, shard, place.rows[numbers], columns)
        for some in parts(sizes, rows=len(sizes), limit=read_bytes):
            table = shard_rows(place, shard, numbers[some], columns)
            for part in parts(sizes[some]):
                yield (
                    numbers[some][part],
                    table.slice(part.start, part.stop - part.start).combine_chunks(),
                )


def row_bytes(place: Place, shard: int, rows: np.ndarray, columns: Sequence[str]) -> np.ndarray:
    """int64: bytes of each of a pool shard's rows, as far as the workspace has them at hand."""
    frame, total = place.trace_of(shard).frame, np.zeros(len(rows), np.int64)
    for name in columns:
        if size_of(name) in frame.columns:
            sizes = frame[size_of(name)].fill_null(0).to_numpy()
            total += sizes[rows]
        else:
            total += NESTED_BYTES
    return total


def parts(sizes: np.ndarray, rows: int = BATCH_ROWS, limit: int = BATCH_BYTES) -> Iterator[slice]:
    """Neighbouring rows, at most `rows` and, unless one row has more, `limit` bytes at once."""
    first, held = 0, 0
    for i, size in enumerate(sizes):
        if i > first and (i - first >= rows or held + size > limit):
            yield slice(first, i)
            first, held = i, 0
        held += int(size)
    if first < len(sizes):
        yield slice(first, len(sizes))


def spooled(
    source: Iterable[tuple[np.ndarray, pa.Table]], schema: pa.Schema, rows: int, stream: Any
) -> Callable[[], Iterator[pa.Table]]:
    """Takes the rows as they come, and gives them in the order of their numbers.

    Each row is a record batch of its own in an Arrow file, so that any can be read alone.
    """
    place, sizes = np.zeros(rows, np.int64), np.zeros(rows, np.int64)
    count = 0
    try:
        with pa.ipc.new_file(pa.PythonFile(stream, "w"), schema) as writer:
            for numbers, table in source:
                for i, number in enumerate(numbers):
                    (row,) = table.slice(i, 1).to_batches()
                    writer.write_batch(row)
                    place[number], sizes[number] = count, row.nbytes
                    count += 1
    except BaseException:
        stream.close()
        raise

    def ordered() -> Iterator[pa.Table]:
        stream.seek(0)
        reader = pa.ipc.open_file(pa.PythonFile(stream, "r"))
        for part in parts(sizes):
            yield pa.Table.from_batches(
                [reader.get_batch(int(b)) for b in place[part]], schema
            ).combine_chunks()

    weakref.finalize(ordered, stream.close)  # nobody can ask for rows any more
    return ordered
