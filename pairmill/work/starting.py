"""How the driver starts worker processes: forked by a process that has imported what they need, or,
where forks are not to be trusted, each by a command line.
"""

import atexit
import itertools
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.reduction import send_handle
from typing import Protocol

PROGRAM = (
    "import signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN); "
    "sys.path[:] = filter(None, sys.path); from pairmill.work.{} import main; main()"
)
"""A child's program; no module of the folder that it happens to run in is one of its own."""
END_S = 10.0


class StartedProcess(Protocol):
    """A worker process that was started."""

    def poll(self) -> int | None:
        """Its exit code, negative for a signal; None while it lives."""

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, once it has ended."""

    def kill(self) -> None:
        """Ends it."""


class Starter(Protocol):
    """Starts worker processes."""

    @property
    def alive(self) -> bool:
        """Whether it can start others."""

    def start(
        self, end: int, environment: Mapping[str, str], paths: Sequence[str]
    ) -> StartedProcess:
        """A worker process that talks over a socket's `end`."""

    def close(self) -> None:
        """Ends what was started for it."""


EARLY: "list[Forks]" = []
"""What was begun before anybody asked for it, and not asked for yet."""


def starts_early(paths: Sequence[str]) -> None:
    """Begins with what `starter` gives next, where that takes time."""
    if sys.platform == "linux" and not EARLY:
        EARLY.append(Forks(paths))


def is_begun() -> bool:
    """Whether what `starter` gives next has begun."""
    return bool(EARLY)


@atexit.register
def drop_early() -> None:
    """Ends what nobody asked for."""
    while EARLY:
        EARLY.pop().close()


def starter(paths: Sequence[str]) -> Starter:
    """Forks are trusted on Linux alone: libraries of macOS start threads when they are imported.

    Folders of modules are told to each process as it is forked, so what was begun early serves.
    """
    if EARLY and EARLY[-1].alive:
        return EARLY.pop()
    return Forks(paths) if sys.platform == "linux" else CommandLines()


def command(module: str, end: int, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """A process of Python's own that talks over a socket's `end`."""
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(module), str(end)],
        pass_fds=[end],
        stdin=subprocess.DEVNULL,
        env=environment,
    )


def with_paths(environment: Mapping[str, str], paths: Sequence[str]) -> dict[str, str]:
    """Variables with which Python finds the modules of these folders."""
    return {**environment, "PYTHONPATH": os.pathsep.join(paths)}


class CommandLines:
    """Starts each by a command line."""

    alive = True

    def start(
        self, end: int, environment: Mapping[str, str], paths: Sequence[str]
    ) -> StartedProcess:
        """Python starts and imports everything in each."""
        return command("crew_member", end, with_paths(environment, paths))

    def close(self) -> None:
        """Nothing was started but worker processes."""


class Forks:
    """Has each forked by one process (work/fork_server.py), which is started here."""

    def __init__(self, paths: Sequence[str]) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self.server = command("fork_server", theirs.fileno(), with_paths(os.environ, paths))
        self.control = Connection(ours.detach())
        self.sending = threading.Lock()
        self.numbers = itertools.count()
        self.living: dict[int, ForkedProcess] = {}
        self.alive = True
        self.listener = threading.Thread(target=self.listen, daemon=True, name="forks")
        self.listener.start()

    def start(
        self, end: int, environment: Mapping[str, str], paths: Sequence[str]
    ) -> StartedProcess:
        """Where the server is gone, a process that has ended, too."""
        with self.sending:
            number = next(self.numbers)
            forked = self.living[number] = ForkedProcess(self, number)
            message = ("fork", number, with_paths(environment, paths), list(paths), folder())
            try:
                self.control.send_bytes(pickle.dumps(message))
                for descriptor in (end, *output()):
                    send_handle(self.control, descriptor, self.server.pid)
            except OSError:
                self.server.kill()  # it did not get all of it
            if not self.alive:
                forked.end(-signal.SIGKILL)
        return forked

    def kill(self, number: int) -> None:
        """Has the server end a process: it alone knows that its id is still its own."""
        with self.sending, suppress(OSError):
            self.control.send_bytes(pickle.dumps(("kill", number)))

    def listen(self) -> None:
        """What the thread does: takes note of ends."""
        with suppress(OSError, EOFError):
            while True:
                _, number, code = pickle.loads(self.control.recv_bytes())
                self.living.pop(number).end(code)
        self.server.kill()
        self.server.wait()
        with self.sending:
            self.alive = False
            for forked in self.living.values():  # they die with the server
                forked.end(-signal.SIGKILL)

    def close(self) -> None:
        """Ends the server and what it forked."""
        self.server.kill()
        self.server.wait(END_S)
        self.listener.join(END_S)
        self.control.close()


class ForkedProcess:
    """A process that the server forked."""

    def __init__(self, forks: Forks, number: int) -> None:
        self.forks, self.number = forks, number
        self.code: int | None = None
        self.ended = threading.Event()

    def end(self, code: int) -> None:
        """Takes note of its end."""
        self.code = code
        self.ended.set()

    def poll(self) -> int | None:
        """Its exit code, negative for a signal; None while it lives."""
        return self.code

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, once it has ended; raises TimeoutExpired."""
        if not self.ended.wait(timeout) or self.code is None:
            raise subprocess.TimeoutExpired("worker process", timeout or 0)
        return self.code

    def kill(self) -> None:
        """Ends it; `wait` tells when."""
        self.forks.kill(self.number)


def folder() -> str:
    """This process's working folder; the server's own where that is gone."""
    try:
        return os.getcwd()
    except OSError:
        return os.curdir


def output() -> tuple[int, int]:
    """Where this process prints to, by now: a run sends it to its log."""
    return 1, 2
