"""Columns as expressions see them: wide integers, no NaN, dates within the years 1 to 9999."""

from collections.abc import Sequence
from typing import Any

import polars as pl

from pairmill.schemas.sql.values import (
    DATE,
    DAY_US,
    DURATION,
    FIRST_US,
    FLAG,
    INT64,
    INT128,
    LAST_US,
    LIST,
    NULL,
    OTHER,
    STRUCT,
    TEXT,
    TIMESTAMP,
    Value,
    fits,
    real,
    text,
    whole,
)


def from_column(name: str, dtype: pl.DataType) -> Value:
    """A column as an expression sees it."""
    return from_expr(pl.col(name), dtype)


def from_expr(column: pl.Expr, dtype: pl.DataType) -> Value:
    """A Polars expression of a column's type as a value: integers widened, decimals as floats, NaN
    as null, categories as text, arrays as lists.
    """
    if dtype.is_integer():
        bits = int("".join(c for c in str(dtype) if c.isdigit()))
        signed = dtype.is_signed_integer()
        low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
        if not fits(low, high, INT128):
            return whole(column.cast(pl.Int128, strict=False), *INT128, wide=True)
        wide = not fits(low, high, INT64)
        target = pl.Int128 if wide else pl.Int64
        return whole(column if dtype == target else column.cast(target), low, high, wide)
    if dtype.is_decimal():
        return real(column.cast(pl.Float64))
    if dtype.is_float():
        single = dtype != pl.Float64
        floats = column if dtype in (pl.Float64, pl.Float32) else column.cast(pl.Float32)
        return real(floats.fill_nan(None), single, finite=False)
    if isinstance(dtype, pl.Categorical | pl.Enum):
        return text(column.cast(pl.String))
    if isinstance(dtype, pl.Array):
        return Value(column.arr.to_list(), LIST, dtype=pl.List(dtype.inner))
    if isinstance(dtype, pl.Date | pl.Datetime | pl.Duration):
        return moment(column, dtype)
    kinds: Sequence[tuple[Any, str]] = (
        (pl.String, TEXT), (pl.Boolean, FLAG), (pl.List, LIST), (pl.Struct, STRUCT),
        (pl.Null, NULL),
    )  # fmt: skip
    kind = next((k for polars_type, k in kinds if dtype == polars_type), OTHER)
    return Value(column, kind, dtype=dtype)


def moment(column: pl.Expr, dtype: pl.DataType) -> Value:
    """Dates, times with and without zone (as UTC), durations: microseconds, within the years 1 to
    9999.  Reads `column` twice.
    """
    number = column.to_physical().cast(pl.Int64)
    if isinstance(dtype, pl.Date):
        inside = number.is_between(FIRST_US // DAY_US, LAST_US // DAY_US)
        return Value(pl.when(inside).then(column), DATE)
    per_us = {"ns": 1000, "us": 1, "ms": 1}[getattr(dtype, "time_unit", None) or "us"]
    factor = 1000 if getattr(dtype, "time_unit", None) == "ms" else 1
    first = -LAST_US if isinstance(dtype, pl.Duration) else FIRST_US
    if per_us == 1:
        number = pl.when(number.is_between(first // factor, LAST_US // factor)).then(number)
    micros = number * factor if per_us == 1 else number // per_us
    if isinstance(dtype, pl.Duration):
        return Value(micros.cast(pl.Duration("us")), DURATION)
    return Value(micros.cast(pl.Datetime("us")), TIMESTAMP)


def timestamp(micros: pl.Expr) -> Value:
    """A timestamp out of microseconds, null outside of the years 1 to 9999; reads them twice."""
    inside = pl.when(micros.is_between(FIRST_US, LAST_US)).then(micros)
    return Value(inside.cast(pl.Datetime("us")), TIMESTAMP)


def duration(micros: pl.Expr) -> Value:
    """A duration out of microseconds, null beyond the span of the years 1 to 9999; reads them
    twice.
    """
    inside = pl.when(micros.is_between(-LAST_US, LAST_US)).then(micros)
    return Value(inside.cast(pl.Duration("us")), DURATION)
