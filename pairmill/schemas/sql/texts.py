"""Text functions; places and lengths count characters from 1."""

from collections.abc import Callable
from typing import Any

import polars as pl

from pairmill.schemas.sql import patterns
from pairmill.schemas.sql.casts import cast
from pairmill.schemas.sql.values import (
    DATE,
    FLAG,
    NULL,
    NUMBER,
    TEXT,
    TIMESTAMP,
    BadExpression,
    Steps,
    Value,
    flag,
    named,
    text,
    whole,
)

FAR = 2**40
"""No text is so long; numbers beyond count as this one."""


def counted(function: Callable[[pl.Expr], pl.Expr], factor: int = 1) -> Callable[..., Value]:
    """A function of a text that gives a count, `factor` times what Polars counts."""

    def build(steps: Steps, x: Value) -> Value:
        return whole(function(x.expr).cast(pl.Int64) * factor, 0, FAR)

    return build


length = counted(lambda x: x.str.len_chars())
octet_length = counted(lambda x: x.str.len_bytes())
bit_length = counted(lambda x: x.str.len_bytes(), 8)


def changed(function: Callable[[pl.Expr], pl.Expr]) -> Callable[..., Value]:
    """A function that makes another text of a text."""
    return lambda steps, x: text(function(x.expr))


lower = changed(lambda x: x.str.to_lowercase())
upper = changed(lambda x: x.str.to_uppercase())
initcap = changed(lambda x: x.str.to_titlecase())
reverse = changed(lambda x: x.str.reverse())


def trim(steps: Steps, x: Value, characters: Value | None = None) -> Value:
    """The text without white space, or without any of the characters, at both ends."""
    return text(x.expr.str.strip_chars(characters.constant if characters else None))


def ltrim(steps: Steps, x: Value, characters: Value | None = None) -> Value:
    """The text without white space, or without any of the characters, at its beginning."""
    return text(x.expr.str.strip_chars_start(characters.constant if characters else None))


def rtrim(steps: Steps, x: Value, characters: Value | None = None) -> Value:
    """The text without white space, or without any of the characters, at its end."""
    return text(x.expr.str.strip_chars_end(characters.constant if characters else None))


def near(number: Value) -> pl.Expr:
    """A place or length that Polars takes: beyond ±FAR, which no text reaches, cut to that."""
    return number.integer().clip(-FAR, FAR)


def left(steps: Steps, x: Value, count: Value) -> Value:
    """The first `count` characters, all but the last ones where it is negative; null where it is
    null.
    """
    n = steps.keep(near(count))
    return text(pl.when(n.is_not_null()).then(x.expr.str.head(n)))


def right(steps: Steps, x: Value, count: Value) -> Value:
    """The last `count` characters, all but the first ones where it is negative; null where it is
    null.
    """
    n = steps.keep(near(count))
    return text(pl.when(n.is_not_null()).then(x.expr.str.tail(n)))


def substr(steps: Steps, x: Value, start: Value, count: Value | None = None) -> Value:
    """Places before 1 count into the length, as in Postgres; a negative length gives null."""
    first = steps.keep(near(start))
    offset = first.clip(1, FAR) - 1
    if count is None:
        return text(pl.when(first.is_not_null()).then(x.expr.str.slice(offset)))
    n = steps.keep(near(count))
    span = (first + n - 1 - offset).clip(0, 2 * FAR).cast(pl.UInt64)
    return text(pl.when(first.is_not_null() & (n >= 0)).then(x.expr.str.slice(offset, span)))


def strpos(steps: Steps, x: Value, part: Value) -> Value:
    """The place, from 1, at which `part` begins for the first time; 0 where it does not occur."""
    x, part = steps.kept(x), steps.kept(part)
    before = x.expr.str.splitn(part.expr, 2).struct.field("field_0").str.len_chars()
    at = pl.when(part.expr == "").then(1).otherwise(before.cast(pl.Int64) + 1)
    there = x.expr.str.contains(part.expr, literal=True)
    return whole(pl.when(there).then(at).when(there.is_not_null()).then(0), 0, FAR)


def starts_with(steps: Steps, x: Value, part: Value) -> Value:
    """Whether the text begins with `part`."""
    return flag(x.expr.str.starts_with(part.expr))


def ends_with(steps: Steps, x: Value, part: Value) -> Value:
    """Whether the text ends with `part`."""
    return flag(x.expr.str.ends_with(part.expr))


def contains(steps: Steps, x: Value, part: Value) -> Value:
    """Whether `part` stands in the text, letter by letter."""
    return flag(x.expr.str.contains(part.expr, literal=True))


def replace(steps: Steps, x: Value, old: Value, new: Value) -> Value:
    """The text with `new` for every `old`; an empty `old` changes nothing."""
    if not old.constant:
        return x
    return text(x.expr.str.replace_all(old.constant, new.constant, literal=True))


def split_part(steps: Steps, x: Value, separator: Value, place: Value) -> Value:
    """The part between separators at a place, from 1, or from the end if negative; empty where
    there is none. Raises BadExpression for the place 0 and for an empty separator.
    """
    if not place.is_constant or place.constant == 0 or not separator.constant:
        raise BadExpression("SPLIT_PART takes a separator and a number that is not 0")
    index = place.constant - 1 if place.constant > 0 else place.constant
    if abs(index) >= FAR:
        index = FAR
    kept = steps.kept(x)
    part = kept.expr.str.split(separator.constant).list.get(index, null_on_oob=True).fill_null("")
    return text(pl.when(kept.expr.is_not_null()).then(part))


def written(value: Value) -> pl.Expr:
    """Any value as text."""
    if value.kind == NULL:
        return pl.lit(None, dtype=pl.String)
    if value.kind not in (TEXT, NUMBER, FLAG, DATE, TIMESTAMP):
        raise BadExpression(f"{named(value)} cannot be written into a text")
    return cast(Steps(), value, TEXT).expr


def concat(steps: Steps, *values: Value) -> Value:
    """The values as texts, one after the other; nulls are passed over."""
    return text(pl.concat_str([written(v) for v in values], ignore_nulls=True))


def concat_ws(steps: Steps, separator: Value, *values: Value) -> Value:
    """The values as texts with the separator between them; nulls are passed over."""
    parts = [written(v) for v in values]
    return text(pl.concat_str(parts, separator=separator.constant, ignore_nulls=True))


def joined(steps: Steps, *values: Value) -> Value:
    """`a || b`: texts one after the other, null where one is null; raises BadExpression for truth
    values, for which OR may be meant.
    """
    if any(v.kind == FLAG for v in values):
        raise BadExpression("|| joins texts; between conditions write OR")
    return text(pl.concat_str([written(v) for v in values]))


def regexp_like(steps: Steps, x: Value, pattern: Value, flags: Value | None = None) -> Value:
    """Whether a regular expression is found in the text; raises BadExpression for flags other than
    i, s, m, x and U.
    """
    chosen = flags.constant if flags else ""
    if set(chosen) - set("ismxU"):
        raise BadExpression(f"{chosen!r} are no flags of a regular expression (i, s, m, x)")
    return patterns.matches(x, f"(?{chosen}){pattern.constant}" if chosen else pattern.constant)


def regexp_replace(steps: Steps, x: Value, pattern: Value, new: Value) -> Value:
    """The text with `new` for every match; `$1` in it is what the first group matched."""
    return text(x.expr.str.replace_all(patterns.checked(pattern.constant), new.constant))


def normalize(steps: Steps, x: Value, form: Value | None = None) -> Value:
    """The text in a Unicode form, NFC if none is named; raises BadExpression for unknown forms."""
    chosen: Any = form.constant.upper() if form else "NFC"
    if chosen not in ("NFC", "NFD", "NFKC", "NFKD"):
        raise BadExpression(f"{chosen} is no Unicode form (NFC, NFD, NFKC, NFKD)")
    return text(x.expr.str.normalize(chosen))
