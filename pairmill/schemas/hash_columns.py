"""`row_uid` and `row_chance` of whole columns: in C where that could be compiled; else the messages
are made by Arrow, and what is left for each row is one call of BLAKE2b.
"""

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pairmill.schemas.compiled import hash_rows, library

LARGE = pa.large_binary()
ABSENT = b"\x00"
"""What stands for a null in a message."""
MARK = np.dtype([("there", "u1"), ("size", "<u8")])
"""What stands before a value."""


def row_uids(parts: Sequence[pa.Array], wanted: np.ndarray | None = None) -> pa.Array:
    """`row_uid` of each row of the columns `parts` (texts, bytes or nulls), null where none is
    wanted.
    """
    if wanted is None or wanted.all():
        return hexadecimal(row_digests(parts, 16), 16)
    chosen = pa.array(wanted)
    hex_digits = hexadecimal(row_digests([p.filter(chosen) for p in parts], 16), 16)
    places = np.cumsum(wanted) - 1
    return hex_digits.take(pa.array(places, mask=~wanted))


def row_chances(uids: pa.Array, seed: int, salt: str) -> np.ndarray:
    """`row_chance` of each uid: uint64."""
    found = row_digests([uids], 8, f"{seed}:{salt}:".encode(), marked=False)
    return np.frombuffer(found, "<u8")


def row_digests(
    parts: Sequence[pa.Array], size: int, before: bytes = b"", marked: bool = True
) -> bytes:
    """BLAKE2b digests of `size` bytes, one after another, of each row's message: `before`, and of
    every part its bytes, if `marked` with what `messages` puts before them.
    """
    columns = [as_bytes(part) for part in parts]
    if not len(columns[0]):
        return b""
    compiled = library()
    found = hash_rows(compiled, columns, size, before, marked) if compiled is not None else None
    if found is not None:
        return found
    if marked:
        return digests(messages(columns), size, before)
    return digests(joined(*columns).to_pylist(), size, before)


def messages(parts: Sequence[pa.Array]) -> list[bytes]:
    """What `row_uid` hashes of each row: of every part a mark, its length, and its bytes."""
    if not len(parts[0]):
        return []
    pieces: list[Any] = []
    for part in parts:
        data = as_bytes(part)
        if data.null_count == len(data):
            pieces.append(pa.scalar(ABSENT, LARGE))
            continue
        marks = marks_of(np.asarray(pc.fill_null(pc.binary_length(data), 0)))
        if data.null_count:
            marks = pc.if_else(pc.is_valid(data), marks, pa.scalar(ABSENT, LARGE))
            data = pc.fill_null(data, pa.scalar(b"", LARGE))
        pieces += [marks, data]
    if all(isinstance(piece, pa.Scalar) for piece in pieces):
        return [ABSENT * len(pieces)] * len(parts[0])
    found: list[bytes] = joined(*pieces).to_pylist()
    return found


def spread(values: np.ndarray) -> np.ndarray:
    """uint64: each value with its bits well spread, equal ones alike (the finaliser of
    MurmurHash3).
    """
    values = values + np.uint64(0x9E3779B97F4A7C15)
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        values ^= values >> np.uint64(33)
        values *= np.uint64(factor)
    values ^= values >> np.uint64(33)
    return values


def marks_of(sizes: np.ndarray) -> pa.Array:
    """A byte 1 and the size in eight bytes, of each value that is there."""
    marks = np.empty(len(sizes), MARK)
    marks["there"], marks["size"] = 1, sizes
    offsets = np.arange(len(sizes) + 1, dtype=np.int64) * MARK.itemsize
    return pa.LargeBinaryArray.from_buffers(
        LARGE, len(sizes), [None, pa.py_buffer(offsets), pa.py_buffer(marks)]
    )


def joined(*pieces: Any) -> pa.Array:
    """The pieces of each row one after another; null where one of them is."""
    return pc.binary_join_element_wise(*pieces, pa.scalar(b"", LARGE))


def as_bytes(values: pa.Array | pa.ChunkedArray) -> pa.Array:
    """The bytes of texts, or bytes as they are, in one piece that may be larger than 2 GiB."""
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    if pa.types.is_null(values.type):
        return pa.nulls(len(values), LARGE)
    kind = values.type
    if pa.types.is_string(kind) or pa.types.is_string_view(kind):
        values = values.cast(pa.large_string())
    return values.cast(LARGE)


def digests(data: Iterable[bytes], size: int, before: bytes = b"") -> bytes:
    """The BLAKE2b digests of `size` bytes, one after another; of each with `before` before it.

    A copy of what has begun takes half as long as a beginning, with its many parameters.
    """
    begun = blake2b(before, digest_size=size).copy
    found = []
    for one in data:
        going_on = begun()
        going_on.update(one)
        found.append(going_on.digest())
    return b"".join(found)


def hexadecimal(found: bytes, size: int) -> pa.Array:
    """Digests that stand one after another as texts of hexadecimal digits."""
    digits = found.hex().encode()
    offsets = np.arange(len(found) // size + 1, dtype=np.int64) * (2 * size)
    made = pa.LargeStringArray.from_buffers(
        len(offsets) - 1, pa.py_buffer(offsets), pa.py_buffer(digits)
    )
    return made.cast(pa.string())
