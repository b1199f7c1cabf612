"""Values inside an expression: what kind they are, and how they lie in Polars.

Integers are Int64 whatever their column's width, or Int128 where 64 bits could be too few; floats
are Float64, or Float32 as long as nothing wider comes in; dates are microseconds.  No value is
ever NaN: NaN is null from the column on.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import Any

import polars as pl

TEXT, NUMBER, FLAG = "text", "number", "true/false"
DATE, TIMESTAMP, DURATION = "date", "timestamp", "duration"
LIST, STRUCT, NULL, OTHER = "list", "struct", "null", "other"
ORDERED = (TEXT, NUMBER, FLAG, DATE, TIMESTAMP, DURATION)

INT64 = (-(2**63), 2**63 - 1)
INT128 = (-(2**127), 2**127 - 1)
SINGLE_MAX = 3.4028234663852886e38

VARIABLE = object()
"""`Value.constant` of what differs from row to row."""

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
DAY_US = 86_400_000_000
FIRST_US = int((datetime(1, 1, 1, tzinfo=timezone.utc) - EPOCH).total_seconds()) * 1_000_000
LAST_US = (
    int((datetime(9999, 12, 31, tzinfo=timezone.utc) - EPOCH).total_seconds()) * 1_000_000
    + DAY_US
    - 1
)
"""Dates outside the years 1 to 9999 are null: Polars neither formats nor converts all of them."""


class BadExpression(ValueError):
    """An expression that cannot be evaluated over the columns there are."""


class UnknownColumn(BadExpression):
    """An expression reads `column`, which is not there."""

    def __init__(self, message: str, column: str) -> None:
        super().__init__(message)
        self.column = column


COLUMNS_HERE = " (columns here: "
"""How the list of columns begins in the message about an unknown one."""


def advised(message: str, remedy: str) -> str:
    """A message about an unknown column with what to do, which stands for the list of columns."""
    if not remedy:
        return message
    return message.partition(COLUMNS_HERE)[0].partition("; did you mean")[0] + remedy


@dataclass(frozen=True)
class Value:
    """One node of a compiled expression."""

    expr: pl.Expr
    kind: str
    whole: bool = False
    """An integer, between `low` and `high`."""
    low: int = 0
    high: int = 0
    wide: bool = False
    """An integer that lies as Int128: a UInt64 column takes part in it."""
    single: bool = False
    """A Float32."""
    finite: bool = True
    """No infinity can come; only source columns bring one in."""
    constant: Any = VARIABLE
    dtype: pl.DataType | None = None
    """Of a list or a struct, as it lies in the column."""

    @property
    def is_constant(self) -> bool:
        """Whether the value stands in the expression itself, the same for every row."""
        return self.constant is not VARIABLE

    def real(self, single: bool = False) -> pl.Expr:
        """A number as a float."""
        kind = pl.Float32 if single else pl.Float64
        if self.is_constant:
            return pl.lit(float(self.constant), dtype=kind)
        return self.expr if not self.whole and self.single == single else self.expr.cast(kind)

    def integer(self, wide: bool = False) -> pl.Expr:
        """A whole number as Int64, null where it does not fit; or as Int128."""
        if self.is_constant:
            return pl.lit(self.constant, dtype=pl.Int128 if wide else pl.Int64)
        if wide:
            return self.expr if self.wide else self.expr.cast(pl.Int128)
        return self.expr.cast(pl.Int64, strict=False) if self.wide else self.expr


@dataclass
class Steps:
    """Columns that are computed before the expression, so that nothing is computed twice."""

    made: list[tuple[str, pl.Expr]] = field(default_factory=list)

    def keep(self, expr: pl.Expr) -> pl.Expr:
        """The expression as a column that is computed once; literals and columns as they are."""
        expr = folded(expr)
        if expr.meta.is_literal() or expr.meta.is_column():
            return expr
        return self.column(expr)

    def column(self, expr: pl.Expr) -> pl.Expr:
        """A new column, named by its number, that is computed before the expression."""
        name = f"#{len(self.made)}"
        self.made.append((name, expr))
        return pl.col(name)

    def kept(self, value: Value) -> Value:
        """The value, to be read more than once."""
        return value if value.is_constant else replace(value, expr=self.keep(value.expr))


def folded(expr: pl.Expr) -> pl.Expr:
    """What reads no column is computed once; Polars would give one row for it, not one for each."""
    if expr.meta.is_literal() or expr.meta.root_names():
        return expr
    series = pl.select(expr).to_series()
    return pl.lit(series[0], dtype=series.dtype)


def fits(low: int, high: int, bounds: tuple[int, int]) -> bool:
    """Whether integers from `low` to `high` lie within the bounds, both included."""
    return bounds[0] <= low and high <= bounds[1]


def whole(expr: pl.Expr, low: int = INT64[0], high: int = INT64[1], wide: bool = False) -> Value:
    """An integer within `low` and `high`, in 64 bits, or in 128 where `wide`."""
    bounds = INT128 if wide else INT64
    low, high = max(low, bounds[0]), min(high, bounds[1])
    return Value(expr, NUMBER, whole=True, low=low, high=high, wide=wide)


def real(expr: pl.Expr, single: bool = False, finite: bool = True) -> Value:
    """A float of 64 bits, or of 32 where `single`; `finite`: no infinity can come out of it."""
    return Value(expr, NUMBER, single=single, finite=finite)


def flag(expr: pl.Expr) -> Value:
    """A truth value: true, false or null."""
    return Value(expr, FLAG)


def text(expr: pl.Expr) -> Value:
    """A text."""
    return Value(expr, TEXT)


def null() -> Value:
    """NULL, which goes with every kind of value."""
    return Value(pl.lit(None), NULL, constant=None)


def constant(value: bool | int | float | str) -> Value:
    """A literal; raises BadExpression for a number that no column could hold."""
    if isinstance(value, bool):
        return Value(pl.lit(value), FLAG, constant=value)
    if isinstance(value, str):
        return Value(pl.lit(value, dtype=pl.String), TEXT, constant=value)
    if isinstance(value, int) and fits(value, value, INT128):
        wide = not fits(value, value, INT64)
        lit = pl.lit(value, dtype=pl.Int128 if wide else pl.Int64)
        return replace(whole(lit, value, value, wide), constant=value)
    value = float(value)
    if value in (float("inf"), float("-inf")):
        raise BadExpression("a number in it is too large for 64 bits")
    return Value(pl.lit(value, dtype=pl.Float64), NUMBER, constant=value)


def at_midnight(date: Value) -> Value:
    """A date as a timestamp."""
    return Value(micros_of(date).cast(pl.Datetime("us")), TIMESTAMP)


def micros_of(value: Value) -> pl.Expr:
    """Microseconds since 1970 of a date or timestamp, or of a duration."""
    number = value.expr.to_physical().cast(pl.Int64)
    return number * DAY_US if value.kind == DATE else number


SIMPLE: dict[str, pl.DataType] = {
    TEXT: pl.String(), FLAG: pl.Boolean(), DATE: pl.Date(),
    TIMESTAMP: pl.Datetime("us"), DURATION: pl.Duration("us"),
}  # fmt: skip


def common_type(values: Sequence[Value]) -> pl.DataType:
    """The Polars type in which values of comparable kinds meet."""
    known = [v for v in values if v.kind != NULL]
    kinds = {v.kind for v in known}
    if kinds == {NUMBER}:
        if all(v.whole for v in known):
            return pl.Int128() if any(v.wide for v in known) else pl.Int64()
        return pl.Float32() if is_single(known) else pl.Float64()
    if kinds == {DATE, TIMESTAMP}:
        return SIMPLE[TIMESTAMP]
    return SIMPLE.get(next(iter(kinds), ""), pl.Null())


def together(values: Sequence[Value]) -> list[pl.Expr]:
    """The values as one Polars type, so that they can be compared or be branches of one answer."""
    dtype = common_type(values)
    return [as_type(v, dtype) for v in values]


def as_type(value: Value, dtype: pl.DataType) -> pl.Expr:
    """The value as a Polars expression of `dtype`, which `common_type` has found for it."""
    if value.kind == NULL:
        return pl.lit(None, dtype=dtype)
    if dtype.is_float():
        return value.real(dtype == pl.Float32)
    if dtype.is_integer():
        return value.integer(dtype == pl.Int128)
    if value.kind == DATE and dtype != pl.Date:
        return at_midnight(value).expr
    return value.expr


def merged(values: Sequence[Value], expr: pl.Expr) -> Value:
    """The value of an answer whose branches are `values`, as `together` gives them."""
    known = [v for v in values if v.kind != NULL]
    kinds = {v.kind for v in known}
    if not known:
        return null()
    if kinds != {NUMBER}:
        return Value(expr, TIMESTAMP if len(kinds) > 1 else known[0].kind)
    if all(v.whole for v in known):
        low, high = min(v.low for v in known), max(v.high for v in known)
        return whole(expr, low, high, any(v.wide for v in known))
    return real(expr, is_single(known), all(v.finite for v in known))


def is_single(numbers: Sequence[Value]) -> bool:
    """Whether floats stay Float32: all are, but for literals that are none in doubt."""
    columns = [v for v in numbers if not v.is_constant]
    literals = [v for v in numbers if v.is_constant]
    return (
        bool(columns)
        and all(v.single for v in columns)
        and all(abs(v.constant) <= (2**24 if v.whole else SINGLE_MAX) for v in literals)
    )


def comparable(values: Sequence[Value]) -> bool:
    """Whether the values can be compared: they are of one kind but for nulls, or dates and
    timestamps.
    """
    kinds = {v.kind for v in values} - {NULL}
    return len(kinds) < 2 or kinds == {DATE, TIMESTAMP}


def named(value: Value) -> str:
    """A value's kind in a message."""
    if value.kind == OTHER:
        return f"of the type {value.dtype}"
    return value.kind if value.kind in (FLAG, NULL) else f"a {value.kind}"
