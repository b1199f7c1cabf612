"""CAST: what cannot be converted is null, never the end of a run."""

from collections.abc import Callable, Mapping

import polars as pl
from sqlglot import exp

from pairmill.schemas.sql.columns import from_expr, moment
from pairmill.schemas.sql.values import (
    DATE,
    FLAG,
    INT64,
    NULL,
    NUMBER,
    TEXT,
    TIMESTAMP,
    BadExpression,
    Steps,
    Value,
    at_midnight,
    fits,
    flag,
    named,
    text,
    whole,
)

WHOLE = {
    "TINYINT": 8, "SMALLINT": 16, "INT2": 16, "INT": 32, "INTEGER": 32, "INT4": 32,
    "BIGINT": 64, "INT8": 64, "INT64": 64, "LONG": 64,
}  # fmt: skip
UNSIGNED = {
    "UINT8": 8,
    "UINT16": 16,
    "UINT32": 32,
    "UTINYINT": 8,
    "USMALLINT": 16,
    "UINTEGER": 32,
    "UINT": 32,
}
REAL = ("DOUBLE PRECISION", "DOUBLE", "FLOAT", "FLOAT8", "FLOAT64")
SINGLE = ("REAL", "FLOAT4", "FLOAT32")
NAMES: Mapping[str, str] = {
    **{name: f"int{bits}" for name, bits in WHOLE.items()},
    **{name: f"uint{bits}" for name, bits in UNSIGNED.items()},
    **dict.fromkeys(REAL, "float64"),
    **dict.fromkeys(SINGLE, "float32"),
    **dict.fromkeys(("VARCHAR", "TEXT", "STRING", "CHAR"), TEXT),
    **dict.fromkeys(("BOOLEAN", "BOOL"), FLAG),
    "DATE": DATE,
    "TIMESTAMP": TIMESTAMP,
    "TIMESTAMPTZ": TIMESTAMP,
}
POLARS: Mapping[str, pl.DataType] = {DATE: pl.Date(), TIMESTAMP: pl.Datetime("us")}
TYPES = "INTEGER, BIGINT, SMALLINT, TINYINT, DOUBLE, REAL, VARCHAR, BOOLEAN, DATE, TIMESTAMP"


def kind_of_type(node: exp.Expr, written: str) -> str:
    """A type of the SQL text in our words; raises BadExpression."""
    name = str(getattr(node.this, "name", node.this)).upper()
    if name == "USERDEFINED":
        name = str(node.args.get("kind") or "").upper()
    if node.expressions:
        name = written.upper()
    if name in NAMES:
        return NAMES[name]
    if name.startswith(("DECIMAL", "NUMERIC")):
        raise BadExpression(f"{written}: there are no decimals here; cast to DOUBLE, or use ROUND")
    raise BadExpression(f"nothing is cast to {written} (types: {TYPES})")


def cast(steps: Steps, value: Value, target: str) -> Value:
    """Raises BadExpression where no value of the one kind is ever one of the other."""
    if value.kind == NULL:
        return typed_null(target)
    if target.startswith(("int", "uint")):
        bits, signed = int(target.lstrip("uint")), target[0] == "i"
        low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
        number = to_whole(value)
        if number is not None:
            return bounded(steps, number, low, high)
    if target == TIMESTAMP:
        value = steps.kept(value)
    converted = CONVERSIONS.get((value.kind, target))
    if converted is None:
        raise BadExpression(f"{named(value)} cannot be cast to {target}")
    found = converted(value)
    if value.kind == TEXT and found.kind in (DATE, TIMESTAMP):
        return moment(steps.keep(found.expr), POLARS[found.kind])
    return found


def to_whole(value: Value) -> Value | None:
    """A number, text or truth value as an integer, the fraction of a float cut off; null where it
    is none or does not fit, None for kinds that are never one.
    """
    if value.kind == NUMBER:
        return value if value.whole else whole(value.expr.cast(pl.Int64, strict=False))
    if value.kind == TEXT:
        return whole(value.expr.str.strip_chars().cast(pl.Int64, strict=False))
    if value.kind == FLAG:
        return whole(value.expr.cast(pl.Int64), 0, 1)
    return None


def bounded(steps: Steps, value: Value, low: int, high: int) -> Value:
    """Null outside of the bounds."""
    if fits(value.low, value.high, (low, high)):
        return value
    expr = value.integer()
    if (low, high) != INT64:
        expr = steps.keep(expr)
        expr = pl.when(expr.is_between(low, high)).then(expr)
    return whole(expr, max(low, value.low), min(high, value.high))


def to_real(value: Value, single: bool = False) -> Value:
    """A number, text or truth value as a float of 64 bits, or of 32 where `single`."""
    expr = value.expr
    if value.kind == TEXT:
        expr = expr.str.strip_chars().cast(pl.Float64, strict=False)
    kind = pl.Float32 if single else pl.Float64
    # text may say inf or nan; an infinity made by rounding to 32 bits is no value
    return from_expr(expr.cast(kind), kind())


def to_text(value: Value) -> Value:
    """A value as text: dates and timestamps as in ISO 8601 with a space between day and time."""
    if value.kind == DATE:
        return text(value.expr.dt.strftime("%Y-%m-%d"))
    if value.kind == TIMESTAMP:
        return text(value.expr.dt.strftime("%Y-%m-%d %H:%M:%S%.f"))
    return text(value.expr.cast(pl.String))


def text_to_flag(value: Value) -> Value:
    """true, t, yes and 1, false, f, no and 0 in any case as truth values; other texts are null."""
    word = value.expr.str.strip_chars().str.to_lowercase()
    return flag(
        word.replace_strict(
            ["true", "t", "yes", "1", "false", "f", "no", "0"],
            [True] * 4 + [False] * 4,
            default=None,
            return_dtype=pl.Boolean,
        )
    )


def text_to_date(value: Value) -> Value:
    """A text such as 2024-01-31 as a date; other texts are null."""
    return Value(value.expr.str.strip_chars().str.to_date("%Y-%m-%d", strict=False), DATE)


def text_to_timestamp(value: Value) -> Value:
    """ISO 8601 with a blank or T; a date alone is its midnight; a zone is reckoned to UTC."""
    written = value.expr.str.strip_chars()  # read seven times, in a value that is kept
    forms = ("%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M")
    plain = [written.str.to_datetime(f, time_unit="us", strict=False) for f in forms]
    midnight = written.str.to_date("%Y-%m-%d", strict=False).cast(pl.Datetime("us"))
    zoned = [
        written.str.to_datetime(
            f, time_unit="us", strict=False, time_zone="UTC"
        ).dt.replace_time_zone(None)
        for f in ("%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%d %H:%M:%S%.f%#z")
    ]
    return Value(pl.coalesce([*plain, *zoned, midnight]), TIMESTAMP)


def typed_null(target: str) -> Value:
    """NULL as a value of the type that CAST names."""
    if target.startswith(("int", "uint")):
        return whole(pl.lit(None, dtype=pl.Int64))
    types: Mapping[str, pl.DataType] = {
        "float64": pl.Float64(), "float32": pl.Float32(), TEXT: pl.String(), FLAG: pl.Boolean(),
        DATE: pl.Date(), TIMESTAMP: pl.Datetime("us"),
    }  # fmt: skip
    return from_expr(pl.lit(None, dtype=types[target]), types[target])


CONVERSIONS: Mapping[tuple[str, str], Callable[[Value], Value]] = {
    **{(kind, "float64"): to_real for kind in (NUMBER, TEXT, FLAG)},
    **{(kind, "float32"): lambda v: to_real(v, single=True) for kind in (NUMBER, TEXT, FLAG)},
    **{(kind, TEXT): to_text for kind in (NUMBER, TEXT, FLAG, DATE, TIMESTAMP)},
    (NUMBER, FLAG): lambda v: flag(v.expr != 0),
    (FLAG, FLAG): lambda v: v,
    (TEXT, FLAG): text_to_flag,
    (TEXT, DATE): text_to_date,
    (DATE, DATE): lambda v: v,
    (TIMESTAMP, DATE): lambda v: Value(v.expr.cast(pl.Date), DATE),
    (TEXT, TIMESTAMP): text_to_timestamp,
    (DATE, TIMESTAMP): at_midnight,
    (TIMESTAMP, TIMESTAMP): lambda v: v,
}
"""(kind, target) of what has no bounds to keep."""
