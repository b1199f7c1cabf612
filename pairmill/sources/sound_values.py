"""Values that a file of columns holds: texts are UTF-8, and offsets lead nowhere else."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from pairmill.sources.base import Remark, Unreadable
from pairmill.sources.rows import Part, Rows, row_place

STRINGS = (pa.string(), pa.large_string())
BYTES = (pa.binary(), pa.large_binary())


def readable(rows: Rows, file: str) -> Iterator[Part]:
    """Rows whose texts are UTF-8; what is not is repaired or, deep within a value, costs the
    row.  Values that are damaged themselves cost all of the rows.
    """
    table = rows.table
    try:
        table.validate(full=True)
        yield rows
        return
    except (pa.ArrowException, UnicodeDecodeError):
        pass
    if not all(is_whole(chunk) for column in table.columns for chunk in column.chunks):
        yield damaged(file, rows.places, "values that lie outside the file's own")
        return
    bad: dict[int, Unreadable] = {}
    for index, name in enumerate(table.schema.names):
        column = table.column(index).combine_chunks()
        if is_valid(column):
            continue
        if holds(column.type, STRINGS):
            texts, repaired = repaired_texts(
                column, name, lambda i: row_place(file, rows.places[i])
            )
            yield from repaired
            table = table.set_column(index, name, texts)
            continue
        for i in range(len(column)):
            if not is_valid(column.take(pa.array([i]))):
                place = row_place(file, int(rows.places[i]))
                bad[i] = Unreadable(place, "a text within it is not UTF-8", name)
    yield from bad.values()
    keep = np.ones(table.num_rows, bool)
    keep[list(bad)] = False
    yield Rows(table.filter(pa.array(keep)), rows.places[keep])


def as_texts(
    values: pa.ChunkedArray, name: str, where: Callable[[int], str]
) -> tuple[pa.ChunkedArray, list[Remark]]:
    """A column of bytes, or lists of bytes, as one of texts, and what of it is no UTF-8 and was
    repaired; another column as it is.  `where`: the place of a row, for messages.
    """
    if not holds(values.type, BYTES):
        return values, []
    texts = pa.list_(pa.string()) if pa.types.is_nested(values.type) else pa.string()
    try:
        return values.cast(texts), []
    except (pa.ArrowException, UnicodeDecodeError):
        column, repaired = repaired_texts(values, name, where)
        return pa.chunked_array([column.cast(texts)]), repaired


def repaired_texts(
    column: pa.Array | pa.ChunkedArray, name: str, where: Callable[[int], str]
) -> tuple[pa.Array, list[Remark]]:
    """Texts, or lists of texts, with U+FFFD for what is no UTF-8, and a remark for each row that
    was changed.
    """
    nested = pa.types.is_nested(column.type)
    raw = column.cast(pa.large_list(pa.large_binary()) if nested else pa.large_binary())
    values: list[Any] = []
    remarks = []
    what = f"bytes in column {name!r} that are not UTF-8 became U+FFFD"
    for i, value in enumerate(raw.to_pylist()):
        held = value if nested else [value]
        decoded = held and [one and one.decode("utf-8", "replace") for one in held]
        again = decoded and [one and one.encode() for one in decoded]
        if again != held:
            remarks.append(Remark("repaired values", where(i), what))
        values.append(decoded if nested else decoded[0])
    kind = pa.large_list(pa.large_string()) if nested else pa.large_string()
    strings = column.type if holds(column.type, STRINGS) else kind
    return pa.array(values, strings), remarks


def holds(dtype: pa.DataType, kinds: Sequence[pa.DataType]) -> bool:
    """Whether a type is one of `kinds`, or a list of one."""
    if pa.types.is_list(dtype) or pa.types.is_large_list(dtype):
        dtype = dtype.value_type
    return dtype in kinds


def is_valid(column: pa.Array) -> bool:
    """Whether the values of an array are sound, UTF-8 and offsets included."""
    try:
        column.validate(full=True)
    except (pa.ArrowException, UnicodeDecodeError):
        return False
    return True


def damaged(file: str, places: Sequence[int] | np.ndarray, why: str) -> Unreadable:
    """Neighbouring rows that are damaged together."""
    first, last = int(places[0]), int(places[-1])
    where = row_place(file, first) + (f" to {last}" if last > first else "")
    return Unreadable(where, f"damaged: {why}", rows=len(places))


def is_whole(array: pa.Array) -> bool:
    """Whether offsets and lengths of an array are sound, whatever bytes its texts have: only then
    may its values be looked at.
    """
    kind = array.type
    try:
        array.validate()
        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            small = pa.types.is_string(kind)
            array.view(pa.binary() if small else pa.large_binary()).validate(full=True)
            return True
        if pa.types.is_struct(kind):
            return all(is_whole(array.field(i)) for i in range(kind.num_fields))
        if pa.types.is_list(kind) or pa.types.is_large_list(kind):
            ends = np.asarray(array.offsets)
            inside = ends[0] >= 0 and ends[-1] <= len(array.values)
            return bool(inside and (np.diff(ends) >= 0).all()) and is_whole(array.values)
        array.validate(full=True)
    except (pa.ArrowException, ValueError) as error:
        return "UTF8" in str(error)
    return True
