"""How a workspace's values become bytes: JSON for people, Parquet for rows.

Bytes at rest are checked as they are read: Parquet's own checksum of every page, and one of the
file's footer, which stands between the last page and the footer, where other readers see nothing.
"""

import io
import json
import struct
import zlib
from base64 import b64encode
from collections.abc import Callable, Collection, Sequence
from functools import lru_cache
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pairmill.errors import CorruptWorkspace
from pairmill.schemas.arrow import is_list, is_payload, leaf_columns

GROUP_BYTES = {True: 4 * 2**20, False: 64 * 2**20}
"""Payload in one row group on a disk, so that a few rows are read without the images of all others;
and on an object store, where each group costs every reader of narrow columns a request.
"""


IN_MEMORY_BYTES = 16 * 2**20
"""A table of at most so much becomes a file in memory, which is written in one go: Arrow calls
Python for every page else, several times as long as the writing takes for a small shard.
"""
LOOKED_AT = 1_024
"""Values of a column that tell whether they repeat, and whether they are all of one length."""
DELTAS = {
    pa.string(): "DELTA_LENGTH_BYTE_ARRAY",
    pa.int32(): "DELTA_BINARY_PACKED",
}
"""How values that do not repeat are encoded: lengths apart from texts of one length, which takes
zstd two thirds of the time, and numbers by their differences, which are the same where rows are
counted.
"""
ARROW_SCHEMA = b"ARROW:schema"
"""Key under which Arrow's readers find the types of columns."""
SEAL = "crc32"
"""Key of a sealed JSON file: the CRC-32 of all else in it, in hexadecimal."""


def sealed(value: dict[str, Any]) -> dict[str, Any]:
    """A map that a reader compares with its checksum: for files that decide what is computed."""
    return {**value, SEAL: checksum(value)}


def checksum(value: Any) -> str:
    """CRC-32 of a JSON value, 8 hexadecimal digits, whatever the order of its keys."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return f"{zlib.crc32(text.encode('utf-8', 'surrogatepass')):08x}"


def json_bytes(value: Any) -> bytes:
    """A value as indented JSON in UTF-8, with a newline at its end."""
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()


def write_parquet(
    stream: Any,
    table: pa.Table,
    group_bytes: int,
    distinct: Collection[str] = (),
    repeated: Collection[str] = (),
    seen_as: pa.Schema | None = None,
    **options: Any,
) -> None:
    """Payload columns are stored as they are, everything else with zstd; row groups hold about
    `group_bytes` of payload.  `distinct`: columns whose values are known not to repeat, such as
    uids and the numbers of rows; `repeated`: those that are known to be one of a few, for which
    nothing is left to compress.  `seen_as`: what readers find, where columns of few texts are given
    as dictionaries, which the writer need not look for then.
    """
    if payload := sum(table.column(f.name).nbytes for f in table.schema if is_payload(f.type)):
        options.setdefault("row_group_size", max(1, group_bytes * table.num_rows // payload))
    leaves = tuple(leaves_of(field.name, field.type) for field in table.schema)
    # nobody asks for the range of texts, which takes a fifth of the time of writing them
    ranged = [
        path
        for field, of in zip(table.schema, leaves, strict=True)
        if pa.types.is_primitive(field.type)
        for path, wide in of
    ]
    alike = [
        path
        for field, of in zip(table.schema, leaves, strict=True)
        if not is_payload(field.type)
        and field.name not in distinct
        and (field.name in repeated or repeats(table.column(field.name)))
        for path, wide in of
        if not wide
    ]
    compression = {path: "none" if wide else "zstd" for of in leaves for path, wide in of}
    compression |= {path: "none" for path in repeated}
    encodings = {
        f.name: DELTAS[f.type]
        for f in table.schema
        if f.type in DELTAS
        and (f.name in distinct or (f.name not in alike and is_even(table.column(f.name))))
    }
    if seen_as is not None:
        options["store_schema"] = False
    in_memory = table.nbytes <= IN_MEMORY_BYTES
    sink = pa.BufferOutputStream() if in_memory else FooterGuard(stream)
    group = options.pop("row_group_size", None)
    writer = pq.ParquetWriter(
        sink,
        table.schema,
        compression=compression,
        use_dictionary=alike,
        column_encoding=encodings or None,
        write_statistics=ranged,
        write_page_checksum=True,
        **options,
    )
    writer.write_table(table, group)
    if seen_as is not None:
        writer.add_key_value_metadata({ARROW_SCHEMA: b64encode(seen_as.serialize())})
    if isinstance(sink, FooterGuard):
        sink.footer_begins()
        writer.close()
        sink.finish()
        return
    writer.close()
    write_guarded(stream, memoryview(sink.getvalue()))


@lru_cache(4096)
def leaves_of(name: str, kind: pa.DataType) -> tuple[tuple[str, bool], ...]:
    """(path, whether it holds bytes) of each of a column's leaves."""
    leaves = leaf_columns(pa.field(name, kind))
    return tuple((path, is_payload(leaf)) for path, leaf in leaves)


def repeats(values: pa.ChunkedArray) -> bool:
    """Whether a dictionary of a column's values is worth its making, by the first of them."""
    first = values.slice(0, LOOKED_AT)
    try:
        if is_list(values.type):
            first = pc.list_flatten(first).slice(0, LOOKED_AT)
        different: int = pc.count_distinct(first, mode="all").as_py()
    except pa.ArrowNotImplementedError:  # nested values
        return True
    return different <= max(1, len(first) // 2)


def is_even(values: pa.ChunkedArray) -> bool:
    """Whether the first of a column's values are texts of one length, such as uids and hashes."""
    if not pa.types.is_string(values.type):
        return False
    lengths = pc.min_max(pc.binary_length(values.slice(0, LOOKED_AT))).as_py()
    return lengths["min"] is not None and lengths["min"] == lengths["max"] > 0


GUARD = struct.Struct("<4sI")
"""Stands before a footer: `PMfc` and the CRC-32 of the footer's bytes."""
GUARD_MARK = b"PMfc"
TAIL_BYTES = 2**16
"""What is read of a file's end at first; most footers are shorter."""


def write_guarded(stream: Any, data: memoryview) -> None:
    """Writes a Parquet file that is in memory, with the guard before its footer."""
    footer = len(data) - int.from_bytes(data[-8:-4], "little") - 8
    stream.write(data[:footer])
    stream.write(GUARD.pack(GUARD_MARK, zlib.crc32(data[footer:])))
    stream.write(data[footer:])


class FooterGuard(io.RawIOBase):
    """Passes a large Parquet file on, with the guard before its footer."""

    def __init__(self, target: Any) -> None:
        self.target, self.count = target, 0
        self.tail: bytearray | None = None

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        """Passes bytes of rows on, and keeps those of the footer; gives how many it took."""
        view = memoryview(data).cast("B")
        self.count += len(view)
        if self.tail is None:
            self.target.write(view)
        else:
            self.tail += view
        return len(view)

    def tell(self) -> int:
        return self.count

    def footer_begins(self) -> None:
        """What comes now is no row any more."""
        self.tail = bytearray()

    def finish(self) -> None:
        """Writes the guard, then the footer that was kept."""
        tail = bytes(self.tail or b"")
        self.target.write(GUARD.pack(GUARD_MARK, zlib.crc32(tail)) + tail)


def read_footer(place: str, source: Any) -> pq.FileMetaData:
    """A Parquet file's footer, compared with its checksum if it has one.

    Raises CorruptWorkspace, and pyarrow's and the file system's own errors.
    """
    return pq.read_metadata(pa.BufferReader(checked_tail(place, source, source.size())))


def checked_tail(place: str, source: Any, size: int) -> Any:
    """The end of a Parquet file of `size` bytes, with its footer, which is compared with its
    checksum if it has one.
    """
    tail = source.read_at(min(size, TAIL_BYTES), max(0, size - TAIL_BYTES))
    length = (int.from_bytes(tail[-8:-4], "little") if len(tail) >= 8 else 0) + 8
    if len(tail) < min(size, length + GUARD.size):
        tail = source.read_at(min(size, length + GUARD.size), max(0, size - length - GUARD.size))
    guard = tail[-length - GUARD.size : -length] if len(tail) >= length + GUARD.size else b""
    if guard.startswith(GUARD_MARK) and GUARD.unpack(guard)[1] != zlib.crc32(tail[-length:]):
        raise corrupt(place, ValueError("its footer is not what was written: bits have changed"))
    return tail


Groups = Callable[[pq.FileMetaData], Sequence[int]]
"""Numbers of the wanted row groups of a file."""


Columns = list[str] | Callable[[pq.FileMetaData], list[str]] | None
"""Names of the wanted columns, or what chooses them by a file's footer; None for all."""


def read_parquet(
    place: str,
    source: Any,
    columns: Columns = None,
    groups: Groups | None = None,
    ahead: bool = False,
) -> pa.Table:
    """The wanted columns and row groups of a Parquet file at `place`, all if absent.

    `ahead`: for a file behind a network.  Raises CorruptWorkspace, and the file system's own
    errors.
    """
    try:
        size = source.size()
        tail = checked_tail(place, source, size)
        footer = None if len(tail) == size else pq.read_metadata(pa.BufferReader(tail))
        file = pq.ParquetFile(
            source if footer else pa.BufferReader(tail),  # a small file is read once
            metadata=footer,
            pre_buffer=ahead,
            page_checksum_verification=True,
        )
        chosen = groups(file.metadata) if groups else range(file.num_row_groups)
        columns = columns(file.metadata) if callable(columns) else columns
        table = file.read_row_groups(chosen, columns, use_threads=False)
        return table if columns is None else table.select(columns)
    except (pa.ArrowInvalid, KeyError, OSError) as error:
        if isinstance(error, OSError) and not isinstance(source, pa.BufferReader):
            raise  # the file system's own: the caller knows more
        raise corrupt(place, error) from None


def parsed_json(place: str, data: bytes) -> Any:
    """The value of a JSON file at `place`, without its seal.  Raises CorruptWorkspace."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise CorruptWorkspace(f"{place} is no JSON ({error}); delete it and run again") from None
    if isinstance(found, dict) and SEAL in found:
        seal = found.pop(SEAL)
        if seal != checksum(found):
            raise corrupt(place, ValueError("its checksum is another one: bits have changed"))
    return found


def corrupt(place: str, error: Exception) -> CorruptWorkspace:
    """The error of a file that cannot be read."""
    return CorruptWorkspace(f"{place} cannot be read ({error}); delete it and run again")
