"""Mathematical functions: what has no finite answer is null."""

import math
from collections.abc import Callable

import polars as pl

from pairmill.schemas.sql import arithmetic
from pairmill.schemas.sql.values import BadExpression, Steps, Value, real, whole

Unary = Callable[[pl.Expr], pl.Expr]


def float_of(function: Unary) -> Callable[[Steps, Value], Value]:
    """A function of one number that gives a float; an infinite argument may give an infinite
    one.
    """

    def build(steps: Steps, x: Value) -> Value:
        if x.finite:
            return arithmetic.finite(steps, function(x.real()))
        x = steps.kept(x)
        result = steps.keep(function(x.real()))
        sound = result.is_finite() | x.expr.is_infinite()
        return real(pl.when(sound).then(result).fill_nan(None), finite=False)

    return build


sqrt = float_of(lambda x: x.sqrt())
cbrt = float_of(lambda x: x.cbrt())
exponential = float_of(lambda x: x.exp())
ln = float_of(lambda x: x.log())
log2 = float_of(lambda x: x.log(2))
log10 = float_of(lambda x: x.log10())
log1p = float_of(lambda x: x.log1p())
degrees = float_of(lambda x: x.degrees())
radians = float_of(lambda x: x.radians())
sin = float_of(lambda x: x.sin())
cos = float_of(lambda x: x.cos())
tan = float_of(lambda x: x.tan())
asin = float_of(lambda x: x.arcsin())
acos = float_of(lambda x: x.arccos())
atan = float_of(lambda x: x.arctan())


def rounding(function: Unary) -> Callable[[Steps, Value], Value]:
    """A function after which a number is whole; whole numbers stay what they are."""

    def build(steps: Steps, x: Value) -> Value:
        return x if x.whole else real(function(x.real(x.single)), x.single, x.finite)

    return build


ceil = rounding(lambda x: x.ceil())
floor = rounding(lambda x: x.floor())
trunc = rounding(lambda x: x.truncate())


def rounded(steps: Steps, x: Value, digits: Value | None = None) -> Value:
    """A number rounded to some digits behind the point, a half to the even neighbour; raises
    BadExpression for digits that are not 0 to 15.
    """
    places = 0 if digits is None else digits.constant
    if digits is not None and (not digits.is_constant or not 0 <= places <= 15):
        raise BadExpression("ROUND takes 0 to 15 digits, as a number in the expression")
    return rounding(lambda e: e.round(places))(steps, x)


def absolute(steps: Steps, x: Value) -> Value:
    """The number without its sign."""
    return arithmetic.absolute(steps, x)


def sign(steps: Steps, x: Value) -> Value:
    """-1, 0 or 1, as an integer of integers and as a float of floats."""
    if x.whole:
        return whole(x.integer(x.wide).sign().cast(pl.Int64), -1, 1)
    return real(x.real().sign())


def modulo(steps: Steps, a: Value, b: Value) -> Value:
    """What is left of `a / b`, with the sign of `a`; null where `b` is zero."""
    return arithmetic.modulo(steps, a, b)


def div(steps: Steps, a: Value, b: Value) -> Value:
    """`a / b` without its fraction, null where `b` is zero."""
    return arithmetic.whole_division(steps, a, b)


def power(steps: Steps, a: Value, b: Value) -> Value:
    """`a` to the power `b` as a float; null where it overflows or is not real."""
    return arithmetic.reals(steps, a, b, lambda x, y: x.pow(y), single=False)


def log(steps: Steps, x: Value, base: Value | None = None) -> Value:
    """The logarithm of `x` to a base, 10 if none is given; null where there is none."""
    if base is None:
        return log10(steps, x)
    return arithmetic.divide(steps, ln(steps, x), ln(steps, base))


def atan2(steps: Steps, y: Value, x: Value) -> Value:
    """The angle of the point (x, y) in radians, from -π to π."""
    return arithmetic.finite(steps, pl.arctan2(y.real(), x.real()))


def pi(steps: Steps) -> Value:
    """The number π."""
    return real(pl.lit(math.pi))


def bit_count(steps: Steps, x: Value) -> Value:
    """The number of set bits of a 64-bit integer in two's complement."""
    return whole(x.integer().bitwise_count_ones().cast(pl.Int64), 0, 64)
