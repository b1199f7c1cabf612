"""A process that starts the worker processes of a run: it has imported what each of them needs, and
forks.

It is started by a command line, so it has none of the user's threads, locks and devices, and does
nothing that would start some: a fork of it is whole.  Where a thread is there that it does not know
to be idle, it starts worker processes by a command line each.  (docs/decisions/0032)

Messages are pickled tuples over one socket.  From the driver: `fork` (number, environment, folders
of modules, working folder), then the worker's socket, stdout and stderr; `kill` (number).  To the
driver: `ended` (number, exit code).
"""

import contextlib
import ctypes
import gc
import importlib
import os
import pickle
import select
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle
from pathlib import Path
from typing import Any

from pairmill.allocators import choose_allocators
from pairmill.pandas_later import pandas_later
from pairmill.work.starting import PROGRAM

PRELOADED = (
    "numpy.random",
    "polars",
    "pyarrow.compute",
    "pyarrow.fs",
    "pyarrow.parquet",
    "pairmill.work.crew_member",
    "pairmill.work.shard_work",
)
"""What every worker process imports."""
IDLE = {"jemalloc_bg_thd", "polars-ooc-clea"}
"""Threads that importing Polars and pyarrow starts.  The first are those of their allocators, which
know forks; the other waits for files that a query has spilled to disk, and holds nothing meanwhile.
"""
DIES_WITH_PARENT = 1
"""prctl's PR_SET_PDEATHSIG."""
FAILED = 70
"""Exit code of a worker process that could not begin."""


def preload() -> None:
    """Imports what forked processes share; what is there by then is left to no collection of
    garbage, which would write to, and so copy, its pages.  Nor is it collected here: that takes a
    tenth of the time that the imports take, and finds some hundred objects.
    """
    choose_allocators()
    gc.disable()  # what modules make stays
    for name in PRELOADED:
        importlib.import_module(name)
    pandas_later()
    gc.freeze()
    gc.enable()


def other_threads() -> set[str]:
    """Names of this process's threads, the one that asks left out."""
    names = set()
    for thread in os.listdir("/proc/self/task"):
        with contextlib.suppress(OSError):  # it may have ended
            if int(thread) != os.getpid():
                names.add(Path(f"/proc/self/task/{thread}/comm").read_text().strip())
    return names


def is_whole() -> bool:
    """Whether a fork of this process has all that this one has: what a thread of its own would have
    done, or holds, is missing or locked there.
    """
    if not os.fork():  # OpenBLAS ends its threads before a fork, and starts them again when asked
        os._exit(0)
    os.wait()
    return other_threads() <= IDLE


class ForkServer:
    """The process's end of the socket."""

    def __init__(self, control: Connection) -> None:
        self.control = control
        self.whole = is_whole()
        self.woken, self.waker = socket.socketpair()
        self.numbers: dict[int, int] = {}
        """Process id → number of each worker process that lives, or has not been waited for."""

    def serve(self) -> None:
        """Works until the driver is gone, and its worker processes with it."""
        for end in (self.woken, self.waker):
            end.setblocking(False)
        signal.set_wakeup_fd(self.waker.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        while True:
            ends: list[Any] = [self.control, self.woken]
            ready, _, _ = select.select(ends, [], [])
            try:
                if self.woken in ready:
                    self.woken.recv(4096)
                    self.wait_for_ended()
                if self.control in ready:
                    self.take(*pickle.loads(self.control.recv_bytes()))
            except (OSError, EOFError):
                os._exit(0)  # worker processes notice

    def take(self, kind: str, number: int, *how: Any) -> None:
        """Does what the driver asks."""
        if kind == "fork":
            self.fork(number, *how)
        elif kind == "kill":
            for pid, of in self.numbers.items():
                if of == number:
                    os.kill(pid, signal.SIGKILL)

    def fork(
        self, number: int, environment: Mapping[str, str], paths: Sequence[str], folder: str
    ) -> None:
        """Starts a worker process."""
        descriptors = [recv_handle(self.control) for _ in range(3)]
        server = os.getpid()
        try:
            pid = os.fork() if self.whole else command_line(descriptors, environment, folder)
        except OSError as error:
            print(f"no worker process can be started: {error}", file=sys.stderr)
            self.send("ended", number, FAILED)
        else:
            if not pid:
                self.become_worker(server, descriptors, environment, paths, folder)
            self.numbers[pid] = number
        for descriptor in descriptors:
            os.close(descriptor)

    def become_worker(
        self,
        server: int,
        descriptors: Sequence[int],
        environment: Mapping[str, str],
        paths: Sequence[str],
        folder: str,
    ) -> None:
        """In the forked process: works, and never comes back."""
        try:
            ctypes.CDLL(None).prctl(DIES_WITH_PARENT, signal.SIGKILL)
            if os.getppid() != server:
                os._exit(FAILED)
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for end in (self.control, self.woken, self.waker):
                end.close()
            connection, *streams = descriptors
            for number, stream in enumerate(streams, 1):
                os.dup2(stream, number)
                os.close(stream)
            os.environ.clear()
            os.environ.update(environment)
            sys.path[:] = dict.fromkeys([*paths, *sys.path])
            importlib.invalidate_caches()
            with contextlib.suppress(OSError):  # it may be gone
                os.chdir(folder)
            sys.modules["numpy.random"].seed()  # forks would draw the same numbers
            sys.modules["polars"].Config.load("{}")  # reads the environment again
            from pairmill.redaction import REDACTOR
            from pairmill.work.crew_member import work

            REDACTOR.from_environment(os.environ)
            work(connection)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(FAILED)

    def wait_for_ended(self) -> None:
        """Tells of each process that has ended."""
        while self.numbers:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            self.send("ended", self.numbers.pop(pid), os.waitstatus_to_exitcode(status))

    def send(self, *message: Any) -> None:
        """Raises OSError where the driver is gone."""
        self.control.send_bytes(pickle.dumps(message))


def command_line(descriptors: Sequence[int], environment: Mapping[str, str], folder: str) -> int:
    """A worker process that imports everything itself; gives its id."""
    connection, out, err = descriptors
    with contextlib.suppress(OSError):
        os.chdir(folder)
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format("crew_member"), str(connection)],
        pass_fds=[connection],
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=err,
        env=environment,
    ).pid


def main() -> None:
    """Ctrl-C reaches all processes of a terminal: the driver alone minds it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    preload()
    ForkServer(Connection(int(sys.argv[1]))).serve()
