"""Arithmetic that neither wraps nor overflows nor divides by zero: such a result is null."""

from collections.abc import Callable, Sequence

import numpy as np
import polars as pl

from pairmill.schemas.sql.columns import duration, timestamp
from pairmill.schemas.sql.values import (
    DATE,
    DURATION,
    INT64,
    INT128,
    TIMESTAMP,
    Steps,
    Value,
    constant,
    fits,
    is_single,
    micros_of,
    real,
    whole,
)

Binary = Callable[[pl.Expr, pl.Expr], pl.Expr]
LARGEST = 1.7014118346046923e38 * (1 - 1e-9)
"""A little less than 2^127: below it, a product of two Int128 cannot wrap."""


def add(steps: Steps, a: Value, b: Value) -> Value:
    """`a + b`: exact of integers, a float as soon as one is; null where the result does not fit."""
    if a.whole and b.whole:
        return integers(steps, a, b, lambda x, y: x + y, a.low + b.low, a.high + b.high)
    return reals(steps, a, b, lambda x, y: x + y)


def subtract(steps: Steps, a: Value, b: Value) -> Value:
    """`a - b`: exact of integers, a float as soon as one is; null where the result does not fit."""
    if a.whole and b.whole:
        return integers(steps, a, b, lambda x, y: x - y, a.low - b.high, a.high - b.low)
    return reals(steps, a, b, lambda x, y: x - y)


def multiply(steps: Steps, a: Value, b: Value) -> Value:
    """`a * b`: exact of integers, a float as soon as one is; null where the result does not fit."""
    if a.whole and b.whole:
        corners = [x * y for x in (a.low, a.high) for y in (b.low, b.high)]
        return integers(steps, a, b, lambda x, y: x * y, min(corners), max(corners))
    return reals(steps, a, b, lambda x, y: x * y)


def divide(steps: Steps, a: Value, b: Value) -> Value:
    """`a / b` as a float, also of integers."""
    single = is_single([a, b])
    divisor = without_zero(steps, real(b.real(single), single, b.finite), b)
    return reals(steps, a, divisor, lambda x, y: x / y, single)


def modulo(steps: Steps, a: Value, b: Value) -> Value:
    """What is left of a division that rounds towards zero; it has the sign of `a`."""
    if not (a.whole and b.whole):
        divisor = without_zero(steps, b, b)
        left = pl.map_batches([a.real(), divisor.real()], remainders, return_dtype=pl.Float64)
        return real(left.fill_nan(None))
    a = steps.kept(a)
    left = steps.keep(magnitude(a) % magnitude(without_zero(steps, b, b)))
    signed = pl.when(a.expr < 0).then(pl.lit(0, dtype=pl.Int128) - left).otherwise(left)
    reach = min(max(abs(a.low), abs(a.high)), max(abs(b.low), abs(b.high)) - 1)
    return settled(signed, -reach if a.low < 0 else 0, reach if a.high > 0 else 0, a.wide or b.wide)


def whole_division(steps: Steps, a: Value, b: Value) -> Value:
    """`a / b` without its fraction."""
    if not (a.whole and b.whole):
        quotient = divide(steps, a, b)
        return real(steps.keep(quotient.expr).truncate(), quotient.single, quotient.finite)
    a, b = steps.kept(a), without_zero(steps, b, b)
    b = steps.kept(b)
    left = steps.keep(magnitude(a) // magnitude(b))
    zero = pl.lit(0, dtype=pl.Int128)
    signed = pl.when((a.expr < 0) != (b.expr < 0)).then(zero - left).otherwise(left)
    reach = max(abs(a.low), abs(a.high))
    return settled(signed, -reach, reach, a.wide or b.wide)


def remainders(columns: Sequence[pl.Series]) -> pl.Series:
    """C's fmod; Polars' own `%` of floats loses digits, and its sign is the divisor's."""
    length = max(len(c) for c in columns)
    a, b = (np.broadcast_to(c.to_numpy(), (length,)) for c in columns)
    with np.errstate(invalid="ignore"):
        return pl.Series(np.fmod(a, b), dtype=pl.Float64)


def magnitude(value: Value) -> pl.Expr:
    """Without its sign, in 128 bits, where the least 64-bit integer has one, too."""
    return value.integer(wide=True).abs()


def negate(steps: Steps, value: Value) -> Value:
    """The number with the other sign; null for the least integer of its width, which has none."""
    if value.is_constant:
        return constant(-value.constant)
    if not value.whole:
        return real(-value.expr, value.single, value.finite)
    return subtract(steps, constant(0), value)


def absolute(steps: Steps, value: Value) -> Value:
    """The number without its sign; null for -2^63, as 2^63 does not fit."""
    if not value.whole:
        return real(value.expr.abs(), value.single, value.finite)
    return settled(magnitude(value), 0, max(abs(value.low), abs(value.high)), value.wide)


def without_zero(steps: Steps, value: Value, tested: Value) -> Value:
    """The value, null where it is zero."""
    if tested.is_constant and tested.constant != 0:
        return value
    kept = steps.keep(value.expr)
    nonzero = pl.when(kept != 0).then(kept)
    if value.whole:
        return whole(nonzero, value.low, value.high, value.wide)
    return real(nonzero, value.single, value.finite)


def integers(steps: Steps, a: Value, b: Value, op: Binary, low: int, high: int) -> Value:
    """A sum, difference or product between `low` and `high`: in 64 bits where these suffice."""
    wide = a.wide or b.wide
    if not wide and fits(low, high, INT64):
        return whole(op(a.integer(), b.integer()), low, high)
    if fits(low, high, INT128):
        return settled(op(a.integer(wide=True), b.integer(wide=True)), low, high, wide)
    a, b = steps.kept(a), steps.kept(b)
    safe = op(a.real(), b.real()).abs() < LARGEST
    exact = op(a.integer(wide=True), b.integer(wide=True))
    return whole(pl.when(safe).then(exact), low, high, wide=True)


def settled(expr: pl.Expr, low: int, high: int, wide: bool) -> Value:
    """An Int128 result as it goes on: in 64 bits, null beyond them, unless an operand was wider."""
    if wide:
        return whole(expr, low, high, wide=True)
    return whole(expr.cast(pl.Int64, strict=False), low, high)


def reals(steps: Steps, a: Value, b: Value, op: Binary, single: bool | None = None) -> Value:
    """A float result that is neither NaN nor an overflow of finite operands."""
    single = is_single([a, b]) if single is None else single
    if a.finite and b.finite:
        return finite(steps, op(a.real(single), b.real(single)), single)
    left, right = (v if v.finite else steps.kept(v) for v in (a, b))
    result = steps.keep(op(left.real(single), right.real(single)))
    endless = [v.expr.is_infinite() for v in (left, right) if not v.finite]
    sound = pl.any_horizontal([result.is_finite(), *endless])
    return real(pl.when(sound).then(result).fill_nan(None), single, finite=False)


def finite(steps: Steps, expr: pl.Expr, single: bool = False) -> Value:
    """The float, null where it is NaN or infinite."""
    kept = steps.keep(expr)
    return real(pl.when(kept.is_finite()).then(kept), single)


def moments(steps: Steps, a: Value, b: Value, sign: int) -> Value | None:
    """Sums and differences of dates, timestamps and durations; None where they mean nothing."""
    times = (DATE, TIMESTAMP)
    left, right = micros_of(a), micros_of(b)
    if a.kind in times and b.kind in times and sign < 0:
        return duration(steps.keep(left - right))
    if a.kind in times and b.kind == DURATION:
        return timestamp(steps.keep(left + right if sign > 0 else left - right))
    if a.kind == DURATION and b.kind in times and sign > 0:
        return timestamp(steps.keep(left + right))
    if a.kind == DURATION and b.kind == DURATION:
        return duration(steps.keep(left + right if sign > 0 else left - right))
    return None
