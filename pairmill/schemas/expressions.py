"""`keep`, `when` and `caption` expressions: Polars SQL, checked before anything runs.

sqlglot reads the expression for what Polars lets pass silently (`lang >= 0.3`, `x > AVG(x)`,
division by zero); Polars compiles it against the planned schema and evaluates it.
"""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

import polars as pl
import pyarrow as pa
import sqlglot
from sqlglot import exp

TEXT, NUMBER, FLAG, OTHER = "text", "number", "true/false", "other"
COMPARISONS = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE)


class BadExpression(ValueError):
    """An expression that cannot be evaluated over the columns there are."""


@dataclass(frozen=True)
class Expression:
    """A checked expression: its text as the user wrote it, the columns it reads, the SQL that is
    evaluated.
    """

    text: str
    columns: tuple[str, ...]
    sql: str

    def evaluate(self, frame: pl.DataFrame) -> pl.Series:
        """One value a row; a frame without rows gives an empty series."""
        return frame.select(pl.sql_expr(self.sql).alias("value")).to_series()


def compile_gate(text: str, schema: pa.Schema) -> Expression:
    """A true/false expression over `schema`; raises BadExpression."""
    expression, dtype = compile_expression(text, schema)
    if dtype != pl.Boolean:
        raise BadExpression(f"{text!r} gives {dtype}, not true or false; compare it with something")
    return expression


def compile_expression(text: str, schema: pa.Schema) -> tuple[Expression, pl.DataType]:
    """Any row-wise expression over `schema`, and the type it gives; raises BadExpression."""
    try:
        tree = sqlglot.parse_one(text, read="postgres")
    except sqlglot.errors.SqlglotError as error:
        raise BadExpression(
            f"{text!r} is no SQL expression: {str(error).splitlines()[0]}"
        ) from None
    columns = tuple(sorted({c.name for c in tree.find_all(exp.Column)}))
    for name in columns:
        if name not in schema.names:
            raise BadExpression(unknown_column(text, name, schema.names))
    for node in tree.find_all(exp.AggFunc, exp.Window, exp.Subquery, exp.Select):
        raise BadExpression(
            f"{text!r}: {node.sql()} looks at other rows; a gate sees one row at a time"
        )
    empty = frame_of(pa.table({f.name: pa.array([], f.type) for f in schema if f.name in columns}))
    for node in tree.find_all(*COMPARISONS):
        check_comparison(text, node, empty)
    for node in tree.find_all(exp.In):
        for item in node.expressions:
            check_kinds(text, node.this, item, empty)
    for node in tree.find_all(exp.Between):
        check_kinds(text, node.this, node.args["low"], empty)
        check_kinds(text, node.this, node.args["high"], empty)
    sql = null_on_zero_division(tree).sql(dialect="postgres")
    try:
        dtype = empty.select(pl.sql_expr(sql).alias("value")).schema["value"]
    except pl.exceptions.PolarsError as error:
        raise BadExpression(f"{text!r}: {str(error).splitlines()[0]}") from None
    return Expression(text, columns, sql), dtype


def unknown_column(text: str, name: str, have: Iterable[str]) -> str:
    have = [h for h in have if not h.endswith("#size")]
    near = difflib.get_close_matches(name, have, 1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"{text!r} reads {name!r}, which nothing before it writes; {hint}(columns here: {', '.join(have)})"


def frame_of(table: pa.Table) -> pl.DataFrame:
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame


def check_comparison(text: str, node: exp.Expr, empty: pl.DataFrame) -> None:
    if isinstance(node.expression, exp.Null) or isinstance(node.this, exp.Null):
        raise BadExpression(
            f"{text!r}: a comparison with NULL is never true; write IS NULL or IS NOT NULL"
        )
    check_kinds(text, node.this, node.expression, empty)


def check_kinds(text: str, left: exp.Expr, right: exp.Expr, empty: pl.DataFrame) -> None:
    a, b = kind_of(left, empty), kind_of(right, empty)
    if a != b and OTHER not in (a, b):
        raise BadExpression(f"{text!r} compares {left.sql()} ({a}) with {right.sql()} ({b})")


def kind_of(node: exp.Expr, empty: pl.DataFrame) -> str:
    """text, number, true/false or other, as Polars would type the node."""
    try:
        dtype = empty.select(pl.sql_expr(node.sql(dialect="postgres")).alias("value")).schema[
            "value"
        ]
    except pl.exceptions.PolarsError:
        return OTHER
    if dtype == pl.String:
        return TEXT
    if dtype == pl.Boolean:
        return FLAG
    return NUMBER if dtype.is_numeric() else OTHER


def null_on_zero_division(tree: exp.Expr) -> exp.Expr:
    """`a / b` is null where b is zero, as in SQL; Polars would give NaN, and NaN >= 2 is true
    there.
    """

    def rewrite(node: exp.Expr) -> exp.Expr:
        if isinstance(node, exp.Div) and not isinstance(node.expression, exp.Nullif):
            return exp.Div(
                this=node.this,
                expression=exp.Nullif(
                    this=exp.paren(node.expression), expression=exp.Literal.number(0)
                ),
            )
        return node

    return tree.copy().transform(rewrite)
