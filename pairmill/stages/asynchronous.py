"""Stages that answer one row at a time and mostly wait: for servers, for an engine that batches by
itself.
"""

import asyncio
import concurrent.futures
import contextlib
import threading
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, ClassVar, TypeVar

import pyarrow as pa

from pairmill.errors import (
    PairmillError,
    RowError,
    StageBroken,
    StageExit,
    first_line,
    in_one_process,
    kind_of,
)
from pairmill.places import Places
from pairmill.schemas.arrow import error_array
from pairmill.stages.base import Stage

T = TypeVar("T")
Row = dict[str, Any]
SLICE = 32
"""Rows that are made Python values in one go, just before they are asked for."""


class AsyncStage(Stage):
    """A map stage that answers one row at a time, many of them at once in one event loop.

    Subclasses write `reads`, `writes` and `async def answer`; what `answer` needs (sessions,
    clients) is opened in `begin`, which runs in the loop, and closed in `end`.  The runtime owns
    the loop and whatever else is the same for all such stages: how many rows are under way over
    several shards, the deadline of each row (`deadline_s`), the order, commits every `flush_s`
    seconds, interruption, and `--retry`.
    """

    actor = True
    overlap = 3
    flush_s: ClassVar[float | None] = 5.0

    async def begin(self) -> None:
        """Opens what `answer` needs, in the loop."""

    async def answer(self, row: Row) -> Row:
        """The new columns of one row by full name; a column that is not named is null.

        A row's own failure is a RowError that is raised, or a pair (class, message) under `error`
        beside the columns that are known all the same.
        """
        raise NotImplementedError

    async def end(self) -> None:
        """Closes what `begin` opened, in the loop."""

    def at_once(self) -> int:
        """Rows that are in `answer` at the same time in one worker, over all its shards."""
        return int(self.config.batch_size)

    def leaves_late_rows(self) -> bool:
        """Whether a row that is late can be given up by itself.  False where `answer` waits for a
        thread that computes: nothing ends that, so the process is ended where no row is answered
        within `deadline_s`, and the row is found as in other stages.
        """
        return True

    def setup(self) -> None:
        """Starts the loop in a thread of its own, and `begin` in it."""
        self.leaving = self.halted = False
        self.enders: set[Callable[[PairmillError], None]] = set()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, name=self.name, daemon=True)
        self.thread.start()
        self.places = Places(self.at_once())
        try:
            self.wait_for(self.begin())
        except BaseException:
            self.stop_loop()
            raise

    def halt(self) -> None:
        """Ends all that is under way; whoever waits for a shard gets what has been answered of it,
        and then StageBroken.
        """
        self.halted = True
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self.loop.call_soon_threadsafe(self.halt_all)

    def halt_all(self) -> None:
        """In the loop: tells each shard."""
        for ender in [*self.enders]:
            ender(self.has_ended())

    def has_ended(self) -> StageBroken:
        """What ends a shard after `halt`."""
        return StageBroken(f"the run ended while stage {self.name!r} was at work")

    def close(self) -> None:
        """Runs `end`, and ends the loop."""
        self.leaving = True
        try:
            self.within(self.end())
        finally:
            self.stop_loop()

    def stop_loop(self) -> None:
        """Ends the loop, with what is still under way in it."""
        self.within(cancel_others())
        self.within(self.loop.shutdown_default_executor())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    def wait_for(self, work: Coroutine[Any, Any, T]) -> T:
        """What a coroutine gives, run in the loop; StageBroken where that is about to end."""
        if self.leaving:
            work.close()
            raise StageBroken(f"stage {self.name!r} is closed")
        try:
            return self.within(work)
        except concurrent.futures.CancelledError:
            raise StageBroken(f"stage {self.name!r} was closed meanwhile") from None

    def within(self, work: Coroutine[Any, Any, T]) -> T:
        """As `wait_for`, also while the stage is closed."""
        return self.started(work).result()

    def started(self, work: Coroutine[Any, Any, T]) -> "concurrent.futures.Future[T]":
        """A coroutine on its way in the loop; raises where there is none."""
        outer = staying(work)
        try:
            return asyncio.run_coroutine_threadsafe(outer, self.loop)
        except BaseException:
            outer.close()
            work.close()
            raise

    def __call__(self, rows: pa.Table) -> pa.Table:
        """All rows in one go, for callers who have nothing to do meanwhile.

        A row that raises fails by the name of what it raised; where every row raises, so does this.
        """
        return self.wait_for(self.every(rows))

    async def every(self, rows: pa.Table) -> pa.Table:
        """The answers of a table's rows."""

        async def one(row: Row) -> Row | Exception:
            await self.places.enter(0)
            try:
                return await self.answered(row)
            finally:
                self.places.leave()

        tasks = [asyncio.ensure_future(one(row)) for row in python_rows(rows)]
        try:
            found = await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
        raised = [answer for answer in found if isinstance(answer, Exception)]
        if raised and len(raised) == len(found):
            raise raised[0]
        return self.table([failure_of(a) if isinstance(a, Exception) else a for a in found])

    async def answered(self, row: Row) -> Row | Exception:
        """A row's answer, or what the stage raised that is no failure of the row's own."""
        try:
            answer = await staying(self.answer(row))
        except RowError as error:
            return {"error": (error.kind, str(error))}
        except PairmillError:
            raise
        except Exception as error:  # a stage may raise anything on a row
            return error
        if not isinstance(answer, dict):
            raise StageBroken(
                f"stage {self.name!r} answered a row with {type(answer).__name__}; `answer` must "
                "give a dict of columns"
            )
        return answer

    def table(self, answers: Sequence[Row]) -> pa.Table:
        """Answers as the stage's columns; raises StageBroken where they do not fit."""
        writes = self.writes()
        known = {*writes.names, "error"}
        for answer in answers:
            if not answer.keys() <= known:
                strange = ", ".join(sorted(map(repr, answer.keys() - known)))
                raise StageBroken(
                    f"stage {self.name!r} answered with {strange}, which it does not declare "
                    f"(declared: {', '.join(writes.names)})"
                )
        columns = {}
        for field in writes:
            values = [answer.get(field.name) for answer in answers]
            try:
                columns[field.name] = pa.array(values, field.type)
            except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError, UnicodeError) as error:
                raise StageBroken(
                    f"stage {self.name!r}: column {field.name!r} is declared {field.type}: "
                    f"{first_line(error)}"
                ) from None
        errors = [answer.get("error") for answer in answers]
        for said in errors:
            if said is not None and not is_failure(said):
                raise StageBroken(
                    f"stage {self.name!r} answered with the error {said!r:.80}; it must be a pair "
                    "of texts, class and message"
                )
        return pa.table({**columns, "error": error_array(errors)})


def is_failure(error: Any) -> bool:
    """Whether an error is a pair of texts."""
    pair = isinstance(error, tuple | list) and len(error) == 2
    return pair and all(isinstance(part, str) for part in error)


def python_rows(rows: pa.Table) -> Any:
    """The rows of a table as dictionaries, some at a time."""
    for first in range(0, rows.num_rows, SLICE):
        yield from rows.slice(first, SLICE).to_pylist()


def failure_of(error: Exception) -> Row:
    """The answer of a row on which a stage raised."""
    return {"error": (kind_of(error), first_line(error))}


async def staying(work: Coroutine[Any, Any, T]) -> T:
    """A coroutine whose `sys.exit()` is an error as any other: it would end the loop, for which
    all rows wait.
    """
    try:
        with in_one_process():
            return await work
    except (Exception, asyncio.CancelledError, GeneratorExit):
        raise
    except BaseException as error:
        raise StageExit(kind_of(error), first_line(error)) from error


async def cancel_others() -> None:
    """Cancels every other task of this loop, and waits for their end."""
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
