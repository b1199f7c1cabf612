"""Columns hashed by what was compiled where pairmill was installed (`hash_rows.c`), if it was."""

import ctypes
import hashlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

SOURCE = Path(__file__).with_name("hash_rows.c")


class ColumnInC(ctypes.Structure):
    """`struct column`: where an Arrow array of large texts or bytes lies."""

    _fields_ = [
        ("data", ctypes.c_void_p),
        ("offsets", ctypes.c_void_p),
        ("valid", ctypes.c_void_p),
        ("first", ctypes.c_int64),
    ]

    @classmethod
    def of(cls, values: pa.Array) -> "ColumnInC":
        """An array of the type large_binary; the array is to outlive it."""
        if values.null_count == len(values):
            return cls()
        valid, offsets, data = values.buffers()
        return cls(
            (data or offsets).address,
            offsets.address + 8 * values.offset,
            valid.address if valid is not None and values.null_count else None,
            values.offset,
        )


class StreamInC(ctypes.Structure):
    """`struct stream`: where the pieces of a message lie."""

    _fields_ = [
        ("pieces", ctypes.c_void_p),
        ("sizes", ctypes.c_void_p),
        ("count", ctypes.c_int64),
    ]


LANES = 4
"""Messages that are hashed at once."""


def library_file(source: Path = SOURCE) -> Path:
    """Where the compiled library of just this source, and of the headers that it includes, stands,
    so that one of another is not taken for it.
    """
    read = [source, *sorted(source.parent.glob(f"{source.stem}_*.h"))]
    told = hashlib.sha256(b"".join(file.read_bytes() for file in read)).hexdigest()[:8]
    return source.with_name(f"{source.stem}-{told}.so")


@lru_cache
def library(file: Path | None = None) -> ctypes.CDLL | None:
    """What was compiled; None where nothing was, or for another machine."""
    try:
        found = ctypes.CDLL(str(file or library_file()))
    except OSError:
        return None
    wide, narrow = ctypes.c_int64, ctypes.c_int32
    columns, texts = ctypes.POINTER(ColumnInC), ctypes.c_char_p
    found.hash_rows.argtypes = [wide, narrow, columns, texts, wide, narrow, narrow, ctypes.c_void_p]
    found.hash_rows.restype = narrow
    streams = ctypes.POINTER(StreamInC)
    found.hash_streams.argtypes = [narrow, streams, narrow, ctypes.c_void_p]
    found.hash_streams.restype = None
    return found


def hash_rows(
    by: ctypes.CDLL, parts: Sequence[pa.Array], size: int, before: bytes, marked: bool
) -> bytes | None:
    """BLAKE2b digests of `size` bytes of each row of large_binary columns, one after another; the
    rows' messages are those of `hash_columns.row_digests`.  None where memory is short.
    """
    rows = len(parts[0])
    found = np.empty(rows * size, np.uint8)
    columns = (ColumnInC * len(parts))(*(ColumnInC.of(part) for part in parts))
    sound = by.hash_rows(
        rows, len(parts), columns, before, len(before), marked, size, found.ctypes.data
    )
    return found.tobytes() if sound else None


def hash_streams(by: ctypes.CDLL, messages: Sequence[Sequence[Any]], size: int) -> list[bytes]:
    """BLAKE2b digests of `size` bytes of messages, each in pieces that are buffers."""
    found: list[bytes] = []
    for first in range(0, len(messages), LANES):
        some = messages[first : first + LANES]
        pieces = [[np.frombuffer(p, np.uint8) for p in m if memoryview(p).nbytes] for m in some]
        places = [np.array([p.ctypes.data for p in m], np.uint64) for m in pieces]
        sizes = [np.array([len(p) for p in m], np.int64) for m in pieces]
        streams = (StreamInC * len(some))(
            *(
                StreamInC(place.ctypes.data, many.ctypes.data, len(place))
                for place, many in zip(places, sizes, strict=True)
            )
        )
        digests = np.empty((len(some), size), np.uint8)
        by.hash_streams(len(some), streams, size, digests.ctypes.data)
        found += [line.tobytes() for line in digests]
    return found
