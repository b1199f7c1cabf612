"""Parquet: batches by bytes, damage held to the row groups it stands in, bounds on what a small
file may unpack to.
"""

from collections.abc import Iterator
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pairmill.sources.base import Input, Unreadable
from pairmill.sources.faults import NoInput
from pairmill.sources.plain_types import plain_type
from pairmill.sources.rows import MAX_COLUMNS, Part, Rows, row_place
from pairmill.sources.sound_values import readable

BATCH_BYTES = 16 * 2**20
BATCH_ROWS = 16_384
PART_BYTES = 8 * 2**20
"""Unpacked, of row groups that are read together, and so wait together for their place."""
ROW_BYTES = 64
"""The least that a row counts for there: it has an address and a text as a rule."""
BUFFER_BYTES = 4 * 2**20
DICTIONARY_BYTES = 2**16
"""From this size on a dictionary is unpacked with care."""
MOST_BYTES = 512 * 2**20
"""What one batch may unpack to at most."""
RATIO, RATIO_FROM_BYTES = 1000, 2**30
"""A file that unpacks to so many times its size, and to more than 1 GiB, is not read further."""


class Encrypted(ValueError):
    """A file whose footer can be read and whose columns cannot: behind such a footer stands its
    signature.  Arrow ends the process where it is asked about one of the columns.
    """


def parquet_schema(item: Input) -> tuple[pa.Schema, int]:
    """The columns by the file's footer, in types that we store, and its rows.

    Raises NoInput for what is not to be read, OSError, ValueError or ArrowException for damage.
    """
    with fsspec.open(item.url, "rb") as stream:
        meta = pq.read_metadata(stream)
        stream.seek(-8, 2)
        if int.from_bytes(stream.read(4), "little") != meta.serialized_size:
            raise Encrypted("columns of it are encrypted, which is not read; decrypt it")
    schema = meta.schema.to_arrow_schema()
    if len(schema) > MAX_COLUMNS:
        raise NoInput(f"{item.name} has {len(schema):,} columns; at most {MAX_COLUMNS:,} are read")
    names = list(schema.names)
    if (
        twice := sorted({n for n in names if names.count(n) > 1})
        if len(set(names)) < len(names)
        else []
    ):
        raise NoInput(f"{item.name} has two columns of the name {twice[0]!r}")
    size = sum(meta.row_group(i).total_byte_size for i in range(meta.num_row_groups))
    if size > RATIO_FROM_BYTES and size > RATIO * max(item.size_bytes, 1):
        raise NoInput(
            f"{item.name}: {item.size_bytes:,} bytes that unpack to {size:,}; such a file is not "
            "read"
        )
    return pa.schema([pa.field(f.name, plain_type(f.type)) for f in schema]), meta.num_rows


def first_line(error: BaseException) -> str:
    """An error's kind and the first line of its message, of at most 300 characters."""
    text = str(error).strip() or type(error).__name__
    return f"{type(error).__name__}: {text.splitlines()[0][:300]}"


def row_groups(item: Input, rows: int, part_bytes: int) -> Iterator[range | None]:
    """Row groups that are read together, of a file of at least `part_bytes`; None stands for a
    whole one.  `rows`: how many the file has, as far as that is known.
    """
    if max(item.size_bytes, rows * ROW_BYTES) < part_bytes:
        yield None
        return
    with fsspec.open(item.url, "rb") as stream:
        meta = pq.read_metadata(stream)
    first = size = 0
    for group in range(meta.num_row_groups):
        of = meta.row_group(group)
        size += max(of.total_byte_size, of.num_rows * ROW_BYTES)
        if size >= part_bytes:
            yield range(first, group + 1)
            first, size = group + 1, 0
    if first < meta.num_row_groups or not meta.num_row_groups:
        yield range(first, meta.num_row_groups)


def parquet_rows(
    item: Input, unpacked_bytes: int = RATIO_FROM_BYTES, groups: range | None = None
) -> Iterator[Part]:
    """Rows of every row group; of a damaged one those before the damage, the others counted as
    unreadable.  The count is the footer's, so a reader that loses track is noticed.

    `unpacked_bytes`: what every file may unpack to, however small it is; `groups`: these row groups
    alone.
    """
    with fsspec.open(item.url, "rb") as stream:
        file = pq.ParquetFile(stream)
        first = size = 0
        limit = max(RATIO * item.size_bytes, unpacked_bytes)
        for group in range(file.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            if groups is not None and group not in groups:
                first += rows
                continue
            given = 0
            try:
                for table in _batches(file, group, stream):
                    places = np.arange(first + given, first + given + table.num_rows)
                    given += table.num_rows
                    size += table.nbytes
                    if size > limit:
                        yield Unreadable(
                            f"{row_place(item.name, int(places[0]))} and all behind it",
                            f"{item.size_bytes:,} bytes unpack to more than {limit:,}; "
                            "such a file is not read further",
                            rows=file.metadata.num_rows - int(places[0]),
                        )
                        return
                    yield from readable(Rows(table, places), item.name)
                fault = "the row group holds fewer rows than its footer says"
            except (OSError, ValueError, pa.ArrowException) as error:
                fault = first_line(error)
            if given < rows:
                yield Unreadable(
                    f"{row_place(item.name, first + given)} to {first + rows - 1}",
                    f"row group {group} is damaged: {fault}",
                    rows=rows - given,
                )
            first += rows


def _batches(file: pq.ParquetFile, group: int, stream: Any) -> Iterator[pa.Table]:
    """Tables of some MB.

    A dictionary lets a small file stand for very much: its columns are read by reference where all
    values are in it, and few rows at once where that cannot be told.
    """
    meta = file.metadata.row_group(group)
    rows = max(meta.num_rows, 1)
    size = max(1, min(BATCH_ROWS, BATCH_BYTES // max(meta.total_byte_size // rows, 1)))
    by_reference = []
    for i in range(meta.num_columns):
        column = meta.column(i)
        if column.physical_type != "BYTE_ARRAY" or not column.has_dictionary_page:
            continue
        dictionary = dictionary_bytes(stream, column)
        if dictionary < DICTIONARY_BYTES:
            continue
        others = column.total_uncompressed_size - dictionary
        if others < 8 * rows and "." not in column.path_in_schema:
            by_reference.append(column.path_in_schema)
        else:
            size = max(1, min(size, MOST_BYTES // dictionary))
    file = pq.ParquetFile(
        stream,
        metadata=file.metadata,
        read_dictionary=by_reference,
        buffer_size=BUFFER_BYTES,
        pre_buffer=meta.total_byte_size <= 4 * BATCH_BYTES,  # else all of the group is held at once
    )
    batches = file.iter_batches(batch_size=size, row_groups=[group])
    tables = (table for batch in batches for table in unpacked(batch))
    yield from gathered(tables)


def gathered(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Small tables put together, up to BATCH_ROWS rows or BATCH_BYTES."""
    held: list[pa.Table] = []
    rows = size = 0
    for table in tables:
        if held and (rows >= BATCH_ROWS or size + table.nbytes > BATCH_BYTES):
            yield pa.concat_tables(held)
            held, rows, size = [], 0, 0
        held.append(table)
        rows, size = rows + table.num_rows, size + table.nbytes
    if held:
        yield pa.concat_tables(held)


def dictionary_bytes(stream: Any, column: Any) -> int:
    """Size of a column's dictionary when unpacked, read off its page's header.

    The header is Thrift's compact form: kind of the page, then the size unpacked.
    """
    here = stream.tell()
    try:
        stream.seek(column.dictionary_page_offset)
        head = stream.read(16)
        if len(head) < 4 or head[0] != 0x15:
            return 0
        at = 1
        while head[at] & 0x80:
            at += 1
        at += 2  # the next field's mark
        value = shift = 0
        while at < len(head):
            value |= (head[at] & 0x7F) << shift
            if not head[at] & 0x80:
                break
            shift, at = shift + 7, at + 1
        return value >> 1
    finally:
        stream.seek(here)


def unpacked(batch: pa.RecordBatch) -> Iterator[pa.Table]:
    """A batch, in pieces that stay small when its dictionaries are unpacked."""
    if not any(pa.types.is_dictionary(t) for t in batch.schema.types):
        yield pa.Table.from_batches([batch])
        return
    sizes = np.zeros(batch.num_rows, np.int64)
    for column in batch.columns:
        if pa.types.is_dictionary(column.type):
            lengths = pc.binary_length(column.dictionary.cast(pa.large_binary()))
            each = pc.fill_null(pc.take(lengths, column.indices), 0)
            sizes += np.asarray(each).astype(np.int64)
    piece = np.cumsum(sizes) // BATCH_BYTES
    starts = np.concatenate([[0], np.flatnonzero(np.diff(piece)) + 1, [batch.num_rows]])
    for start, end in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True):
        part = batch.slice(start, end - start)
        columns = [
            c.cast(c.type.value_type) if pa.types.is_dictionary(c.type) else c for c in part.columns
        ]
        yield pa.Table.from_arrays(columns, names=part.schema.names)
