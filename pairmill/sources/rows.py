"""Rows as the readers of text formats give them, before names and types are ours."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from pairmill.sources.base import Remark, Unreadable

MAX_COLUMNS = 10_000
"""Columns of a table; more are a sign of a wrong delimiter, or of hostile input."""


@dataclass(frozen=True)
class Rows:
    """A table of the input's columns, and where each of its rows stands in the file."""

    table: pa.Table
    places: np.ndarray
    """Line or row numbers, int64, one for each row of the table."""


Part = Rows | Unreadable | Remark


def line_place(file: str, line: int) -> str:
    """Where a row of a text file stands, for messages."""
    return f"{file} line {line}"


def row_place(file: str, row: int) -> str:
    """Where a row of a file without lines stands, for messages."""
    return f"{file} row {row}"


def shown(value: Any, limit: int = 80) -> str:
    """A value in a message: cut, and without what terminals would obey."""
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return repr(text if len(text) <= limit else text[:limit] + "…")


def without(rows: Rows, bad: Sequence[int]) -> Rows:
    """The rows but those at the places `bad` within them."""
    keep = np.ones(len(rows.places), bool)
    keep[list(bad)] = False
    return Rows(rows.table.filter(pa.array(keep)), rows.places[keep])


def newline_places(data: bytes) -> np.ndarray:
    """Offsets of the line feeds in a block, int64, ascending."""
    return np.flatnonzero(np.frombuffer(data, np.uint8) == 10)


def lines_of(data: bytes, first: int, blank: bytes) -> Iterator[tuple[int, bytes]]:
    """(number, line without its end) of every line with more than the letters in `blank`."""
    for number, line in enumerate(data.split(b"\n"), first):
        if line.strip(blank):
            yield number, line.removesuffix(b"\r")


def filled_lines(data: bytes, first: int, blank: bytes) -> np.ndarray:
    """Numbers of the lines that hold more than `blank`; counted over bytes, apart from any
    parser.
    """
    if not data:
        return np.empty(0, np.int64)
    ends = newline_places(data)
    if not data.endswith(b"\n"):
        ends = np.append(ends, len(data))
    starts = np.concatenate([[0], ends[:-1] + 1])
    numbers = np.arange(first, first + len(ends), dtype=np.int64)
    heads = np.frombuffer(data, np.uint8)[np.minimum(starts, len(data) - 1)]
    doubtful = np.flatnonzero((starts == ends) | np.isin(heads, list(blank)))
    empty = [i for i in doubtful.tolist() if not data[starts[i] : ends[i]].strip(blank)]
    return np.delete(numbers, empty) if empty else numbers


def for_arrow(data: bytes) -> pa.BufferReader:
    """A block for Arrow's parsers, in memory of Arrow's own.

    Their threads may let go of it later than the parser returns.  Were it memory of Python's, they
    would ask for the interpreter then, and a process that is just ending would be aborted.
    """
    buffer = pa.allocate_buffer(len(data))
    np.frombuffer(buffer, np.uint8)[:] = np.frombuffer(data, np.uint8)
    return pa.BufferReader(buffer)
