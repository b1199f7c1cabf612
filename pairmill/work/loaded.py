"""Stages that are set up in a process, each within its deadline."""

import contextlib
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

from pairmill.errors import (
    PairmillError,
    StageBroken,
    first_line,
    in_one_process,
    kind_of,
    raised_at,
)
from pairmill.plan.chain import PlannedStage
from pairmill.stages.asynchronous import AsyncStage
from pairmill.stages.base import Stage
from pairmill.work.claims import SETUP, Past, WorkPlace
from pairmill.work.deadline import Limited, Watchdog
from pairmill.work.line import Line
from pairmill.work.messages import SettingUp, WorkerLog

LEAVE_S = 10.0
"""Seconds in which stages that are left may close; one that hangs does not."""
HALT_S = 5.0
"""Seconds that the end of a run, whatever it is, waits for answers that have come to be stored."""


@dataclass
class LoadedStage:
    """A stage whose `setup` ran, in a process; it outlives the job it came with, and threads may
    share it.
    """

    stage: Stage | None = None
    loading: Stage | None = None
    """The stage while its `setup` runs, and after."""
    left: bool = False
    """The run has ended while the stage may still be at work: nothing of it is committed."""
    line: Line = field(default_factory=Line)
    """To the run for which it was loaded."""
    lock: threading.Lock = field(default_factory=threading.Lock)
    halted: bool = False
    """The run is ending: what is answered is stored, and no more is asked."""
    storing: int = 0
    """Shards of which answers are stored as they come."""
    changed: threading.Condition = field(default_factory=threading.Condition)

    @contextlib.contextmanager
    def stores(self) -> Iterator[None]:
        """While answers of a shard are stored as they come."""
        with self.changed:
            self.storing += 1
        try:
            yield
        finally:
            with self.changed:
                self.storing -= 1
                self.changed.notify_all()

    def halt(self) -> None:
        """Ends what is under way, after this batch where there are batches."""
        self.halted = True
        if isinstance(self.stage, AsyncStage):
            self.stage.halt()

    def check_halted(self) -> None:
        """Raises StageBroken after `halt`."""
        if self.halted:
            raise StageBroken("the run ended while a stage was at work")

    def wait_stored(self, until: float) -> None:
        """Waits until answers that are stored as they come are stored, or for a time
        (`time.monotonic`).
        """
        with self.changed:
            self.changed.wait_for(lambda: not self.storing, max(0.0, until - time.monotonic()))

    def take(
        self, planned: PlannedStage, place: WorkPlace, line: Line, watchdog: Watchdog, past: Past
    ) -> tuple[Stage, float]:
        """The stage, and the seconds that setting it up took now.

        Raises StageBroken where `setup` raises or took earlier processes down, StageHung where it
        never ended.  `past`: earlier attempts at the place for which it is wanted.
        """
        call = Limited(line, planned, place, SETUP, planned.config.setup_deadline_s)
        if SETUP in past.hung:
            raise call.error()
        if past.guilty(SETUP):
            raise StageBroken(
                f"stage {planned.name!r} cannot be loaded: the worker's process ended "
                f"{past.deaths[SETUP]} times while it did; is there enough memory for its model "
                "(resources.memory), and does it load in a process by itself?"
            )
        claimed = past.attempts > 1 and self.stage is None
        if claimed:
            line.claim(place, SETUP)
        try:
            answer = watchdog.run(lambda: self.set_up(planned, line), call)
        except PairmillError:
            raise
        except Exception as error:  # an author's `setup` may raise anything
            raise StageBroken(
                f"stage {planned.name!r} cannot be loaded: {kind_of(error)}: "
                f"{first_line(error)}{raised_at(error)}"
            ) from error
        if claimed:
            line.spare(place)
        return answer

    def set_up(self, planned: PlannedStage, line: Line) -> tuple[Stage, float]:
        """Loads the stage unless it is loaded; threads wait for the one that does."""
        with self.lock:
            if self.stage is not None:
                return self.stage, 0.0
            start, stage = time.monotonic(), planned.stage
            stage.ask, self.loading = line.ask, stage
            line.report(SettingUp(planned.name))
            try:
                stage.setup()
                self.check()
            except BaseException:
                give_up([stage])
                raise
            finally:
                line.report(SettingUp(planned.name, ended=True))
            self.stage, self.line = stage, line
            return stage, time.monotonic() - start

    def check(self) -> None:
        """Raises StageBroken where the run has ended: what a stage answers while it is closed is
        no row's failure.
        """
        if self.left:
            raise StageBroken("the run has ended while a stage was at work")

    def close(self) -> None:
        """Gives back what the stage took, if it was set up.  What it raises meanwhile is told in
        the run's log and takes nothing away: what was computed is stored.
        """
        if self.stage is None:
            return
        try:
            with in_one_process():
                self.stage.close()
        except KeyboardInterrupt:  # the user's, where no process of our own does the work
            raise
        except BaseException as error:  # an author's `close` may raise anything
            name = self.stage.name
            why = f"{kind_of(error)}: {first_line(error)}{raised_at(error)}"
            trace = "".join(traceback.format_exception(error))
            what = f"stage {name!r} could not be closed ({why}); its values are stored"
            self.line.report(WorkerLog(what, name, traceback=trace))


def halt_all(every: Sequence[LoadedStage]) -> None:
    """Ends what is under way, and has stored what was answered: it may have been paid."""
    until = time.monotonic() + HALT_S
    for one in every:
        one.halt()
    for one in every:
        one.wait_stored(until)


def leave(every: Sequence[LoadedStage]) -> None:
    """Ends what stages took, though they may still be at work, in this process: their processes at
    once, threads and connections as far as they end within a time.
    """
    for one in every:
        one.left = True
    give_up([stage for one in every if (stage := one.stage or one.loading) is not None])


def give_up(stages: Sequence[Stage]) -> None:
    """Closes stages that may be at work, or half set up."""
    for stage in stages:
        with contextlib.suppress(Exception):
            stage.abandon()
    all_within(LEAVE_S, [partial(closed, stage) for stage in stages])


def close_all(every: Sequence[LoadedStage]) -> None:
    """Closes stages that have nothing to do any more; one that hangs is left at it."""
    all_within(LEAVE_S, [one.close for one in every])


def all_within(seconds: float, calls: Sequence[Callable[[], None]]) -> None:
    """Makes calls beside one another, and waits so long for them at most."""
    threads = [threading.Thread(target=call, daemon=True) for call in calls]
    for thread in threads:
        thread.start()
    until = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))


def closed(stage: Stage) -> None:
    """Closes a stage, which may miss what `setup` did not come to."""
    with contextlib.suppress(Exception):
        stage.close()
