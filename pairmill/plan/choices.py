"""The columns in which stages choose among all rows, found by what their fields say they are."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl
import pyarrow as pa

from pairmill.plan.planned import PlannedStage
from pairmill.schemas.arrow import QUOTAS, about, doc_of, role_of
from pairmill.schemas.expression_columns import columns_of
from pairmill.schemas.group_names import group_names


@dataclass(frozen=True)
class Choice:
    """`column`: whether a row is chosen, or how often it is written (`repeated`).

    `reason`, `control`: the columns that say why, and which rows chance drew beside.  `per`: the
    columns whose values make groups, which are to have the shares `requested` (empty: equal ones;
    None: no shares are asked for) of what `cost` counts (rows where it is empty).
    """

    column: str
    stage: str
    meaning: str
    repeated: bool
    reason: str | None
    control: str | None
    per: tuple[str, ...]
    requested: dict[str, float] | None
    cost: str

    @property
    def group(self) -> str:
        """Name of the column of a row's group in the report's table of rows."""
        return f"#group {self.column}"

    @property
    def cost_column(self) -> str:
        """Name of the column of what a row costs in the report's table of rows."""
        return f"#cost {self.column}"

    def groups(self, frame: pl.DataFrame) -> pl.Series:
        """The name of each row's group: the values of `per`, joined."""
        return group_names(frame, self.per).alias(self.group)

    def marks(self) -> list[str]:
        """Its own columns."""
        return [self.column, *(c for c in (self.reason, self.control) if c)]

    def reads(self, schema: pa.Schema) -> list[str]:
        """Columns that its figures need."""
        cost = [self.cost] if self.cost in schema.names else columns_of(self.cost or "1")
        return [*self.marks(), *self.per, *cost]


def choices_of(stages: Sequence[PlannedStage], schema: pa.Schema) -> tuple[Choice, ...]:
    """The choices of a pipeline in the order of its stages."""
    return tuple(
        choice_of(stage, field, schema)
        for stage in stages
        for field in stage.writes
        if role_of(field) in ("chosen", "repeats")
    )


def choice_of(stage: PlannedStage, field: pa.Field, schema: pa.Schema) -> Choice:
    """What a field says of the choice that it holds."""
    facts = field.metadata or {}
    repeated = role_of(field) == "repeats"
    of = facts.get(b"of", b"").decode()
    asked = json.loads(facts.get(QUOTAS, b"{}"))
    if repeated:
        asked = {"requested": json.loads(facts.get(b"requested", b"{}"))}
        asked["cost"] = facts.get(b"cost", b"").decode()
    groups = of in schema.names and pa.types.is_string(schema.field(of).type)
    return Choice(
        field.name,
        stage.name,
        doc_of(field),
        repeated,
        about(stage.writes, field.name, "choice_reason"),
        about(stage.writes, field.name, "control"),
        tuple(asked.get("per") or ([of] if groups else [])),
        asked.get("requested"),
        asked.get("cost") or "",
    )
