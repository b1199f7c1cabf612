"""Calling a stage: failing rows are found by bisection, deadly ones by halving what took earlier
processes down, and a broken stage is told from broken rows.
"""

import threading
import traceback
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pairmill.errors import PairmillError, StageBroken, StageFailed, StageHung, first_line
from pairmill.plan.chain import PlannedStage
from pairmill.schemas.arrow import ERROR, error_array
from pairmill.stages.base import Stage
from pairmill.work.claims import Past, Rows
from pairmill.work.deadline import Watchdog
from pairmill.work.line import Line

LEAST_FAILURES = 20
"""Failures that are too few to judge a stage by."""
ALL_FAILED = 5
"""Rows that a stage may fail on, all of them, in a small shard before that is the stage's fault."""


ONE_SUSPECT = threading.RLock()
"""Where earlier processes died, threads of one process take turns, so that a death has one suspect.
"""


class Attempt:
    """Calls a stage on batches of one shard; finds failing rows; tells a broken stage from broken
    rows.

    `line` knows what earlier attempts at the shard died of; `watchdog` ends calls that outlive the
    stage's deadline.
    """

    def __init__(
        self, planned: PlannedStage, stage: Stage, line: Line | None = None, watchdog: Watchdog | None = None,
        shard: int = 0, sound: int = 0, past: Past | None = None,
    ) -> None:  # fmt: skip
        self.planned, self.stage, self.shard = planned, stage, shard
        self.line, self.watchdog = line or Line(), watchdog or Watchdog()
        self.past = past or self.line.begin(planned.column_set, shard)
        self.raised, self.fine = 0, sound
        self.first: tuple[str, str] | None = None

    def compute(self, batch: pa.Table, numbers: np.ndarray, halved: bool = False) -> pa.Table:
        """The stage's columns and errors for rows `numbers` of the shard; no row takes the run down
        a third time.
        """
        rows = (int(numbers[0]), int(numbers[-1]), len(numbers))
        if self.past.guilty(rows, halved):
            return self.guilty(batch, numbers, rows)
        if self.past.attempts == 1:
            return self.answer(batch, numbers)
        with ONE_SUSPECT:
            self.line.claim(self.planned.column_set, self.shard, rows)
            answer = self.answer(batch, numbers)
            self.spare()
        return answer

    def spare(self) -> None:
        self.line.spare(self.planned.column_set, self.shard)

    def guilty(self, batch: pa.Table, numbers: np.ndarray, rows: Rows) -> pa.Table:
        config = self.planned.config
        hung = rows in self.past.hung
        if hung and config.on_deadline == "stop":
            raise StageHung(self.planned.name, self.shard, rows, config.deadline_s)
        if len(numbers) > 1:
            return self.halves(batch, numbers)
        if hung:
            told = ("deadline", f"no answer within {config.deadline_s:g} s")
        else:
            told = (
                "worker_died",
                f"the worker's process ended {self.past.deaths[rows]} times while it computed this row",
            )
        self.tell(rows[0], told[1])
        self.raised, self.first = self.raised + 1, self.first or told
        self.judge()
        return failure(self.planned.writes, told)

    def halves(self, batch: pa.Table, numbers: np.ndarray) -> pa.Table:
        """Each half asks anew what earlier attempts died of: rows that raise and rows that hang may
        share a batch.
        """
        half = len(numbers) // 2
        parts = ((batch.slice(0, half), numbers[:half]), (batch.slice(half), numbers[half:]))
        return pa.concat_tables([self.compute(*part, halved=True) for part in parts])

    def tell(self, row: int, message: str, trace: str = "") -> None:
        """A failure for the run's log."""
        facts: dict[str, Any] = {"stage": self.planned.name, "shard": self.shard, "row": row}
        self.line.report({"log": message, "facts": facts | ({"traceback": trace} if trace else {})})

    def overdue(self, numbers: np.ndarray) -> None:
        rows = (int(numbers[0]), int(numbers[-1]), len(numbers))
        self.line.hang(self.planned.column_set, self.shard, rows)

    def answer(self, batch: pa.Table, numbers: np.ndarray) -> pa.Table:
        try:
            with self.watchdog.call(
                self.planned.config.deadline_s, lambda: self.overdue(numbers), self.spare
            ):
                answer = self.stage(batch)
            table = checked(self.planned, answer, batch.num_rows)
        except PairmillError:
            raise
        except Exception as error:  # a stage may raise anything on a row
            if batch.num_rows > 1:
                return self.halves(batch, numbers)
            self.raised += 1
            told = (type(error).__name__, first_line(error))
            if self.first is None:
                self.first = told
                self.tell(int(numbers[0]), f"{told[0]}: {told[1]}", traceback.format_exc())
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
        raise StageBroken(
            f"stage {name!r} answered {rows} rows with {found}; it must give one row for each, in order"
        )
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
            columns[declared.name] = (
                values if values.type == declared.type else values.cast(declared.type)
            )
        except pa.ArrowInvalid as error:
            raise StageBroken(
                f"stage {name!r}: column {declared.name!r} is {values.type}, declared {declared.type}: {first_line(error)}"
            ) from None
    errors = (
        answer.column("error").combine_chunks()
        if "error" in answer.schema.names
        else pa.nulls(rows, ERROR)
    )
    return pa.table({**columns, "error": errors.cast(ERROR)})
