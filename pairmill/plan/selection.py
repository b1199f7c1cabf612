"""Which rows an output takes, and in which order: `after`, `where` and `order` of its config."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from pairmill.plan.chain import PlannedStage
from pairmill.plan.remedies import Report, advice
from pairmill.schemas.arrow import is_payload
from pairmill.schemas.expressions import (
    BadExpression,
    Expression,
    UnknownColumn,
    advised,
    compile_expression,
    compile_gate,
    unknown_column,
)
from pairmill.schemas.pipeline import OrderKey, OutputConfig

SOURCE = "source"
"""What `after:` calls the rows before any stage."""


@dataclass(frozen=True)
class Key:
    """A compiled key of an order."""

    value: Expression
    descending: bool
    groups: tuple[str | int | bool, ...] | None

    def __str__(self) -> str:
        groups = f" in the order {', '.join(map(str, self.groups))}" if self.groups else ""
        return f"{self.value.text}{groups}{' descending' if self.descending else ''}"


@dataclass(frozen=True)
class Selection:
    """The rows of an output: those that are alive after the first `upto` stages and for which
    `where` is true; `order`: the keys by which they are sorted, none if they are not.
    """

    upto: int
    where: Expression | None = None
    order: tuple[Key, ...] = ()
    repeats: str | None = None
    """Column that says how often a sample is written."""

    def columns(self) -> list[str]:
        """What has to be known of a row."""
        every = [*(self.where.columns if self.where else ())]
        if self.repeats is not None:
            every.append(self.repeats)
        return list(dict.fromkeys([*every, *(c for key in self.order for c in key.value.columns)]))


@dataclass(frozen=True)
class TableColumns:
    """What an output's rows have: the columns that they are stored with, and the stages over
    them.
    """

    schema: pa.Schema
    stages: Sequence[PlannedStage]


def selection_of(
    output: OutputConfig, path: tuple[str | int, ...], table: TableColumns, note: Report
) -> tuple[Selection, pa.Schema]:
    """The selection of an output at `path`, and the columns there are for it; notes what is
    wrong.
    """
    pool_schema, stages = table.schema, table.stages
    upto = end_of(output.after, stages)
    if upto is None:
        names = [*(s.name for s in stages), SOURCE]
        near = difflib.get_close_matches(str(output.after), names, 1)
        note(
            (*path, "after"),
            f"no stage is named {output.after!r}; "
            + (f"did you mean {near[0]!r}? " if near else "")
            + f"(stages: {', '.join(names)})",
        )
        upto = len(stages)
    places = KeyPlaces(output, path, pool_schema, stages, upto, note)
    where = places.expression(output.where, ("where",)) if output.where is not None else None
    keys = [places.key(key, ("order", i)) for i, key in enumerate(output.order)]
    repeats = places.repeats(output.repeats) if output.repeats is not None else None
    return Selection(upto, where, tuple(k for k in keys if k), repeats), places.schema


def end_of(after: str | None, stages: Sequence[PlannedStage]) -> int | None:
    """How many stages count; None where none has that name."""
    if after is None:
        return len(stages)
    found = [s.index + 1 for s in stages if s.name == after]
    return found[0] if found else 0 if after == SOURCE else None


@dataclass(frozen=True)
class KeyPlaces:
    """What an output's expressions may read."""

    output: OutputConfig
    path: tuple[str | int, ...]
    pool_schema: pa.Schema
    stages: Sequence[PlannedStage]
    upto: int
    note: Report

    @property
    def schema(self) -> pa.Schema:
        """The columns that there are after the stages that count."""
        fields = [*self.pool_schema, *(f for s in self.stages[: self.upto] for f in s.writes)]
        return pa.schema(list({f.name: f for f in fields}.values()))  # two of a name are a fault

    def later(self, column: str | None) -> str:
        """What to do about a column that a stage behind `after:` writes."""
        writer = next((s.name for s in self.stages[self.upto :] if column in s.writes.names), None)
        if writer is None:
            return advice(column or "", [s.config.stage for s in self.stages[: self.upto]])
        return (
            f"; stage {writer!r} writes it, and this output ends `after: {self.output.after}`: "
            f"write `after: {writer}`, or leave `after` away"
        )

    def expression(self, text: str, key: tuple[str | int, ...]) -> Expression | None:
        """A true/false expression."""
        try:
            return compile_gate(text, comparable(self.schema))
        except BadExpression as error:
            remedy = self.later(error.column) if isinstance(error, UnknownColumn) else ""
            self.note((*self.path, *key), advised(str(error), remedy))
            return None

    def repeats(self, name: str) -> str | None:
        """A column of whole numbers."""
        if name not in self.schema.names:
            message = unknown_column(f"`repeats: {name}`", name, self.schema.names)
            self.note((*self.path, "repeats"), advised(message, self.later(name)))
            return None
        kind = self.schema.field(name).type
        if not pa.types.is_integer(kind):
            self.note((*self.path, "repeats"), f"{name!r} holds {kind}, and no whole numbers")
            return None
        return name

    def key(self, key: OrderKey, place: tuple[str | int, ...]) -> Key | None:
        """A key of the order."""
        at = (*self.path, *place)
        try:
            value, dtype = compile_expression(key.by, comparable(self.schema))
        except BadExpression as error:
            remedy = self.later(error.column) if isinstance(error, UnknownColumn) else ""
            self.note(at, advised(str(error), remedy))
            return None
        if dtype.is_nested():
            self.note(at, f"{key.by!r} gives {dtype}, which has no order; name a value in it")
            return None
        groups = None if key.groups is None else tuple(key.groups)
        kinds = {type(group) for group in groups or ()}
        if groups and not (len(kinds) == 1 and fits(kinds.pop(), dtype)):
            self.note((*at, "groups"), f"{key.by!r} gives {dtype}, and the groups are {key.groups}")
            return None
        return Key(value, key.descending, groups)


def fits(kind: type, dtype: object) -> bool:
    """Whether groups of a Python type can be values of a column."""
    name = str(dtype)
    if kind is str:
        return name == "String"
    return name == "Boolean" if kind is bool else name.lstrip("U").startswith("Int")


def comparable(schema: pa.Schema) -> pa.Schema:
    """The columns that an expression may read: all but payload."""
    return pa.schema([f for f in schema if not is_payload(f.type)])


def with_takers(
    stages: Sequence[PlannedStage],
    wants: Mapping[str | None, Sequence[tuple[int, Sequence[str]]]],
    table: str | None = None,
) -> list[PlannedStage]:
    """The stages over a table (None: the source's rows, else a block's), told which payload outputs
    take of rows that are alive behind them.  `wants`: by table, of each output how many stages
    count, and its payload.
    """
    taken: list[set[str]] = [set() for _ in stages]
    for upto, payload in wants.get(table, ()):
        if upto:
            taken[upto - 1].update(payload)
    found = []
    for stage, names in zip(stages, taken, strict=True):
        block = stage.block
        if block is not None:
            block = replace(block, stages=tuple(with_takers(block.stages, wants, block.name)))
        found.append(replace(stage, taken=tuple(sorted(names)), block=block))
    return found
