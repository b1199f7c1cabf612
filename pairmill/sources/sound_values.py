"""Values that a file of columns holds: texts are UTF-8, and offsets lead nowhere else."""

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from pairmill.sources.base import Remark, Unreadable
from pairmill.sources.rows import Part, Rows, row_place


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
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            raw = column.cast(pa.large_binary()).to_pylist()
            texts: list[str | None] = []
            for i, value in enumerate(raw):
                text = None if value is None else value.decode("utf-8", "replace")
                if value is not None and text is not None and text.encode() != value:
                    yield Remark(
                        "repaired values", row_place(file, int(rows.places[i])),
                        f"bytes in column {name!r} that are not UTF-8 became U+FFFD",
                    )  # fmt: skip
                texts.append(text)
            table = table.set_column(index, name, pa.array(texts, column.type))
            continue
        for i in range(len(column)):
            if not is_valid(column.take(pa.array([i]))):
                place = row_place(file, int(rows.places[i]))
                bad[i] = Unreadable(place, "a text within it is not UTF-8", name)
    yield from bad.values()
    keep = np.ones(table.num_rows, bool)
    keep[list(bad)] = False
    yield Rows(table.filter(pa.array(keep)), rows.places[keep])


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
