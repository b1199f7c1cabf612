"""Nodes with a shape of their own: columns, literals, IS, IN, BETWEEN, CASE, casts, calls."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import polars as pl
from sqlglot import exp

from pairmill.schemas.sql import arithmetic
from pairmill.schemas.sql.casts import cast, kind_of_type
from pairmill.schemas.sql.columns import duration, from_column, from_expr
from pairmill.schemas.sql.functions import call
from pairmill.schemas.sql.habits import hint, quoting
from pairmill.schemas.sql.parsing import shown
from pairmill.schemas.sql.values import (
    NULL,
    NUMBER,
    TEXT,
    UnknownColumn,
    Value,
    advised,
    as_type,
    common_type,
    constant,
    flag,
    merged,
    named,
    null,
    together,
)

if TYPE_CHECKING:
    from pairmill.schemas.sql.nodes import Compiler

UNIT_US = {
    "WEEK": 604_800_000_000,
    "DAY": 86_400_000_000,
    "HOUR": 3_600_000_000,
    "MINUTE": 60_000_000,
    "SECOND": 1_000_000,
}


def column(compiler: "Compiler", node: exp.Expr) -> Value:
    """A column, or a struct's field as `struct.field`; raises UnknownColumn for other names."""
    given = compiler.parts(node, "this", "table")
    name = node.name
    if "table" in given:
        return field_of(compiler, given["table"].name, name, node)
    if name not in compiler.schema:
        remedy = quoting(node) or hint(compiler.text)
        raise UnknownColumn(advised(compiler.unknown(name), remedy), name)
    if name not in compiler.columns:
        value = from_column(name, compiler.schema[name])
        untouched = value.expr.meta.eq(pl.col(name))
        compiler.columns[name] = value if untouched else compiler.steps.kept(value)
    return compiler.columns[name]


def field_of(compiler: "Compiler", name: str, member: str, node: exp.Expr) -> Value:
    """A field of a struct column; raises UnknownColumn where there is no such column, BadExpression
    where it is no struct or has no such field.
    """
    dtype = compiler.schema.get(name)
    if dtype is None:
        raise UnknownColumn(compiler.unknown(name), name)
    if not isinstance(dtype, pl.Struct):
        raise compiler.fault(f": {name} is no struct, so there is no {shown(node)}")
    types: dict[str, Any] = dict(dtype.to_schema())
    if member not in types:
        raise compiler.fault(f": {name} has no {member} (it has: {', '.join(types)})")
    compiler.columns.setdefault(name, from_column(name, dtype))
    return compiler.steps.kept(from_expr(pl.col(name).struct.field(member), types[member]))


def literal(compiler: "Compiler", node: exp.Expr) -> Value:
    """A number or a text in quotes; raises BadExpression for a number that is too large."""
    written = node.name
    if node.args.get("is_string"):
        return constant(written)
    try:
        number: int | float = int(written) if written.isdigit() else float(written)
    except ValueError:
        raise compiler.fault(f": {written} is no number") from None
    value: Value = compiler.guarded(lambda: constant(number))
    return value


def boolean(compiler: "Compiler", node: exp.Expr) -> Value:
    """TRUE or FALSE."""
    return constant(bool(node.this))


def nothing(compiler: "Compiler", node: exp.Expr) -> Value:
    """NULL, which has no type of its own."""
    return null()


def paren(compiler: "Compiler", node: exp.Expr) -> Value:
    """What stands in parentheses."""
    return compiler.value(compiler.parts(node, "this")["this"])


def negation(compiler: "Compiler", node: exp.Expr) -> Value:
    """NOT of a truth value, null for null."""
    return flag(~compiler.flag(compiler.parts(node, "this")["this"], "NOT"))


def minus(compiler: "Compiler", node: exp.Expr) -> Value:
    """A number with the other sign; raises BadExpression for other kinds of values."""
    value = compiler.value(compiler.parts(node, "this")["this"])
    if value.kind == NULL:
        return value
    if value.kind != NUMBER:
        raise compiler.fault(f": {shown(node)}: {shown(node.this)} is {named(value)}")
    return arithmetic.negate(compiler.steps, value)


def bitwise_not(compiler: "Compiler", node: exp.Expr) -> Value:
    """`~a` of a whole number, as -1 - a; raises BadExpression for other values."""
    value = compiler.value(compiler.parts(node, "this")["this"])
    if not value.whole:
        raise compiler.fault(f": {shown(node)} takes a whole number{hint(compiler.text)}")
    return arithmetic.subtract(compiler.steps, constant(-1), value)


def is_(compiler: "Compiler", node: exp.Expr) -> Value:
    """IS [NOT] NULL, TRUE, FALSE, UNKNOWN."""
    sides = compiler.parts(node, "this", "expression", "negate")
    what = sides["expression"]
    if isinstance(what, exp.Null):
        found = compiler.value(sides["this"]).expr.is_null()
    elif isinstance(what, exp.Boolean):
        operand = compiler.flag(sides["this"], f"IS {shown(what)}")
        found = (operand if what.this else ~operand).fill_null(False)
    else:
        raise compiler.fault(f": write IS NULL, IS TRUE or IS FALSE in place of {shown(node)}")
    return flag(~found if "negate" in sides else found)


def in_(compiler: "Compiler", node: exp.Expr) -> Value:
    """IN and NOT IN of a list of values: null where nothing equals and a NULL is among the items;
    raises BadExpression for a subquery, an empty list and kinds that cannot be compared.
    """
    given = compiler.parts(node, "this", "expressions", "query", "field", "unnest", "negate")
    if "expressions" not in given:
        if set(given) - {"this", "negate"}:
            raise compiler.fault(": IN takes a list in parentheses, as in lang IN ('en', 'de')")
        raise compiler.fault(": IN () has no items")
    values = compiler.agreeing([given["this"], *given["expressions"]])
    items = [v for v in values[1:] if v.kind != NULL]
    if values[0].kind in (NUMBER, TEXT) and all(v.is_constant for v in items):
        dtype = common_type([values[0], *items])
        constants = [float(v.constant) if dtype.is_float() else v.constant for v in items]
        listed = pl.lit(pl.Series(constants, dtype=dtype)).implode()
        found = as_type(values[0], dtype).is_in(listed)
    else:
        first, *others = together(values)
        first = compiler.steps.keep(first)
        found = pl.any_horizontal([first == other for other in others])
    if len(items) < len(values) - 1:  # a NULL among the items: no match is not known to be none
        found = pl.when(found).then(True)
    return flag(~found if "negate" in given else found)


def between(compiler: "Compiler", node: exp.Expr) -> Value:
    """BETWEEN and NOT BETWEEN, both bounds included; null where a bound that matters is null."""
    given = compiler.parts(node, "this", "low", "high", "negate")
    nodes = [given["this"], given["low"], given["high"]]
    values = compiler.agreeing(nodes)
    values[0] = compiler.steps.kept(values[0])
    above, low = together([values[0], values[1]])
    below, high = together([values[0], values[2]])
    found = (above >= low) & (below <= high)
    return flag(~found if "negate" in given else found)


def case(compiler: "Compiler", node: exp.Expr) -> Value:
    """CASE in both forms: the answer of the first condition that is true, else that of ELSE, or
    null.
    """
    given = compiler.parts(node, "this", "ifs", "default")
    ifs = [compiler.parts(i, "this", "true") for i in given["ifs"]]
    if "this" in given:
        values = compiler.agreeing([given["this"], *(i["this"] for i in ifs)])
        values[0] = compiler.steps.kept(values[0])
        tests = [together([values[0], v]) for v in values[1:]]
        conditions = [a == b for a, b in tests]
    else:
        conditions = [compiler.flag(i["this"], "WHEN") for i in ifs]
    answers = [i["true"] for i in ifs] + ([given["default"]] if "default" in given else [])
    branches = compiler.agreeing(answers)
    exprs = together(branches)
    chosen: Any = pl
    for condition, expr in zip(conditions, exprs, strict=False):
        chosen = chosen.when(condition).then(expr)
    if "default" in given:
        chosen = chosen.otherwise(exprs[-1])
    return merged(branches, chosen)


def cast_(compiler: "Compiler", node: exp.Expr) -> Value:
    """CAST and TRY_CAST are the same: what cannot be converted is null."""
    given = compiler.parts(node, "this", "to", optional=("safe", "_type"))
    value = compiler.value(given["this"])
    target: Value = compiler.guarded(
        lambda: cast(compiler.steps, value, kind_of_type(given["to"], shown(given["to"])))
    )
    return target


def interval(compiler: "Compiler", node: exp.Expr) -> Value:
    """INTERVAL '3 days', with units of fixed length."""
    given = compiler.parts(node, "this", "unit")
    unit = given["unit"].name.upper().rstrip("S") if "unit" in given else ""
    try:
        amount = float(given["this"].name)
    except ValueError:
        unit = ""
    if unit not in UNIT_US:
        raise compiler.fault(f": {shown(node)} is no interval such as INTERVAL '3 days'")
    return duration(pl.lit(round(amount * UNIT_US[unit]), dtype=pl.Int64))


def bracket(compiler: "Compiler", node: exp.Expr) -> Value:
    """`tags[1]`, counted from 1."""
    given = compiler.parts(node, "this", "expressions", optional=("offset", "safe"))
    index = given["expressions"][0]
    if len(given["expressions"]) != 1 or not isinstance(index, exp.Literal) or index.is_string:
        raise compiler.fault(f": {shown(node)}: write a number in the brackets, or ARRAY_GET")
    place = int(index.name) + (1 if given.get("offset") is None else 1 - int(given["offset"]))
    found: Value = compiler.guarded(
        lambda: call(
            compiler.steps,
            "ARRAY_GET",
            [compiler.value(given["this"]), constant(place)],
            shown(node),
        )
    )
    return found


def anonymous(compiler: "Compiler", node: exp.Expr) -> Value:
    """A call of a function that the parser has no node for."""
    given = compiler.parts(node, "this", "expressions")
    return compiler.function(str(given["this"]), given.get("expressions", []), node)


def trim(compiler: "Compiler", node: exp.Expr) -> Value:
    """TRIM with its position: LEADING is LTRIM, TRAILING is RTRIM."""
    given = compiler.parts(node, "this", "expression", "position")
    name = {"LEADING": "LTRIM", "TRAILING": "RTRIM"}.get(str(given.get("position")), "TRIM")
    return compiler.function(name, [given[p] for p in ("this", "expression") if p in given], node)


def extract_(compiler: "Compiler", node: exp.Expr) -> Value:
    """EXTRACT(part FROM value), as DATE_PART."""
    given = compiler.parts(node, "this", "expression")
    part = exp.Literal.string(given["this"].name)
    return compiler.function("DATE_PART", [part, given["expression"]], node)


def normalize(compiler: "Compiler", node: exp.Expr) -> Value:
    """NORMALIZE with its form as a bare word, such as NFKC."""
    given = compiler.parts(node, "this", "form")
    form = [exp.Literal.string(given["form"].name)] if "form" in given else []
    return compiler.function("NORMALIZE", [given["this"], *form], node)


LEAVES: Mapping[type, Callable[["Compiler", exp.Expr], Value]] = {
    exp.Column: column,
    exp.Literal: literal,
    exp.Boolean: boolean,
    exp.Null: nothing,
    exp.Paren: paren,
    exp.Not: negation,
    exp.Neg: minus,
    exp.BitwiseNot: bitwise_not,
    exp.Is: is_,
    exp.In: in_,
    exp.Between: between,
    exp.Case: case,
    exp.Cast: cast_,
    exp.TryCast: cast_,
    exp.Interval: interval,
    exp.Bracket: bracket,
    exp.Anonymous: anonymous,
    exp.Trim: trim,
    exp.Extract: extract_,
    exp.Normalize: normalize,
}
