"""LIKE and regular expressions: the pattern stands in the expression, so it is checked
beforehand.
"""

import polars as pl

from pairmill.schemas.sql.values import BadExpression, Value, flag


def with_escape(pattern: str, escape: str) -> str:
    """A LIKE pattern in which `escape` makes the next character plain, as `like` reads it."""
    if len(escape) != 1:
        raise BadExpression("ESCAPE takes one character")
    parts, plain = [], False
    for c in pattern:
        if plain or c != escape:
            parts.append(f"\0{c}" if plain else c)
            plain = False
        else:
            plain = True
    if plain:
        raise BadExpression(f"the pattern {pattern!r} ends in its ESCAPE character")
    return "".join(parts)


def like(value: Value, pattern: str, flags: str = "s") -> Value:
    """`%` stands for any text, `_` for any character; a NUL makes the next one plain."""
    parts, plain = [], False
    for c in pattern:
        if not plain and c == "\0":
            plain = True
            continue
        wild = {"%": ".*", "_": "."}.get(c) if not plain else None
        parts.append(wild or pl.escape_regex(c))
        plain = False
    return found(value, f"(?{flags})^{''.join(parts)}$")


def ilike(value: Value, pattern: str) -> Value:
    """As `like`, whatever the case of the letters."""
    return like(value, pattern, "si")


def matches(value: Value, pattern: str) -> Value:
    """Whether a regular expression is found in the text; raises BadExpression where it is none."""
    return found(value, pattern)


def imatches(value: Value, pattern: str) -> Value:
    """As `matches`, whatever the case of the letters."""
    return found(value, f"(?i){pattern}")


def found(value: Value, pattern: str) -> Value:
    """Whether a regular expression is found; raises BadExpression where it is none."""
    checked(pattern)
    return flag(value.expr.cast(pl.String).str.contains(pattern))


def checked(pattern: str) -> str:
    """The regular expression as it was; raises BadExpression where Polars cannot compile it."""
    try:
        pl.Series([""]).str.contains(pattern)
    except pl.exceptions.PolarsError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = next((x for x in lines if x.startswith("error:")), lines[0])
        raise BadExpression(
            f"{pattern!r:.200} is no regular expression: {reason.removeprefix('error: ')}"
        ) from None
    return pattern
