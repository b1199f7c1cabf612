"""What a worker process that Ray starts for a run does before anything else."""

import atexit
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from functools import cache, wraps
from importlib.abc import MetaPathFinder
from types import ModuleType
from typing import Any, TypeVar

from pairmill.errors import PairmillError, RunError, first_line
from pairmill.plan.named_modules import as_told
from pairmill.safe_output import redact_streams

T = TypeVar("T")
HOOK = "pairmill.cluster.worker_start.begin"
STRANGE_FOLDER = "PAIRMILL_STRANGE_FOLDER"
"""The folder in which the driver was started, which is not on the driver's `sys.path`; Ray puts it
at the front of its workers'.
"""

EXIT_S = 20
"""Seconds that a process has for its end."""


class WithoutFolder(MetaPathFinder):
    """Takes a folder off `sys.path` before each import; Ray adds it when the first task comes."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> None:
        """Finds nothing; takes the folder off `sys.path` before later finders look there."""
        if self.folder in sys.path:
            sys.path[:] = [p for p in sys.path if p != self.folder]


def safe_errors(work: Callable[..., T]) -> Callable[..., T]:
    """What work in a worker raises goes to Ray, which writes it to its own files: without secrets,
    and without the errors behind it.  A defect's traceback stands, filtered, in the worker's log.
    """

    @wraps(work)
    def safely(*args: Any, **named: Any) -> T:
        try:
            return work(*args, **named)
        except PairmillError as error:
            raise error from None
        except Exception as error:
            if type(error).__module__.partition(".")[0] == "ray":
                raise
            traceback.print_exc()
            raise RunError(f"{type(error).__name__}: {first_line(error)}") from None

    return safely


@cache
def end_within(seconds: int = EXIT_S) -> None:
    """The process ends, so many seconds after Python did, whatever it waits for then.

    Ray 2.60's own end now and then waits for a lock that nobody gives back (its publisher posts to
    a loop that is being closed): the process stays, with its memory, its GPU, and what it started.
    Only the system's clock still acts at that time.  What is registered first comes last.
    """
    if hasattr(signal, "SIGALRM"):
        atexit.register(alarm, seconds)


def alarm(seconds: int) -> None:
    """Has the system end this process then."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(seconds)


def begin() -> None:
    """Finds the modules that the pipeline file names and no others beside it; prints no secret; and
    ends when it should.
    """
    end_within()
    redact_streams()
    as_told()
    if strange := os.environ.get(STRANGE_FOLDER):
        sys.meta_path.insert(0, WithoutFolder(strange))
