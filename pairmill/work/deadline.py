"""Calls of stages that never come back: what may be done about one depends on whose process it is.

A worker of Ray is ended, and another starts in its place.  In the user's own process the call runs
in a thread, so that whoever waits for it can stop waiting: no signal is sent, which a script in the
background would not get, and a debugger would.
"""

import faulthandler
import itertools
import os
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol, TypeVar

from pairmill.errors import StageHung, contained
from pairmill.plan.chain import PlannedStage
from pairmill.work.claims import RowRange, Task, WorkPlace
from pairmill.work.line import Line

LOOK_S = 1.0
IDLE_LOOKS = 5
"""Looks without a call after which the thread ends; the next call starts another."""
GRACE_S = 5.0
"""What an orphaned worker has to end by itself."""
BACKSTOP_S = 60.0
"""Seconds after which native code that holds the interpreter's lock, so that the thread cannot
look, ends the process.
"""
T = TypeVar("T")


@dataclass(frozen=True)
class Limited:
    """A call that has a deadline: whom to tell if it is late, and of what."""

    line: Line
    planned: PlannedStage
    place: WorkPlace
    task: Task
    deadline_s: float | None

    def tell(self) -> None:
        """Tells the run that the call hangs."""
        self.line.hang(self.place, self.task)

    def spare(self) -> None:
        """Tells the run that the process ends with another call's delay, not this one's."""
        self.line.spare(self.place)

    def error(self) -> StageHung:
        """What to say of it: of loading a stage, of a stage that looks at all rows, of a batch."""
        stage = f"stage {self.planned.name!r}"
        if not isinstance(self.task, RowRange):
            return StageHung(
                f"{stage} was not loaded within {self.deadline_s:g} s (setup_deadline_s); what was "
                "committed stays. Does it load in a process by itself, and is its model's server "
                "reachable? If it only needs longer, raise setup_deadline_s"
            )
        if self.planned.is_global:
            return StageHung(
                f"{stage} gave no answer within {self.deadline_s:g} s (deadline_s for each million "
                f"rows) for {self.task.count:,} rows; what was committed stays.  Raise deadline_s "
                "if it only needs longer"
            )
        return StageHung(
            f"{stage} gave no answer within {self.deadline_s:g} s (deadline_s) for {self.task} of "
            f"shard {self.place.shard}; what was committed stays. Raise deadline_s, or run on Ray "
            "with `on_deadline: fail`, which finds the row and goes on without it"
        )


class Watchdog(Protocol):
    """Runs calls within a deadline."""

    def run(self, work: Callable[[], T], call: Limited) -> T:
        """What `work` gives; a call that outlives its deadline never returns, or raises
        StageHung.
        """


class ThreadWatchdog:
    """For the user's own process: raises StageHung, and leaves the call behind in its thread.

    Calls that do not overlap run in one and the same thread, so that what a stage's `setup` made (a
    connection to SQLite, a loop of asyncio) is used by the thread that made it.
    """

    def __init__(self) -> None:
        self.idle: list[Desk] = []
        self.closed = False

    def run(self, work: Callable[[], T], call: Limited) -> T:
        """Raises StageHung where `work` outlives its deadline, and whatever it raises itself."""
        desk = self.idle.pop() if self.idle else Desk()
        box: queue.SimpleQueue[tuple[T | None, BaseException | None]] = queue.SimpleQueue()
        desk.put((work, box))
        try:
            answer, error = box.get(timeout=call.deadline_s)
        except queue.Empty:
            desk.put(None)  # ends the thread, should the call ever come back
            call.tell()
            raise call.error() from None
        except BaseException:
            desk.put(None)
            raise
        if self.closed:
            desk.put(None)
        else:
            self.idle.append(desk)
        if error is not None:
            raise error
        return answer  # type: ignore[return-value]

    def close(self) -> None:
        """Ends the threads that wait for calls, and those at work once they are back."""
        self.closed = True
        while self.idle:
            self.idle.pop().put(None)


class Desk(queue.SimpleQueue):
    """A thread that works off calls, one after another, until it is given None."""

    def __init__(self) -> None:
        super().__init__()
        threading.Thread(target=work_off, args=(self,), daemon=True, name="stage").start()


def work_off(desk: Desk) -> None:
    """What the thread of a desk does."""
    while (asked := desk.get()) is not None:
        work, box = asked
        try:
            with contained():
                box.put((work(), None))
        except BaseException as error:
            box.put((None, error))
        del asked, work, box


class ProcessWatchdog:
    """For a worker of Ray: one thread looks at the calls in progress, and ends the process where
    one is overdue.  It lives while there are calls.
    """

    def __init__(self) -> None:
        self.calls: dict[int, tuple[float, Limited]] = {}
        """When each call in progress is overdue (monotonic)."""
        self.numbers = itertools.count()
        self.thread: threading.Thread | None = None
        self.starting = threading.Lock()

    def run(self, work: Callable[[], T], call: Limited) -> T:
        """Ends the process where `work` outlives its deadline."""
        if call.deadline_s is None:
            with contained():
                return work()
        number = next(self.numbers)
        with self.starting:
            self.calls[number] = (time.monotonic() + call.deadline_s, call)
            # before the call may take the interpreter's lock and keep it
            arm(list(self.calls.values()))
            if self.thread is None:
                self.thread = threading.Thread(target=self.look, daemon=True, name="deadlines")
                self.thread.start()
        try:
            with contained():
                return work()
        finally:
            self.calls.pop(number, None)

    def look(self) -> None:
        """What the thread does."""
        idle = 0
        while True:
            with self.starting:
                calls, now = list(self.calls.values()), time.monotonic()
                idle = 0 if calls else idle + 1
                if idle > IDLE_LOOKS:
                    self.thread = None
                arm(calls)
            if idle > IDLE_LOOKS:
                return
            if any(now > until for until, _ in calls):
                self.calls.clear()
                for until, call in calls:
                    (call.tell if now > until else call.spare)()
                faulthandler.dump_traceback(file=2)
                os._exit(70)
            time.sleep(LOOK_S)


def arm(calls: list[tuple[float, Limited]]) -> None:
    """Sets the timer outside the interpreter to a while after the last deadline."""
    if calls:
        left = max(until for until, _ in calls) - time.monotonic()
        faulthandler.dump_traceback_later(max(1.0, left) + BACKSTOP_S, exit=True, file=2)
    else:
        faulthandler.cancel_dump_traceback_later()


@lru_cache(1)
def end_with_parent() -> None:
    """From now on this worker ends soon after the process that started it (Ray's, on its node).

    Ray's own way out waits for threads, and one that asks a dead Ray for something waits, and
    computes, for ever.
    """
    parent = os.getppid()

    def look() -> None:
        while os.getppid() == parent:
            time.sleep(LOOK_S)
        time.sleep(GRACE_S)
        os._exit(71)

    threading.Thread(target=look, daemon=True, name="parent").start()
