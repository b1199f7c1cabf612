"""Calling a stage: failing rows are found by bisection, deadly ones by halving what took earlier
processes down, and a broken stage is told from broken rows.
"""

import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pairmill.errors import (
    PairmillError,
    RowError,
    StageBroken,
    StageFailed,
    first_line,
    kind_of,
    raised_at,
)
from pairmill.plan.chain import PlannedStage
from pairmill.schemas.arrow import ERROR, error_array
from pairmill.stages.base import Stage
from pairmill.texts.amounts import amount
from pairmill.work.claims import Past, RowRange, WorkPlace
from pairmill.work.deadline import Limited, Watchdog
from pairmill.work.line import Line
from pairmill.work.messages import WorkerLog

LEAST_FAILURES = 20
"""Failures that are too few to judge a stage by."""
ALL_FAILED = 5
"""Rows that a stage may fail on, all of them, in a small shard before that is the stage's fault."""
PROBED_UP_TO = 0.5
"""Up to this `max_failures`, rows that all fail tell of a broken stage: that so many fail by chance
is unlikely where most rows may not.
"""

ONE_SUSPECT = threading.RLock()
"""Where earlier processes died, threads of one process take turns, so that a death has one suspect.
"""


class Attempt:
    """Calls a stage on batches of one shard; finds failing rows; tells a broken stage from broken
    rows.

    `line` knows what earlier attempts at the shard died of; `watchdog` ends calls that outlive the
    stage's deadline; `sound`: rows of the shard that are stored already and did not fail.
    """

    def __init__(
        self,
        planned: PlannedStage,
        stage: Stage,
        place: WorkPlace,
        line: Line,
        watchdog: Watchdog,
        past: Past,
        sound: int = 0,
    ) -> None:
        self.planned, self.stage, self.place = planned, stage, place
        self.line, self.watchdog, self.past = line, watchdog, past
        self.raised, self.fine = 0, sound
        self.first: tuple[str, str] | None = None
        """Class and message of the first failure, with file and line."""
        self.probed = False

    def compute(self, batch: pa.Table, numbers: np.ndarray, halved: bool = False) -> pa.Table:
        """The stage's columns and errors for rows `numbers` of the shard; no row takes the run down
        a third time.
        """
        task = RowRange.of(numbers)
        if self.past.guilty(task, halved):
            return self.guilty(batch, numbers, task)
        if self.past.attempts == 1:
            return self.answer(batch, numbers)
        with ONE_SUSPECT:
            self.line.claim(self.place, task)
            answer = self.answer(batch, numbers)
            self.line.spare(self.place)
        return answer

    def call(self, task: RowRange) -> Limited:
        """A call of the stage, with its deadline."""
        deadline_s = self.planned.config.deadline_s
        return Limited(self.line, self.planned, self.place, task, deadline_s)

    def guilty(self, batch: pa.Table, numbers: np.ndarray, task: RowRange) -> pa.Table:
        """What becomes of a batch that hung, or took processes down."""
        config = self.planned.config
        late = task in self.past.hung
        if late and config.on_deadline == "stop":
            raise self.call(task).error()
        if len(numbers) > 1:
            return self.halves(batch, numbers)
        if late:
            reason = ("deadline", f"no answer within {config.deadline_s:g} s")
        else:
            times = self.past.deaths[task]
            reason = (
                "worker_died",
                f"the worker's process ended {times} times while it computed this row",
            )
        self.report(task.first, reason[1])
        self.raised, self.first = self.raised + 1, self.first or reason
        self.judge()
        return failure(self.planned.writes, reason)

    def halves(self, batch: pa.Table, numbers: np.ndarray) -> pa.Table:
        """Each half asks anew what earlier attempts died of: rows that raise and rows that hang may
        share a batch.
        """
        half = len(numbers) // 2
        parts = ((batch.slice(0, half), numbers[:half]), (batch.slice(half), numbers[half:]))
        return pa.concat_tables([self.compute(*part, halved=True) for part in parts])

    def report(self, row: int, message: str, trace: str = "") -> None:
        """A failure for the run's log."""
        name, shard = self.planned.name, self.place.shard
        self.line.report(WorkerLog(message, name, shard, row, traceback=trace))

    def answer(self, batch: pa.Table, numbers: np.ndarray) -> pa.Table:
        """The stage's answer, or those of its halves where it raises."""
        try:
            answer = self.watchdog.run(lambda: self.stage(batch), self.call(RowRange.of(numbers)))
            table = checked(self.planned, answer, batch.num_rows)
        except PairmillError:
            raise
        except RowError as error:
            if batch.num_rows > 1:
                return self.halves(batch, numbers)
            self.fine += 1
            return failure(self.planned.writes, (error.kind, str(error)))
        except Exception as error:  # a stage may raise anything on a row
            if batch.num_rows > 1:
                self.probe(batch, numbers)
                return self.halves(batch, numbers)
            self.raised += 1
            reason = self.fail(int(numbers[0]), error)
            return failure(self.planned.writes, reason)
        self.fine += batch.num_rows
        return table

    def probe(self, batch: pa.Table, numbers: np.ndarray) -> None:
        """Raises StageFailed where a stage that raised on its first batch of a shard raises on each
        of some rows from all over it, too, and no row was fine so far: to look for the failing rows
        of a broken stage would take twice as many calls as there are rows.
        """
        limit, probed = self.planned.config.max_failures, self.probed
        self.probed = True
        if probed or self.fine or len(numbers) < ALL_FAILED or self.past.attempts > 1:
            return
        if limit > PROBED_UP_TO:
            return
        first: BaseException | None = None
        for at in np.linspace(0, len(numbers) - 1, ALL_FAILED).astype(int):
            part = slice(int(at), int(at) + 1)
            one = batch.slice(part.start, 1)
            try:
                call = self.call(RowRange.of(numbers[part]))
                checked(self.planned, self.watchdog.run(partial(self.stage, one), call), 1)
            except PairmillError:
                raise
            except Exception as error:  # a stage may raise anything on a row
                first = first or error
            else:
                return
        assert first is not None
        self.fail(int(numbers[0]), first)
        assert self.first is not None
        raise StageFailed(self.planned.name, ALL_FAILED, ALL_FAILED, *self.first, limit)

    def fail(self, row: int, error: BaseException) -> tuple[str, str]:
        """(class, message) of a row's failure; the first of a shard goes to the run's log."""
        reason = (kind_of(error), first_line(error))
        if self.first is None:
            self.first = (reason[0], reason[1] + raised_at(error))
            trace = "".join(traceback.format_exception(error))
            self.report(row, ": ".join(self.first), trace)
        return reason

    def judge(self) -> None:
        """Raises StageFailed where the stage raised on every row it saw."""
        limit = self.planned.config.max_failures
        if self.first and self.fine == 0 and self.raised >= ALL_FAILED and limit < 1:
            raise StageFailed(self.planned.name, self.raised, self.raised, *self.first, limit)


def batched(
    attempt: Attempt,
    rows: Callable[[np.ndarray], pa.Table],
    todo: np.ndarray,
    numbers: np.ndarray,
) -> Iterator[tuple[np.ndarray, pa.Table]]:
    """(row numbers, answers) of batches cut from the beginning of `todo`, places in a block, so
    that an interruption moves no boundary.  `numbers`: row number of each place.
    """
    size = attempt.planned.config.batch_size
    chunks = [todo[first : first + size] for first in range(0, len(todo), size)]
    batches = map(rows, chunks)
    ahead = attempt.stage.ahead if attempt.past.attempts == 1 else 0  # a death has one suspect
    known = deque(islice(batches, 1))
    for chunk in chunks:
        for batch in islice(batches, max(ahead, 1) + 1 - len(known)):
            known.append(batch)
            if ahead:
                attempt.stage.prepare(batch)
        yield numbers[chunk], attempt.compute(known.popleft(), numbers[chunk])


def failure(writes: pa.Schema, reason: tuple[str, str]) -> pa.Table:
    """The answer for one row that failed."""
    columns = {f.name: pa.nulls(1, f.type) for f in writes}
    return pa.table({**columns, "error": error_array([reason])})


def checked(planned: PlannedStage, answer: Any, rows: int) -> pa.Table:
    """A stage's answer with the declared columns and types, NaN as null; raises StageBroken."""
    name = planned.name
    if not isinstance(answer, pa.Table) or answer.num_rows != rows:
        found = (
            amount(answer.num_rows, "row")
            if isinstance(answer, pa.Table)
            else type(answer).__name__
        )
        raise StageBroken(
            f"stage {name!r} answered {amount(rows, 'row')} with {found}; it must give one row "
            "for each, in order"
        )
    columns: dict[str, pa.ChunkedArray] = {}
    for declared in planned.writes:
        if answer.schema.names.count(declared.name) != 1:
            given = answer.schema.names.count(declared.name)
            raise StageBroken(
                f"stage {name!r} declares the column {declared.name!r} and "
                f"{'does not give it' if not given else f'gives it {given} times'} "
                f"(gives: {', '.join(answer.schema.names)})"
            )
        values = answer.column(declared.name)
        if pa.types.is_floating(values.type) and pc.any(pc.is_nan(values)).as_py():
            values = pc.if_else(pc.is_nan(values), pa.scalar(None, values.type), values)
        columns[declared.name] = cast(name, declared.name, values, declared.type)
    if "error" not in answer.schema.names:
        return pa.table({**columns, "error": pa.nulls(rows, ERROR)})
    errors = cast(name, "error", answer.column("error").combine_chunks(), ERROR)
    return pa.table({**columns, "error": with_classes(errors)})


def cast(stage: str, column: str, values: Any, wanted: pa.DataType) -> Any:
    """Values as they were declared; raises StageBroken where they are something else."""
    try:
        return values if values.type == wanted else values.cast(wanted)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
        raise StageBroken(
            f"stage {stage!r}: column {column!r} is {values.type}, declared "
            f"{wanted}: {first_line(error)}"
        ) from None


def with_classes(errors: pa.Array) -> pa.Array:
    """Errors of which each has a class, by which people ask for it."""
    classes = pc.struct_field(errors, "class")
    nameless = pc.and_(errors.is_valid(), pc.equal(pc.fill_null(classes, ""), ""))
    if not pc.any(nameless).as_py():
        return errors
    return error_array(
        None if e is None else (e["class"] or "", e["message"] or "") for e in errors.to_pylist()
    )
