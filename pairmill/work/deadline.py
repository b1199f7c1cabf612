"""Calls of stages that never come back: one thread a process looks at those in progress, and ends
what is overdue.
"""

import contextlib
import faulthandler
import itertools
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

LOOK_S = 1.0
IDLE_LOOKS = 5
"""Looks without a call after which the thread ends; the next call starts another."""
GRACE_S = 5.0
"""What an orphaned worker has to end by itself."""
BACKSTOP_S = 60.0
"""Seconds after which native code that holds the interpreter's lock, so that the thread cannot
look, ends the process.
"""


@dataclass(frozen=True)
class Call:
    """A call in progress: when it is overdue (monotonic), what to tell then, and what to tell if
    another one is.
    """

    until: float
    overdue: Callable[[], None]
    spare: Callable[[], None]


class Watchdog:
    """Tells of every call that outlives its deadline, and then calls `end`.  Its thread lives while
    there are calls.

    `fatal`: the process may be ended from outside the interpreter, as a worker of Ray may, and a
    user's process not.
    """

    def __init__(self, fatal: bool = False) -> None:
        self.fatal = fatal
        self.end = end_process if fatal else interrupt_main
        self.calls: dict[int, Call] = {}
        self.numbers = itertools.count()
        self.thread: threading.Thread | None = None
        self.starting = threading.Lock()

    @contextlib.contextmanager
    def call(
        self, deadline_s: float | None, overdue: Callable[[], None], spare: Callable[[], None]
    ) -> Iterator[None]:
        if deadline_s is None:
            yield
            return
        number = next(self.numbers)
        with self.starting:
            self.calls[number] = Call(time.monotonic() + deadline_s, overdue, spare)
            self.arm(
                list(self.calls.values())
            )  # before the call may take the interpreter's lock and keep it
            if self.thread is None:
                self.thread = threading.Thread(target=self.look, daemon=True, name="deadlines")
                self.thread.start()
        try:
            yield
        finally:
            self.calls.pop(number, None)

    def look(self) -> None:
        idle = 0
        while True:
            with self.starting:
                calls, now = list(self.calls.values()), time.monotonic()
                idle = 0 if calls else idle + 1
                if idle > IDLE_LOOKS:
                    self.thread = None
                self.arm(calls)
            if idle > IDLE_LOOKS:
                return
            if any(now > c.until for c in calls):
                self.calls.clear()
                for call in calls:
                    (call.overdue if now > call.until else call.spare)()
                self.end()
            time.sleep(LOOK_S)

    def arm(self, calls: list[Call]) -> None:
        """Sets the timer outside the interpreter to a while after the last deadline."""
        if not self.fatal:
            return
        if calls:
            left = max(c.until for c in calls) - time.monotonic()
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


def end_process() -> None:
    """For a worker of Ray, which starts another in its place."""
    faulthandler.dump_traceback(file=2)
    os._exit(70)


def interrupt_main() -> None:
    """For work in the user's own process: its main thread is interrupted as by Ctrl-C, whatever it
    waits for.
    """
    logging.getLogger("pairmill").error(
        "a stage outlived its deadline; the main thread is interrupted"
    )
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
