"""Node by node from a parsed tree to Polars: an allow-list, so that a gate sees one row at a
time.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import polars as pl
from sqlglot import exp

from pairmill.schemas.sql import arithmetic, patterns
from pairmill.schemas.sql.casts import cast
from pairmill.schemas.sql.functions import call
from pairmill.schemas.sql.habits import hint, nothing_between, unlike
from pairmill.schemas.sql.leaves import LEAVES
from pairmill.schemas.sql.parsing import shown
from pairmill.schemas.sql.values import (
    DATE,
    DURATION,
    FLAG,
    NULL,
    NUMBER,
    ORDERED,
    TEXT,
    TIMESTAMP,
    BadExpression,
    Steps,
    Value,
    comparable,
    flag,
    folded,
    named,
    real,
    together,
    whole,
)

Binary = Callable[[pl.Expr, pl.Expr], pl.Expr]
COMPARISONS: Mapping[type, Binary] = {
    exp.EQ: lambda a, b: a == b,
    exp.NEQ: lambda a, b: a != b,
    exp.GT: lambda a, b: a > b,
    exp.GTE: lambda a, b: a >= b,
    exp.LT: lambda a, b: a < b,
    exp.LTE: lambda a, b: a <= b,
    exp.NullSafeEQ: lambda a, b: a.eq_missing(b),
    exp.NullSafeNEQ: lambda a, b: a.ne_missing(b),
}
ARITHMETIC: Mapping[type, Callable[[Steps, Value, Value], Value]] = {
    exp.Add: arithmetic.add,
    exp.Sub: arithmetic.subtract,
    exp.Mul: arithmetic.multiply,
    exp.Div: arithmetic.divide,
    exp.Mod: arithmetic.modulo,
}
BITWISE: Mapping[type, Binary] = {
    exp.BitwiseAnd: lambda a, b: a & b,
    exp.BitwiseOr: lambda a, b: a | b,
    exp.BitwiseXor: lambda a, b: a ^ b,
}
PATTERNS: Mapping[type, Callable[[Value, str], Value]] = {
    exp.Like: patterns.like,
    exp.ILike: patterns.ilike,
    exp.RegexpLike: patterns.matches,
    exp.RegexpILike: patterns.imatches,
}
AS_CALLS: Mapping[type, tuple[str, tuple[str, ...]]] = {
    exp.Substring: ("SUBSTR", ("this", "start", "length")),
    exp.StrPosition: ("STRPOS", ("this", "substr")),
    exp.Pow: ("POWER", ("this", "expression")),
    exp.If: ("IF", ("this", "true", "false")),
    exp.DPipe: ("||", ("this", "expression")),
}
"""Nodes with a syntax of their own that are functions of ours."""

OTHER_ROWS = "looks at other rows; a gate sees one row at a time"


class Compiler:
    """Compiles the nodes of one expression over columns of given types."""

    def __init__(
        self, text: str, schema: Mapping[str, pl.DataType], unknown: Callable[[str], str]
    ) -> None:
        self.text, self.schema, self.unknown = text, schema, unknown
        self.steps = Steps()
        self.columns: dict[str, Value] = {}

    def fault(self, message: str) -> BadExpression:
        """The error for the expression, which is quoted up to 200 characters, then the message."""
        written = self.text if len(self.text) <= 200 else self.text[:197] + "…"
        return BadExpression(f"{written!r}{message}")

    def value(self, node: exp.Expr) -> Value:
        """Raises BadExpression for what is not on the list."""
        value = self.compiled(node)
        return replace(value, expr=folded(value.expr))

    def compiled(self, node: exp.Expr) -> Value:
        """A node's value by the table that its type stands in; raises BadExpression where it stands
        in none.
        """
        kind = type(node)
        if kind in (exp.And, exp.Or):
            return self.logic(node)
        if kind in COMPARISONS:
            return self.comparison(node)
        if kind in ARITHMETIC or kind in BITWISE:
            return self.arithmetic(node)
        if kind in PATTERNS or kind is exp.Escape:
            return self.pattern(node)
        if kind in AS_CALLS:
            name, parts = AS_CALLS[kind]
            given = self.parts(node, *parts, optional=("safe",))
            return self.function(name, [given[p] for p in parts if p in given], node)
        if kind in LEAVES:
            return LEAVES[kind](self, node)
        raise self.refused(node)

    def refused(self, node: exp.Expr) -> BadExpression:
        """The error for a node that is on no list: whether it looks at other rows, and what may be
        meant.
        """
        others = (exp.Window, exp.Filter, exp.WithinGroup, exp.Subquery, exp.Select, exp.Exists)
        if isinstance(node, others):
            return self.fault(f": {shown(node)} {OTHER_ROWS}")
        advice = hint(self.text) or nothing_between(node)
        return self.fault(
            f": {shown(node)} is nothing that an expression can hold"
            f"{advice or '; docs/expressions.md lists what it can'}"
        )

    def parts(
        self, node: exp.Expr, *names: str, optional: Sequence[str] = ("typed", "safe")
    ) -> dict[str, Any]:
        """The node's arguments; raises BadExpression where it has others than `names`."""
        given = {k: v for k, v in node.args.items() if v is not None and v is not False and v != []}
        extra = sorted(set(given) - {*names, *optional})
        if extra:
            raise self.fault(f": {shown(node)} holds {', '.join(extra)}, which is not known here")
        return given

    def values(self, nodes: Sequence[exp.Expr]) -> list[Value]:
        """The values of several nodes, compiled one by one."""
        return [self.value(n) for n in nodes]

    def logic(self, node: exp.Expr) -> Value:
        """AND and OR; a chain of them lies flat, however long it is."""
        kind = type(node)
        operands: list[exp.Expr] = []
        while type(node) is kind:
            operands.append(self.parts(node, "this", "expression")["expression"])
            node = node.this
        operands.append(node)
        flags = [self.flag(n, kind.__name__.upper()) for n in reversed(operands)]
        return flag((pl.all_horizontal if kind is exp.And else pl.any_horizontal)(flags))

    def flag(self, node: exp.Expr, what: str) -> pl.Expr:
        """An operand that has to be true or false."""
        value = self.value(node)
        if value.kind == NULL:
            return pl.lit(None, dtype=pl.Boolean)
        if value.kind != FLAG:
            raise self.fault(
                f": {what} takes true or false, and {shown(node)} is {named(value)}; compare it "
                "with something"
            )
        return value.expr

    def comparison(self, node: exp.Expr) -> Value:
        """A comparison of two values of one kind; raises BadExpression for other kinds, and beside
        a bare NULL, where it is never true.
        """
        sides = self.parts(node, "this", "expression")
        pair = [sides["this"], sides["expression"]]
        tells_null = isinstance(node, exp.NullSafeEQ | exp.NullSafeNEQ)
        if not tells_null and any(isinstance(side, exp.Null) for side in pair):
            raise self.fault(": a comparison with NULL is never true; write IS NULL or IS NOT NULL")
        left, right = together(self.agreeing(pair))
        return flag(COMPARISONS[type(node)](left, right))

    def agreeing(self, nodes: Sequence[exp.Expr]) -> list[Value]:
        """Values that can be compared; raises BadExpression where two kinds meet."""
        values = self.values(nodes)
        if any(v.kind in (DATE, TIMESTAMP) for v in values):
            values = [
                as_moment(self.steps, v) for v in values
            ]  # '2024-01-31' beside a date is a date
        for node, value in zip(nodes, values, strict=True):
            if value.kind not in (*ORDERED, NULL):
                raise self.fault(f": {shown(node)} is {named(value)}, which cannot be compared")
        first = next((i for i, v in enumerate(values) if v.kind != NULL), 0)
        for node, value in zip(nodes, values, strict=True):
            if not comparable([values[first], value]):
                sides = [(nodes[first], values[first].kind), (node, value.kind)]
                told = " with ".join(f"{shown(side)} ({kind})" for side, kind in sides)
                raise self.fault(f" compares {told}{unlike(sides, self.text)}")
        return values

    def arithmetic(self, node: exp.Expr) -> Value:
        """Arithmetic of numbers and of moments, bits of whole numbers; raises BadExpression for
        other kinds of values.
        """
        sides = self.parts(node, "this", "expression")
        nodes = [sides["this"], sides["expression"]]
        a, b = self.values(nodes)
        if isinstance(node, exp.Add | exp.Sub) and {a.kind, b.kind} <= {DATE, TIMESTAMP, DURATION}:
            sign = 1 if isinstance(node, exp.Add) else -1
            moved = arithmetic.moments(self.steps, a, b, sign)
            if moved is not None:
                return moved
        for side, value in zip(nodes, (a, b), strict=True):
            if value.kind not in (NUMBER, NULL):
                raise self.fault(
                    f": {shown(node)} reckons with {shown(side)}, which is {named(value)}"
                )
        if NULL in (a.kind, b.kind):
            return real(pl.lit(None, dtype=pl.Float64))
        if type(node) in BITWISE:
            if not (a.whole and b.whole):
                raise self.fault(f": {shown(node)} takes whole numbers")
            return whole(BITWISE[type(node)](a.integer(), b.integer()))
        return self.guarded(lambda: ARITHMETIC[type(node)](self.steps, a, b))

    def pattern(self, node: exp.Expr) -> Value:
        """LIKE, ILIKE and regular expressions, with NOT and ESCAPE; raises BadExpression for a
        pattern that does not stand in the expression, and for values other than texts.
        """
        escape = None
        if isinstance(node, exp.Escape):
            if not isinstance(node.this, exp.Like | exp.ILike):
                raise self.refused(node)
            escape, node = self.parts(node, "this", "expression")["expression"].name, node.this
        sides = self.parts(node, "this", "expression", "negate")
        value, pattern = self.value(sides["this"]), self.value(sides["expression"])
        if value.kind not in (TEXT, NULL):
            raise self.fault(f": {shown(sides['this'])} is {named(value)}; patterns are for texts")
        if pattern.kind != TEXT or not pattern.is_constant:
            raise self.fault(
                f": the pattern {shown(sides['expression'])} has to be a text in quotes"
            )
        written = pattern.constant
        if escape is not None:
            written = self.guarded(lambda: patterns.with_escape(written, escape))
        found = self.guarded(lambda: PATTERNS[type(node)](value, written))
        return flag(~found.expr) if "negate" in sides else found

    def guarded(self, build: Callable[[], Any]) -> Any:
        """What `build` gives; its faults name the expression."""
        try:
            return build()
        except BadExpression as error:
            raise self.fault(f": {error}") from None

    def function(self, name: str, nodes: Sequence[exp.Expr], node: exp.Expr) -> Value:
        """A call of a function on the list; raises BadExpression for other names and arguments."""
        values = self.values(nodes)
        return self.guarded(lambda: call(self.steps, name, values, shown(node)))


def as_moment(steps: Steps, value: Value) -> Value:
    """A text in quotes as the date or timestamp that it spells; other values stay as they are."""
    if value.kind != TEXT or not value.is_constant:
        return value
    return cast(steps, value, TIMESTAMP if len(value.constant) > len("2024-01-31") else DATE)
