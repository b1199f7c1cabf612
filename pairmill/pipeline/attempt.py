"""Calling a stage: failing rows are found by bisection, and a broken stage is told from broken rows."""

import traceback
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pairmill.errors import PairmillError, StageBroken, StageFailed
from pairmill.images import first_line
from pairmill.pipeline.chain import PlannedStage
from pairmill.schemas.arrow import ERROR, error_array
from pairmill.stages.base import Stage

LEAST_FAILURES = 20
"""Failures that are too few to judge a stage by."""
ALL_FAILED = 5
"""Rows that a stage may fail on, all of them, in a small shard before that is the stage's fault."""


Report = Callable[[dict[str, Any]], None]


class Attempt:
    """Calls a stage; finds failing rows by bisection; tells a broken stage from broken rows."""

    def __init__(self, planned: PlannedStage, stage: Stage, report: Report = lambda told: None, sound_before: int = 0) -> None:
        self.planned, self.stage, self.report = planned, stage, report
        self.raised, self.fine = 0, sound_before
        self.first: tuple[str, str] | None = None

    def answer(self, batch: pa.Table) -> pa.Table:
        try:
            table = checked(self.planned, self.stage(batch), batch.num_rows)
        except PairmillError:
            raise
        except Exception as error:  # a stage may raise anything on a row
            if batch.num_rows > 1:
                half = batch.num_rows // 2
                return pa.concat_tables([self.answer(batch.slice(0, half)), self.answer(batch.slice(half))])
            self.raised += 1
            told = (type(error).__name__, first_line(error))
            if self.first is None:
                self.first = told
                self.report({"log": f"stage {self.planned.name} failed on a row\n{traceback.format_exc()}"})
            return failure(self.planned.writes, told)
        self.fine += batch.num_rows
        return table

    def judge(self) -> None:
        """Raises StageFailed where the stage raised on every row it saw."""
        limit = self.planned.config.max_failures
        if self.first and self.fine == 0 and self.raised >= ALL_FAILED and limit < 1:
            raise StageFailed(self.planned.name, self.raised, self.raised, *self.first, limit)


def failure(writes: pa.Schema, told: tuple[str, str]) -> pa.Table:
    columns = {f.name: pa.nulls(1, f.type) for f in writes}
    return pa.table({**columns, "error": error_array([told])})


def checked(planned: PlannedStage, answer: Any, rows: int) -> pa.Table:
    """A stage's answer with the declared columns and types, NaN as null; raises StageBroken."""
    name = planned.name
    if not isinstance(answer, pa.Table) or answer.num_rows != rows:
        found = f"{answer.num_rows} rows" if isinstance(answer, pa.Table) else type(answer).__name__
        raise StageBroken(f"stage {name!r} answered {rows} rows with {found}; it must give one row for each, in order")
    columns: dict[str, pa.Array] = {}
    for declared in planned.writes:
        if declared.name not in answer.schema.names:
            raise StageBroken(
                f"stage {name!r} declares the column {declared.name!r} and does not give it (gives: {', '.join(answer.schema.names)})"
            )
        values = answer.column(declared.name).combine_chunks()
        if pa.types.is_floating(values.type):
            values = pc.if_else(pc.is_nan(values), pa.scalar(None, values.type), values)
        try:
            columns[declared.name] = values if values.type == declared.type else values.cast(declared.type)
        except pa.ArrowInvalid as error:
            raise StageBroken(
                f"stage {name!r}: column {declared.name!r} is {values.type}, declared {declared.type}: {first_line(error)}"
            ) from None
    errors = answer.column("error").combine_chunks() if "error" in answer.schema.names else pa.nulls(rows, ERROR)
    return pa.table({**columns, "error": errors.cast(ERROR)})
