"""Calls of stages that never come back: one thread a process looks at those in progress, and ends what is overdue."""

import contextlib
import faulthandler
import itertools
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator

LOOK_S = 1.0
BACKSTOP_S = 60.0
"""Seconds after which native code that holds the interpreter's lock, so that the thread cannot look, ends the process."""


class Watchdog:
    """Calls `overdue` of the first call that outlives its deadline, and then `end`.

    `fatal`: the process may be ended from outside the interpreter, as a worker of Ray may, and a user's process not.
    """

    def __init__(self, fatal: bool = False) -> None:
        self.fatal = fatal
        self.end = end_process if fatal else interrupt_main
        self.calls: dict[int, tuple[float, Callable[[], None]]] = {}
        self.numbers = itertools.count()
        self.thread: threading.Thread | None = None
        self.starting = threading.Lock()

    @contextlib.contextmanager
    def call(self, deadline_s: float | None, overdue: Callable[[], None]) -> Iterator[None]:
        if deadline_s is None:
            yield
            return
        number = next(self.numbers)
        self.calls[number] = (time.monotonic() + deadline_s, overdue)
        with self.starting:
            if self.thread is None:
                self.thread = threading.Thread(target=self.look, daemon=True, name="deadlines")
                self.thread.start()
        try:
            yield
        finally:
            self.calls.pop(number, None)

    def look(self) -> None:
        while True:
            calls = list(self.calls.values())
            now = time.monotonic()
            if self.fatal and calls:
                faulthandler.dump_traceback_later(max(1.0, max(t for t, _ in calls) - now) + BACKSTOP_S, exit=True, file=2)
            elif self.fatal:
                faulthandler.cancel_dump_traceback_later()
            for at, overdue in calls:
                if now > at:
                    self.calls.clear()
                    overdue()
                    self.end()
                    break
            time.sleep(LOOK_S)


def end_process() -> None:
    """For a worker of Ray, which starts another in its place."""
    faulthandler.dump_traceback(file=2)
    os._exit(70)


def interrupt_main() -> None:
    """For work in the user's own process: its main thread is interrupted as by Ctrl-C, whatever it waits for."""
    logging.getLogger("pairmill").error("a stage outlived its deadline; the main thread is interrupted")
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
