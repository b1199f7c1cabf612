"""Functions of dates, timestamps (UTC) and durations."""

from collections.abc import Callable, Mapping
from datetime import datetime

import polars as pl

from pairmill.schemas.sql.casts import cast
from pairmill.schemas.sql.columns import moment
from pairmill.schemas.sql.values import (
    DATE,
    DURATION,
    TEXT,
    BadExpression,
    Steps,
    Value,
    at_midnight,
    micros_of,
    real,
    text,
    whole,
)

PARTS: Mapping[str, Callable[[pl.Expr], pl.Expr]] = {
    "year": lambda d: d.dt.year(),
    "month": lambda d: d.dt.month(),
    "day": lambda d: d.dt.day(),
    "hour": lambda d: d.dt.hour(),
    "minute": lambda d: d.dt.minute(),
    "second": lambda d: d.dt.second(),
    "week": lambda d: d.dt.week(),
    "quarter": lambda d: d.dt.quarter(),
    "dow": lambda d: d.dt.weekday() % 7,
    "isodow": lambda d: d.dt.weekday(),
    "doy": lambda d: d.dt.ordinal_day(),
}


def date_part(steps: Steps, part: Value, when: Value) -> Value:
    """A part of a date or timestamp as a whole number, or the seconds since 1970 as a float; raises
    BadExpression for an unknown part, and for all but the epoch of a duration.
    """
    name = part.constant.lower()
    if name == "epoch":
        return real(micros_of(when).cast(pl.Float64) / 1e6)
    if when.kind == DURATION:
        raise BadExpression("of a duration there is only the epoch: its seconds")
    if name not in PARTS:
        raise BadExpression(f"{name!r} is no part of a date (parts: {', '.join(PARTS)}, epoch)")
    at = at_midnight(when) if when.kind == DATE else when
    return whole(PARTS[name](at.expr).cast(pl.Int64), 0, 9999)


def strftime(steps: Steps, when: Value, form: Value) -> Value:
    """A date or timestamp written by a format; raises BadExpression for a format that Polars
    refuses.
    """
    at = at_midnight(when) if when.kind == DATE else when
    try:
        pl.Series([datetime(2024, 1, 31)]).dt.strftime(form.constant)
    except pl.exceptions.PolarsError as error:
        raise BadExpression(f"{form.constant!r}: {str(error).splitlines()[0]}") from None
    return text(at.expr.dt.strftime(form.constant))


def read(steps: Steps, x: Value, form: str) -> Value:
    """A text read by a format, as a timestamp in UTC."""
    at = parsed(x.expr, form)
    try:
        pl.select(parsed(pl.lit("2024-01-31"), form))
    except pl.exceptions.PolarsError as error:
        raise BadExpression(f"{form!r}: {str(error).splitlines()[0]}") from None
    return moment(steps.keep(at), pl.Datetime("us"))


def parsed(expr: pl.Expr, form: str) -> pl.Expr:
    """Texts read by a format as timestamps in UTC, null where they do not fit; a format without a
    time gives midnight.
    """
    if "%z" in form or "%#z" in form:
        utc = expr.str.to_datetime(form, time_unit="us", strict=False, time_zone="UTC")
        return utc.dt.replace_time_zone(None)
    if any(part in form for part in ("%H", "%I", "%T", "%R", "%s", "%c", "%k", "%X")):
        return expr.str.to_datetime(form, time_unit="us", strict=False)
    return expr.str.to_date(form, strict=False).cast(pl.Datetime("us"))


def strptime(steps: Steps, x: Value, form: Value) -> Value:
    """A text read by a format as a timestamp in UTC, null where it does not fit."""
    return read(steps, x, form.constant)


def date(steps: Steps, x: Value, form: Value | None = None) -> Value:
    """A text, date or timestamp as a date; raises BadExpression for a format beside what is no
    text.
    """
    if x.kind == TEXT and form is not None:
        return cast(steps, read(steps, x, form.constant), DATE)
    if form is not None:
        raise BadExpression("a format is for texts")
    return cast(steps, x, DATE)
