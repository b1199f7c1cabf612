"""Rows of one shard on their way through the loop of an `AsyncStage`."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from pairmill.errors import StageExit, StageFailed, first_line, kind_of
from pairmill.stages.asynchronous import SLICE, AsyncStage, failure_of
from pairmill.work.attempt import ALL_FAILED, PROBED_UP_TO, Attempt, checked
from pairmill.work.claims import RowRange
from pairmill.work.deadline import Limited


@dataclass(frozen=True)
class Late:
    """Stands for the answer of a row that was given up at its deadline."""

    message: str


LONGEST_WAIT_S = 60.0
"""Seconds after which a shard's thread looks at what has been answered, at the latest."""
Rows = Callable[[np.ndarray], pa.Table]
"""Places in a block → the rows there, as the stage reads them."""


class Stream:
    """Rows of one shard in the loop of a stage: some are under way, the others wait for a place.

    All methods but `take` and `cancel` run in the loop.
    """

    def __init__(self, attempt: Attempt, rows: Rows, todo: np.ndarray) -> None:
        stage = attempt.stage
        assert isinstance(stage, AsyncStage)
        self.attempt, self.stage, self.rows, self.todo = attempt, stage, rows, todo
        self.deadline_s = attempt.planned.config.deadline_s if stage.leaves_late_rows() else None
        self.turn = attempt.place.shard or 0
        most = min(len(todo), stage.at_once()) - 1
        self.probes = set(np.linspace(0, most, ALL_FAILED).astype(int))
        """Rows by which a broken stage is told from broken rows, as long as they are under way."""
        self.answered: list[tuple[int, Any]] = []
        """(index in `todo`, answer) of rows that are done and were not taken yet."""
        self.left = len(todo)
        self.fatal: BaseException | None = None
        self.overdue = self.cancelled = False
        """The next answer is waited for; no answer is any more."""
        self.tasks: set[asyncio.Task[None]] = set()
        self.news = asyncio.Event()
        stage.enders.add(self.end)
        if stage.halted:
            self.fatal = stage.has_ended()
        self.feeder = self.stage.started(self.feed())

    def take(self, wait_s: float) -> list[tuple[int, Any]]:
        """What was answered within the next seconds; at once where nothing is left to wait for."""
        return self.stage.wait_for(self.gathered(wait_s))

    def cancel(self) -> None:
        """Ends what is still under way."""
        self.cancelled = True
        self.stage.enders.discard(self.end)
        self.feeder.cancel()
        with contextlib.suppress(RuntimeError):  # the loop has ended, and they with it
            self.stage.loop.call_soon_threadsafe(self.cancel_tasks)

    def cancel_tasks(self) -> None:
        """Ends the rows that were begun."""
        for task in list(self.tasks):
            task.cancel()

    async def gathered(self, wait_s: float) -> list[tuple[int, Any]]:
        """See `take`; never ends where no row is answered and none can be given up."""
        if self.fatal is None:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self.news.wait(), wait_s)
        while not self.answered and not self.fatal and not self.stage.leaves_late_rows():
            self.overdue = True
            self.news.clear()
            await self.news.wait()  # unless the watchdog has enough
        self.overdue = False
        self.news.clear()
        if self.fatal is not None and not self.answered:  # what was answered may have been paid
            raise self.fatal
        answered, self.answered = self.answered, []
        return answered

    async def feed(self) -> None:
        """Begins rows in order, as places come free."""
        try:
            for first in range(0, len(self.todo), SLICE):
                rows = self.rows(self.todo[first : first + SLICE]).to_pylist()
                for at, row in enumerate(rows, first):
                    await self.stage.places.enter(self.turn)
                    if self.fatal is not None:  # nobody takes what would be answered
                        self.stage.places.leave()
                        return
                    task = asyncio.ensure_future(self.one(at, row))
                    self.tasks.add(task)
                    task.add_done_callback(self.tasks.discard)
        except Exception as error:
            self.end(error)

    async def one(self, at: int, row: dict[str, Any]) -> None:
        """A row, within its deadline; its place is free when it is answered."""
        answer: Any
        try:
            answer = await asyncio.wait_for(self.stage.answered(row), self.deadline_s)
        except asyncio.TimeoutError:
            answer = Late(f"no answer within {self.deadline_s:g} s")
        except Exception as error:  # of pairmill's own: it ends the run
            self.end(error)
            return
        except (asyncio.CancelledError, GeneratorExit) as error:
            if self.cancelled or self.stage.leaving:
                raise
            answer = StageExit(kind_of(error), first_line(error))  # the stage's own
        finally:
            self.stage.places.leave()
        self.answered.append((at, answer))
        self.left -= 1
        last_probe = self.probes == {at}
        self.probes.discard(at)
        if not self.left or last_probe or self.overdue or isinstance(answer, Late):
            self.news.set()

    def end(self, error: BaseException) -> None:
        """The shard cannot go on."""
        self.fatal = self.fatal or error
        self.news.set()


def streamed(
    attempt: Attempt, rows: Rows, todo: np.ndarray, numbers: np.ndarray
) -> Iterator[tuple[np.ndarray, pa.Table]]:
    """(row numbers, answers) as rows are done, in the order of the shard within each piece;
    `numbers`: row number of each place in the block.

    A call of the loop is watched like a batch: a stage that blocks its loop is found by the
    deadline, too.
    """
    stage, config = attempt.stage, attempt.planned.config
    assert isinstance(stage, AsyncStage)
    pause = min(stage.flush_s or LONGEST_WAIT_S, (config.deadline_s or LONGEST_WAIT_S) / 2)
    whole = Limited(
        attempt.line,
        attempt.planned,
        attempt.place,
        RowRange.of(numbers[todo]),
        config.deadline_s,
    )
    stream = Stream(attempt, rows, todo)
    done = 0
    try:
        while done < len(todo):
            answered = sorted(attempt.watchdog.run(lambda: stream.take(pause), whole))
            done += len(answered)
            if not answered:
                continue
            answers = [settled(attempt, int(numbers[todo[at]]), answer) for at, answer in answered]
            if not stream.probes and not attempt.probed and len(todo) >= ALL_FAILED:
                judge_first(attempt)
            places = todo[[at for at, _ in answered]]
            table = checked(attempt.planned, stage.table(answers), len(answers))
            yield numbers[places], table
    finally:
        stream.cancel()


def settled(attempt: Attempt, row: int, answer: Any) -> dict[str, Any]:
    """A row's answer, counted; what was raised becomes its failure."""
    if isinstance(answer, Exception):
        attempt.raised += 1
        attempt.fail(row, answer)
        return failure_of(answer)
    if isinstance(answer, Late):
        if attempt.planned.config.on_deadline == "stop":
            raise attempt.call(RowRange(row, row, 1)).error()
        attempt.report(row, answer.message)
        return {"error": ("deadline", answer.message)}
    attempt.fine += 1
    return dict(answer)


def judge_first(attempt: Attempt) -> None:
    """Raises StageFailed where the stage raised on all of the first rows, and none was fine."""
    attempt.probed = True
    limit = attempt.planned.config.max_failures
    if attempt.first and not attempt.fine and limit <= PROBED_UP_TO:
        raise StageFailed(
            attempt.planned.name, attempt.raised, attempt.raised, *attempt.first, limit
        )
