"""From the input's columns to ours: paths into nested values, several columns for one, lists of
captions, and types that lose nothing.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from pairmill.schemas.hashing import row_uid
from pairmill.sources.names import column_of
from pairmill.sources.rows import shown
from pairmill.sources.table_config import Captions

Fitted = tuple[pa.ChunkedArray, list[int]]
"""Values of the wanted type, null where one does not fit, and the places of those."""
NO_CAST = (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, UnicodeDecodeError)
"""What Arrow raises for values that are none of a type."""


def is_list(dtype: pa.DataType) -> bool:
    """Whether values are lists of any length, or all of one."""
    return (
        pa.types.is_list(dtype)
        or pa.types.is_large_list(dtype)
        or pa.types.is_fixed_size_list(dtype)
    )


def path_type(schema: pa.Schema, path: str) -> pa.DataType | None:
    """The type at a dotted path; text where it leads into JSON text; None where it leads
    nowhere.
    """
    name = column_of(path, lambda name: schema.get_field_index(name) >= 0)
    if name is None:
        return None
    dtype = schema.field(name).type
    for step in path.removeprefix(name).split(".")[1:]:
        if pa.types.is_string(dtype) or pa.types.is_null(dtype):
            return pa.string()
        index = dtype.get_field_index(step) if pa.types.is_struct(dtype) else -1
        if index < 0:
            return None
        dtype = dtype.field(index).type
    return dtype


def at_path(table: pa.Table, path: str) -> pa.ChunkedArray:
    """The values at a dotted path of a table's column."""
    schema = table.schema
    name = column_of(path, lambda name: schema.get_field_index(name) >= 0)
    if name is None:
        return pa.chunked_array([pa.nulls(table.num_rows)])
    values = table.column(name)
    steps = path.removeprefix(name).split(".")[1:]
    for i, step in enumerate(steps):
        if pa.types.is_struct(values.type):
            if values.type.get_field_index(step) < 0:
                return pa.chunked_array([pa.nulls(table.num_rows)])
            values = pc.struct_field(values, step)
        elif pa.types.is_string(values.type):
            return pa.chunked_array([_in_json(values, steps[i:])])
        else:
            return pa.chunked_array([pa.nulls(table.num_rows)])
    return values


def _in_json(values: pa.ChunkedArray, steps: Sequence[str]) -> pa.Array:
    """Values within JSON text: texts, or lists of texts where there are any lists."""
    found = []
    for text in values.to_pylist():
        try:
            value = None if text is None else json.loads(text, parse_float=str, parse_int=str)
        except (ValueError, RecursionError):
            value = None
        for step in steps:
            value = value.get(step) if isinstance(value, dict) else None
        found.append(value)

    def text_of(value: Any) -> str | None:
        if value is None or isinstance(value, str):
            return value
        return json.dumps(value, ensure_ascii=False)

    if not any(isinstance(v, list) for v in found):
        return pa.array([text_of(v) for v in found], pa.string())
    as_lists = (None if v is None else v if isinstance(v, list) else [v] for v in found)
    return pa.array(
        [None if v is None else [text_of(x) for x in v] for v in as_lists], pa.list_(pa.string())
    )


def one_caption(values: pa.ChunkedArray, captions: Captions | None) -> pa.ChunkedArray:
    """A column of lists of texts as one of texts, by `first` or `join`; another as it is."""
    if not is_list(values.type) or captions == "rows":
        return values
    series = pl.Series(pl.from_arrow(values)).cast(pl.List(pl.String))
    kept = series.list.eval(pl.element().drop_nulls())
    if captions == "join":
        empty = kept.list.len() == 0
        texts = kept.list.join("\n").set(empty, None)
    else:
        texts = kept.list.first()
    return pa.chunked_array([texts.to_arrow().cast(pa.string())])


def one_row_each(table: pa.Table, column: str, places: np.ndarray) -> tuple[pa.Table, np.ndarray]:
    """A row for every element of a column of lists, and one with null where there is none.

    Rows behind the first of a list get a `uid` of their own where the input has one.
    """
    series = pl.Series(pl.from_arrow(table.column(column))).cast(pl.List(pl.String))
    series = series.list.eval(pl.element().drop_nulls())
    lengths = series.list.len().fill_null(0).to_numpy()
    counts = np.maximum(lengths, 1).astype(np.int64)
    parents = np.repeat(np.arange(table.num_rows), counts)
    flat = pc.list_flatten(series.to_arrow())
    at = np.zeros(len(parents), np.int64)
    at[np.repeat(lengths > 0, counts)] = np.arange(len(flat))
    texts = flat.take(pa.array(at, mask=np.repeat(lengths == 0, counts)))
    index = table.schema.get_field_index(column)
    out = table.drop_columns([column]).take(pa.array(parents))
    out = out.add_column(index, column, texts.cast(pa.string()))
    number = np.arange(len(parents)) - np.repeat(np.cumsum(counts) - counts, counts)
    if "uid" in out.schema.names and (number > 0).any():
        uids = out.column("uid").to_pylist()
        for i in np.flatnonzero(number > 0).tolist():
            uids[i] = uids[i] and row_uid(uids[i], f"caption {number[i]}")
        out = out.set_column(out.schema.get_field_index("uid"), "uid", pa.array(uids, pa.string()))
    return out, places[parents]


def fitted(values: pa.ChunkedArray, dtype: pa.DataType) -> Fitted:
    """Values in another type, where that loses nothing."""
    if values.type.equals(dtype):
        return values, []
    if values.null_count == len(values):
        return pa.chunked_array([pa.nulls(len(values), dtype)]), []
    convert = conversion(values.type, dtype)
    try:
        return convert(values), []
    except NO_CAST:
        bad: list[int] = []
        parts = _by_halves(values, dtype, convert, 0, bad)
        return pa.chunked_array(parts, dtype), bad


def _by_halves(
    values: pa.ChunkedArray,
    dtype: pa.DataType,
    convert: Callable[[pa.ChunkedArray], pa.ChunkedArray],
    first: int,
    bad: list[int],
) -> list[pa.Array]:
    try:
        return list(convert(values).chunks)
    except NO_CAST:
        if len(values) == 1:
            bad.append(first)
            return [pa.nulls(1, dtype)]
    half = len(values) // 2
    return _by_halves(values.slice(0, half), dtype, convert, first, bad) + _by_halves(
        values.slice(half), dtype, convert, first + half, bad
    )


def conversion(
    have: pa.DataType, want: pa.DataType
) -> Callable[[pa.ChunkedArray], pa.ChunkedArray]:
    """What turns values into another type; it raises where a value would change."""
    if pa.types.is_null(have):
        return lambda values: pa.chunked_array([pa.nulls(len(values), want)])
    if pa.types.is_run_end_encoded(have):
        plain = conversion(have.value_type, want)
        return lambda values: plain(
            pa.chunked_array([pc.run_end_decode(c) for c in values.chunks], have.value_type)
        )
    if pa.types.is_list_view(have) or pa.types.is_large_list_view(have):
        return lambda values: pa.chunked_array([pa.array(values.to_pylist(), want)])
    if pa.types.is_string(want):
        if pa.types.is_nested(have):
            return _json_texts
        if pa.types.is_fixed_size_binary(have):
            return lambda values: pa.chunked_array(
                [pa.array([v and v.hex() for v in values.to_pylist()], pa.string())]
            )
        return lambda values: values.cast(pa.string())
    if pa.types.is_string(have) and pa.types.is_integer(want):

        def whole(values: pa.ChunkedArray) -> pa.ChunkedArray:
            numbers = values.cast(want)
            if pc.all(pc.equal(numbers.cast(pa.string()), values)).as_py() not in (True, None):
                raise pa.ArrowInvalid("a number that is spelled in another way")
            return numbers

        return whole
    if pa.types.is_integer(have) and pa.types.is_floating(want):
        return lambda values: values.cast(want)  # safe: refuses what a double does not hold
    if (pa.types.is_struct(have) and pa.types.is_struct(want)) or is_empty_list(have, want):
        return lambda values: pa.chunked_array([pa.array(values.to_pylist(), want)])
    return lambda values: values.cast(want)


def is_empty_list(have: pa.DataType, want: pa.DataType) -> bool:
    """Whether texts stand in for elements of which there are none."""
    return (
        is_list(have)
        and is_list(want)
        and pa.types.is_string(have.value_type)
        and not pa.types.is_string(want.value_type)
    )


def _json_texts(values: pa.ChunkedArray) -> pa.ChunkedArray:
    texts = [
        None if v is None else json.dumps(v, ensure_ascii=False, default=str)
        for v in values.to_pylist()
    ]
    return pa.chunked_array([pa.array(texts, pa.string())])


def no_fit(value: Any, dtype: pa.DataType) -> str:
    """Why a value makes its row unreadable."""
    return f"{shown(value)} is no {dtype}, as the column's other values are"
