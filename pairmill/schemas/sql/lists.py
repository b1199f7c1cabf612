"""Functions of list columns; NaN among the elements is null."""

from collections.abc import Callable
from dataclasses import replace

import polars as pl

from pairmill.schemas.sql.casts import cast
from pairmill.schemas.sql.columns import from_expr
from pairmill.schemas.sql.values import (
    NUMBER,
    ORDERED,
    TEXT,
    BadExpression,
    Steps,
    Value,
    as_type,
    common_type,
    comparable,
    flag,
    named,
    null,
    real,
    text,
    whole,
)

FAR = 2**40


def element(items: Value) -> Value:
    """What stands in the list, as expressions know it."""
    inner = getattr(items.dtype, "inner", None)
    if inner is None:
        raise BadExpression(f"{named(items)} holds no elements")
    return from_expr(pl.element(), inner)


def elements(items: Value) -> tuple[pl.Expr, Value]:
    """The list with its elements as expressions know them, and what they are."""
    one = element(items)
    return items.expr.list.eval(one.expr), one


def length(steps: Steps, items: Value) -> Value:
    """The number of a list's elements, nulls included."""
    return whole(items.expr.list.len().cast(pl.Int64), 0, FAR)


def contains(steps: Steps, items: Value, wanted: Value) -> Value:
    """Whether a list holds the value, null where that is null; raises BadExpression for elements
    that cannot be compared with it.
    """
    found, one = elements(items)
    if one.kind not in ORDERED or not comparable([one, wanted]):
        raise BadExpression(f"looks for {named(wanted)} in a list of {one.kind}s")
    dtype = common_type([one, wanted])
    unified = found.list.eval(as_type(replace(one, expr=pl.element()), dtype))
    kept = steps.keep(as_type(wanted, dtype))
    return flag(pl.when(kept.is_not_null()).then(unified.list.contains(kept)))


def get(steps: Steps, items: Value, place: Value) -> Value:
    """Counted from 1; 0 is no place."""
    inner = getattr(items.dtype, "inner", None)
    n = steps.keep(place.integer().clip(-FAR, FAR))
    index = pl.when(n > 0).then(n - 1).when(n < 0).then(n)
    picked = items.expr.list.get(index, null_on_oob=True)
    return steps.kept(from_expr(steps.keep(picked), inner)) if inner else null()


def extreme(function: Callable[[pl.Expr], pl.Expr]) -> Callable[..., Value]:
    """A function that gives a list's least or greatest element, nulls passed over; it raises
    BadExpression for elements without an order.
    """

    def build(steps: Steps, items: Value) -> Value:
        found, one = elements(items)
        if one.kind not in ORDERED:
            raise BadExpression(f"a list of {one.kind}s has no order")
        return replace(one, expr=function(found))

    return build


smallest = extreme(lambda x: x.list.min())
largest = extreme(lambda x: x.list.max())


def total(steps: Steps, items: Value) -> Value:
    """The sum of a list's numbers as a float, nulls passed over; 0 of an empty list."""
    return summed(steps, items, lambda x: x.list.sum())


def mean(steps: Steps, items: Value) -> Value:
    """The mean of a list's numbers as a float, nulls passed over; null of an empty list."""
    return summed(steps, items, lambda x: x.list.mean())


def summed(steps: Steps, items: Value, function: Callable[[pl.Expr], pl.Expr]) -> Value:
    """What `function` makes of a list's numbers as floats, null where that is not finite; raises
    BadExpression for elements that are no numbers.
    """
    found, one = elements(items)
    if one.kind != NUMBER:
        raise BadExpression(f"a list of {one.kind}s has no sum")
    answer = steps.keep(function(found.list.eval(pl.element().cast(pl.Float64))))
    return real(pl.when(answer.is_finite()).then(answer + 0.0))  # no sum is -0.0


def joined(steps: Steps, items: Value, separator: Value) -> Value:
    """A list's elements as one text, the separator between them; nulls are passed over."""
    one = element(items)
    words = items.expr.list.eval(cast(steps, one, TEXT).expr)
    return text(words.list.join(separator.constant, ignore_nulls=True))
