"""`keep`, `when` and `caption` expressions: SQL, checked before anything runs, evaluated by Polars.

sqlglot reads the text; `pairmill.schemas.sql` compiles what it knows, and nothing else, to Polars.
Whatever has no answer (NaN, a division by zero, an overflow, a text that is no number) is null.
"""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field

import polars as pl
import polars.selectors as cs
import pyarrow as pa

from pairmill.schemas.companions import is_companion
from pairmill.schemas.sql.values import (
    COLUMNS_HERE,
    BadExpression,
    UnknownColumn,
    Value,
    advised,
)

MOST_NAMED = 30
"""Columns that a message lists."""

__all__ = [
    "BadExpression",
    "Expression",
    "UnknownColumn",
    "advised",
    "compile_expression",
    "compile_gate",
    "frame_of",
    "unknown_column",
]  # fmt: skip


@dataclass(frozen=True)
class Expression:
    """A checked expression: its text as the user wrote it, the columns it reads, and what is
    evaluated: columns that are put beside these, then the answer.
    """

    text: str
    columns: tuple[str, ...]
    steps: tuple[tuple[str, pl.Expr], ...] = field(compare=False, repr=False)
    answer: pl.Expr = field(compare=False, repr=False)

    def evaluate(self, frame: pl.DataFrame) -> pl.Series:
        """One value a row."""
        if not self.steps:
            return column_of(frame, self.answer).alias("value")
        found = frame.select(self.columns or cs.first())
        for name, expr in self.steps:
            found = found.with_columns(column_of(found, expr).alias(name))
        return column_of(found, self.answer).alias("value")


def column_of(frame: pl.DataFrame, expr: pl.Expr) -> pl.Series:
    """One value a row, also of what Polars takes for a single value: a literal, `COALESCE(1,
    x)`.
    """
    series = frame.select(expr.alias("value")).to_series()
    return series if len(series) == frame.height else series.new_from_index(0, frame.height)


def compile_gate(text: str, schema: pa.Schema) -> Expression:
    """A true/false expression over `schema`; raises BadExpression."""
    expression, dtype = compile_expression(text, schema)
    if dtype != pl.Boolean:
        raise BadExpression(f"{text!r} gives {dtype}, not true or false; compare it with something")
    return expression


def compile_expression(text: str, schema: pa.Schema) -> tuple[Expression, pl.DataType]:
    """Any row-wise expression over `schema`, and the type it gives; raises BadExpression."""
    from sqlglot import exp  # only who reads a pipeline parses: a worker gets what was compiled

    from pairmill.schemas.sql.nodes import Compiler
    from pairmill.schemas.sql.parsing import TOO_DEEP, parse

    tree = parse(text)
    read = {
        part.name for node in tree.find_all(exp.Column) for part in node.find_all(exp.Identifier)
    }
    known = pa.schema([f for f in schema if f.name in read])
    # `empty_table` would make lists into arrays, for which pyarrow imports pandas
    types = dict(frame_of(pa.Table.from_batches([], known)).schema)
    compiler = Compiler(text, types, lambda name: unknown_column(text, name, schema.names))
    try:
        answer = outward(compiler.value(tree))
    except RecursionError:
        raise BadExpression(f"{text!r:.60} … {TOO_DEEP}") from None
    columns = tuple(sorted(compiler.columns))
    expression = Expression(text, columns, tuple(compiler.steps.made), answer)
    nulls = pl.DataFrame({"#": [None]}).with_columns(
        pl.lit(None, dtype=types[name]).alias(name) for name in columns
    )
    try:
        return expression, expression.evaluate(nulls).dtype
    except pl.exceptions.PolarsError as error:
        raise BadExpression(f"{text!r}: {str(error).splitlines()[0]}") from None


def outward(value: Value) -> pl.Expr:
    """The answer in a type that columns have: 128 bits are an affair of expressions."""
    if not value.wide:
        return value.expr
    unsigned = value.low >= 0
    return value.expr.cast(pl.UInt64 if unsigned else pl.Int64, strict=False)


def unknown_column(text: str, name: str, have: Iterable[str]) -> str:
    """The message for a name that is no column, with the nearest of those there are."""
    have = [h for h in have if not is_companion(h)]
    by_lower = {h.lower(): h for h in reversed(have)}
    near = difflib.get_close_matches(name.lower(), by_lower, 1)
    hint = f"; did you mean {by_lower[near[0]]!r}?" if near else ""
    more = f", and {len(have) - MOST_NAMED} more" if len(have) > MOST_NAMED else ""
    return (
        f"{text!r} reads {name!r}, which nothing before it writes{hint}{COLUMNS_HERE}"
        f"{', '.join(have[:MOST_NAMED])}{more})"
    )


def frame_of(table: pa.Table) -> pl.DataFrame:
    """An Arrow table as a Polars frame, without a copy where the types allow it."""
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame
