"""The rows that choices looked at, with their groups and costs."""

from collections.abc import Sequence

import polars as pl
import pyarrow as pa

from pairmill.plan.choices import Choice
from pairmill.schemas.expressions import compile_expression


def with_choices(
    part: pl.DataFrame, choices: Sequence[Choice], schema: pa.Schema
) -> tuple[pl.DataFrame, list[str]]:
    """Adds the group and the cost of each row; gives the names of all columns of the choices."""
    made: list[pl.Expr | pl.Series] = []
    names: list[str] = []
    for choice in choices:
        names += choice.marks()
        if choice.per:
            made.append(choice.groups(part))
            names.append(choice.group)
        if choice.cost:
            known = choice.cost in part.columns
            cost = part[choice.cost] if known else computed(choice.cost, part, schema)
            made.append(cost.cast(pl.Float64).alias(choice.cost_column))
            names.append(choice.cost_column)
    return part.with_columns(made), list(dict.fromkeys(names))


def computed(text: str, part: pl.DataFrame, schema: pa.Schema) -> pl.Series:
    """An expression's value for each row."""
    return compile_expression(text, schema)[0].evaluate(part)


def arrived(frame: pl.DataFrame, choice: Choice) -> pl.DataFrame:
    """The rows that a choice looked at, with `#times` (0 for those it left out), `#chosen`,
    `#control`.
    """
    times = pl.col(choice.column).cast(pl.Int64).clip(lower_bound=0)
    drawn = pl.col(choice.control).fill_null(False) if choice.control else pl.lit(False)
    there = frame.filter(pl.col(choice.column).is_not_null())
    return there.with_columns(
        times.alias("#times"), (times > 0).alias("#chosen"), drawn.alias("#control")
    )
