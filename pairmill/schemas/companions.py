"""What stands beside a payload column `c`, so that nobody reads bytes to learn whether they are
there: `c#size`, how many bytes its value has at any depth (null where there is no value), and,
where a stage wrote it, `c#forgotten`, whether the bytes were stored once and are stored no more.

A value that was forgotten keeps its size.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pairmill.schemas.arrow import is_payload

SIZE, FORGOTTEN = "#size", "#forgotten"
SUFFIXES = (SIZE, FORGOTTEN)


def size_of(column: str) -> str:
    """Name of the column with the sizes of a payload column."""
    return column + SIZE


def mark_of(column: str) -> str:
    """Name of the column that marks whose bytes of a payload column were forgotten."""
    return column + FORGOTTEN


def is_companion(name: str) -> bool:
    """Whether a column stands beside another one."""
    return name.endswith(SUFFIXES)


def without_suffix(name: str) -> str:
    """The column that a companion stands beside; any other column itself."""
    for suffix in SUFFIXES:
        name = name.removesuffix(suffix)
    return name


def companions(field: pa.Field) -> list[pa.Field]:
    """What is stored beside a column of a stage; nothing unless it is payload."""
    if not is_payload(field.type):
        return []
    return [pa.field(size_of(field.name), pa.int64()), pa.field(mark_of(field.name), pa.bool_())]


def forgotten(table: pa.Table, column: str) -> np.ndarray:
    """bool, one a row: whether the bytes of a payload column were forgotten.  The pool's own
    payload has no mark, since it is never forgotten.
    """
    if mark_of(column) not in table.schema.names:
        return np.zeros(table.num_rows, bool)
    marks = pc.fill_null(table.column(mark_of(column)), False)
    return np.asarray(marks.combine_chunks() if isinstance(marks, pa.ChunkedArray) else marks)
