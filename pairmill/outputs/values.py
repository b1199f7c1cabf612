"""Columns as they leave the pipeline: in types that consumers know, and as JSON that
round-trips.
"""

import json
import math
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pairmill.schemas.arrow import is_bytes, unit_of

Convert = Callable[[Any], Any]
HASH = "hash"
"""Unit of an integer column whose bits are a hash; it leaves as hex digits."""


def is_list(dtype: pa.DataType) -> bool:
    """Whether values are lists of any of Arrow's kinds: long, of fixed size, or views."""
    return (
        pa.types.is_list(dtype)
        or pa.types.is_large_list(dtype)
        or pa.types.is_fixed_size_list(dtype)
        or pa.types.is_list_view(dtype)
        or pa.types.is_large_list_view(dtype)
    )


def is_embedding(dtype: pa.DataType) -> bool:
    """Whether values are vectors of one length."""
    return pa.types.is_fixed_size_list(dtype)


def inner_types(dtype: pa.DataType) -> Iterator[pa.DataType]:
    """The type and every type inside it."""
    yield dtype
    if pa.types.is_map(dtype):
        for part in (dtype.key_type, dtype.item_type):
            yield from inner_types(part)
    elif is_list(dtype):
        yield from inner_types(dtype.value_type)
    elif pa.types.is_nested(dtype):
        for i in range(dtype.num_fields):
            yield from inner_types(dtype.field(i).type)
    elif isinstance(dtype, pa.BaseExtensionType):
        yield from inner_types(dtype.storage_type)
    elif pa.types.is_dictionary(dtype):
        yield from inner_types(dtype.value_type)


def holds_bytes(dtype: pa.DataType) -> bool:
    """Whether a column holds bytes (images, masks, audio), be it inside lists or structs."""
    return any(is_bytes(t) or t == pa.binary_view() for t in inner_types(dtype))


def refusal(dtype: pa.DataType) -> str | None:
    """Why no output can hold a column of this type, or None."""
    for part in inner_types(dtype):
        if pa.types.is_union(part) or pa.types.is_interval(part):
            return f"no output can hold {part}"
    return None


def leaving_type(dtype: pa.DataType) -> pa.DataType:
    """The type of a column in a package: dictionaries and views decoded, maps as lists of key and
    value, extension types as what they store.
    """
    if isinstance(dtype, pa.BaseExtensionType):
        return leaving_type(dtype.storage_type)
    if pa.types.is_dictionary(dtype) or pa.types.is_run_end_encoded(dtype):
        return leaving_type(dtype.value_type)
    if pa.types.is_map(dtype):
        pair = [("key", leaving_type(dtype.key_type)), ("value", leaving_type(dtype.item_type))]
        return pa.list_(pa.struct(pair))
    if pa.types.is_fixed_size_list(dtype):
        return pa.list_(leaving_type(dtype.value_type), dtype.list_size)
    if is_list(dtype):
        return pa.list_(leaving_type(dtype.value_type))
    if pa.types.is_struct(dtype):
        return pa.struct([(f.name, leaving_type(f.type)) for f in dtype])
    if is_bytes(dtype) or dtype == pa.binary_view():
        return pa.binary()
    return pa.string() if dtype in (pa.large_string(), pa.string_view()) else dtype


def is_hash(field: pa.Field) -> bool:
    """Whether a column holds hashes as integers of 64 or fewer bits, by its unit."""
    return pa.types.is_integer(field.type) and unit_of(field) == HASH


def leaving_field(field: pa.Field) -> pa.Field:
    """The column as it leaves: hashes as hex text, others in their `leaving_type`."""
    dtype = pa.string() if is_hash(field) else leaving_type(field.type)
    return pa.field(field.name, dtype, metadata=field.metadata)


def leaving(table: pa.Table) -> pa.Table:
    """The columns in the types in which they leave."""
    fields = [leaving_field(f) for f in table.schema]
    columns = [
        converted(table.column(i), old, new)
        for i, (old, new) in enumerate(zip(table.schema, fields, strict=True))
    ]
    return pa.table(columns, schema=pa.schema(fields))


def converted(column: pa.ChunkedArray, old: pa.Field, new: pa.Field) -> Any:
    """A column's values in the type of `new`, its leaving field; integers that are hashes become
    hex text of fixed width.
    """
    if is_hash(old):
        width = f"0{old.type.bit_width // 4}x"
        mask = (1 << old.type.bit_width) - 1
        return pa.array(
            [None if v is None else format(v & mask, width) for v in column.to_pylist()],
            pa.string(),
        )
    if old.type == new.type:
        return column
    if any(pa.types.is_map(t) for t in inner_types(old.type)):
        convert = json_converter(old.type, keep_scalars=True)
        return pa.array([None if v is None else convert(v) for v in column.to_pylist()], new.type)
    while isinstance(column.type, pa.BaseExtensionType):
        column = pa.chunked_array([c.storage for c in column.chunks], column.type.storage_type)
    return pc.cast(column, new.type)


def json_type(dtype: pa.DataType) -> pa.DataType:
    """The Arrow type of a leaving column's JSON form."""
    if is_list(dtype):
        return pa.list_(json_type(dtype.value_type))
    if pa.types.is_struct(dtype):
        return pa.struct([(f.name, json_type(f.type)) for f in dtype])
    if pa.types.is_temporal(dtype) or pa.types.is_decimal(dtype) or is_bytes(dtype):
        return pa.string()
    return dtype


def line_type(dtype: pa.DataType) -> pa.DataType:
    """As `json_type`, where readers guess types: Arrow's takes integers of more than 63 bits for
    doubles, so that they are text, too.
    """
    return pa.string() if dtype == pa.uint64() else json_type(dtype)


def line_column(column: pa.ChunkedArray) -> list[Any]:
    """A column's values for JSON lines, in `line_type`."""
    return json_column(pc.cast(column, pa.string()) if column.type == pa.uint64() else column)


def json_column(column: pa.ChunkedArray) -> list[Any]:
    """A column's values as JSON knows them, such that the values can be had again: doubles and
    64-bit integers in full, decimals as text, dates, times and durations as ISO 8601 text.

    What JSON has no word for, NaN and infinity, becomes null.
    """
    try:
        values = column.to_pylist()
    except (OverflowError, ValueError):  # dates that Python has no word for
        return json_column(spelled(column))
    dtype = column.type
    if pa.types.is_integer(dtype) or pa.types.is_string(dtype) or pa.types.is_boolean(dtype):
        return values
    if pa.types.is_float32(dtype):
        return shortest_decimals(column)
    convert = json_converter(dtype)
    return [None if v is None else convert(v) for v in values]


def spelled(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column whose dates and times are ISO 8601 text, also beyond the year 9999 and in
    nanoseconds, at any depth.
    """

    def as_text(dtype: pa.DataType) -> pa.DataType:
        if is_list(dtype):
            return pa.list_(as_text(dtype.value_type))
        if pa.types.is_struct(dtype):
            return pa.struct([(f.name, as_text(f.type)) for f in dtype])
        return pa.string() if pa.types.is_temporal(dtype) else dtype

    if pa.types.is_duration(column.type):
        scale = {"s": 0, "ms": -3, "us": -6, "ns": -9}[column.type.unit]
        counts = pc.cast(column, pa.int64()).to_pylist()
        exact = [None if n is None else Decimal(n).scaleb(scale).normalize() for n in counts]
        texts = [None if n is None else f"PT{format(n, 'f')}S" for n in exact]
        return pa.chunked_array([pa.array(texts, pa.string())])
    found = pc.cast(column, as_text(column.type))
    plain = pa.types.is_temporal(column.type)
    return pc.replace_substring(found, " ", "T") if plain else found


def json_converter(dtype: pa.DataType, keep_scalars: bool = False) -> Convert:
    """What makes JSON of a value of this type that is not null."""
    if pa.types.is_map(dtype):
        key, item = (json_converter(t, keep_scalars) for t in (dtype.key_type, dtype.item_type))
        return lambda value: [
            {"key": key(k), "value": None if v is None else item(v)} for k, v in value
        ]
    if is_list(dtype):
        one = json_converter(dtype.value_type, keep_scalars)
        return lambda value: [None if v is None else one(v) for v in value]
    if pa.types.is_struct(dtype):
        parts = {f.name: json_converter(f.type, keep_scalars) for f in dtype}
        return lambda value: {
            k: None if value[k] is None else part(value[k]) for k, part in parts.items()
        }
    return same if keep_scalars else scalar_converter(dtype)


def scalar_converter(dtype: pa.DataType) -> Convert:
    """What makes JSON of a value that is neither list, struct nor map; NaN and infinity become
    None.
    """
    if pa.types.is_float64(dtype):
        return lambda value: value if math.isfinite(value) else None
    if pa.types.is_floating(dtype):
        narrow = np.float32 if pa.types.is_float32(dtype) else np.float16
        return lambda value: shortest(narrow, value)
    if pa.types.is_decimal(dtype):
        return plain_decimal
    if pa.types.is_duration(dtype):
        return iso_duration
    return iso if pa.types.is_temporal(dtype) else same


def same(value: Any) -> Any:
    """The value, which JSON knows as it is."""
    return value


def shortest(narrow: type[np.floating[Any]], value: float) -> float | None:
    """The shortest decimal that the narrow type reads as the same number: 0.1, not
    0.10000000149011612.
    """
    return float(str(narrow(value))) if math.isfinite(value) else None


def shortest_decimals(column: pa.ChunkedArray) -> list[float | None]:
    """The same of a whole column of float32; None for NaN and infinity."""
    texts = pc.if_else(pc.is_finite(column), pc.cast(column, pa.string()), None)
    found: list[float | None] = pc.cast(texts, pa.float64()).to_pylist()
    return found


def plain_decimal(value: Decimal) -> str:
    """A decimal in full, without an exponent."""
    return format(value, "f")


def iso(value: Any) -> str:
    """A date, time or timestamp as ISO 8601."""
    return value.isoformat()


def iso_duration(value: timedelta) -> str:
    """ISO 8601 in seconds, such as `PT93784.5S`."""
    nanoseconds = getattr(value, "nanoseconds", 0)  # pandas' Timedelta has them
    whole = (value.days * 86_400 + value.seconds) * 10**9 + value.microseconds * 1000 + nanoseconds
    return f"PT{format(Decimal(whole).scaleb(-9).normalize(), 'f')}S"


def tell_not_finite(table: pa.Table, remarks: Counter[str]) -> None:
    """Counts the numbers that JSON has no word for."""
    for name in table.schema.names:
        column = table.column(name)
        if pa.types.is_floating(column.type):
            finite = pc.sum(pc.is_finite(pc.cast(column, pa.float64()))).as_py() or 0
            if count := len(column) - column.null_count - finite:
                remarks[f"numbers of {name!r} are NaN or infinite: null in JSON"] += count


COMPACT = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def json_bytes(value: Any) -> bytes:
    """Compact JSON in UTF-8; raises ValueError for NaN and infinity, which JSON does not have."""
    return COMPACT.encode(value).encode()
