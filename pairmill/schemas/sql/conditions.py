"""COALESCE, NULLIF, IF, GREATEST, LEAST."""

import polars as pl

from pairmill.schemas.sql.values import (
    LIST,
    NULL,
    ORDERED,
    STRUCT,
    BadExpression,
    Steps,
    Value,
    comparable,
    merged,
    named,
    together,
)


def alike(values: tuple[Value, ...], what: str) -> list[pl.Expr]:
    """As one type; raises BadExpression where kinds differ."""
    known = [v for v in values if v.kind != NULL]
    for value in known:
        if value.kind not in ORDERED:
            raise BadExpression(f"{what} does not take {named(value)}")
        if not comparable([known[0], value]):
            raise BadExpression(f"{what} mixes {named(known[0])} and {named(value)}")
    return together(values)


def coalesce(steps: Steps, *values: Value) -> Value:
    """The first value that is not null; raises BadExpression where their kinds differ."""
    if all(v.kind in (LIST, STRUCT) for v in values):
        return values[0] if len(values) == 1 else _same_columns(values)
    return merged(values, pl.coalesce(alike(values, "COALESCE")))


def _same_columns(values: tuple[Value, ...]) -> Value:
    if any(v.dtype != values[0].dtype for v in values):
        raise BadExpression("COALESCE mixes lists of different types")
    return Value(pl.coalesce([v.expr for v in values]), values[0].kind, dtype=values[0].dtype)


def nullif(steps: Steps, value: Value, other: Value) -> Value:
    """The value, null where it equals `other`; raises BadExpression where the kinds differ."""
    value = steps.kept(value)
    left, right = alike((value, other), "NULLIF")
    if value.kind == NULL:
        return value
    answer = pl.when((left == right).fill_null(False)).then(None).otherwise(together([value])[0])
    return merged([value], answer)


def if_(steps: Steps, condition: Value, yes: Value, no: Value) -> Value:
    """`yes` where the condition is true, `no` where it is false or null."""
    left, right = alike((yes, no), "IF")
    return merged([yes, no], pl.when(condition.expr).then(left).otherwise(right))


def greatest(steps: Steps, *values: Value) -> Value:
    """The largest of the values, nulls passed over; null where all are null."""
    return merged(values, pl.max_horizontal(alike(values, "GREATEST")))


def least(steps: Steps, *values: Value) -> Value:
    """The smallest of the values, nulls passed over; null where all are null."""
    return merged(values, pl.min_horizontal(alike(values, "LEAST")))
