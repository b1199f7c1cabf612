"""The error tree: every message says where, what was found and what to do."""

import os
import re
import sysconfig
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pairmill.redaction import redact, shown


class PairmillError(Exception):
    """Base of all errors that pairmill raises on purpose; no secret gets into its message."""

    def __init__(self, *args: object) -> None:
        super().__init__(*(redact(a) if isinstance(a, str) else a for a in args))


@dataclass(frozen=True, order=True)
class Problem:
    """One fault of a pipeline file; `line` and `column` count from 1, 0 where the fault has no
    place in a file.
    """

    line: int
    column: int
    message: str
    file: str = ""

    def __str__(self) -> str:
        place = (
            f"{self.file}:{self.line}:{self.column}: "
            if self.line
            else f"{self.file}: "
            if self.file
            else ""
        )
        return place + self.message


class PipelineFileError(PairmillError):
    """The pipeline file is wrong (exit code 2); `problems` holds all faults that were found."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = sorted(problems)
        super().__init__("\n".join(map(str, self.problems)))


class MissingPackage(PairmillError):
    """An optional package is needed and not installed."""

    def __init__(self, package: str, purpose: str, extra: str) -> None:
        super().__init__(
            f"{purpose} needs the package {package!r}, which is not installed: pip "
            f"install 'pairmill[{extra}]'"
        )


class RowError(Exception):
    """A row's own failure, which a stage tells of: its class (a word of the stage's own, such as
    `http_4xx`) and a message.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(redact(message))
        self.kind = kind

    def __reduce__(self) -> Any:
        return type(self), (self.kind, str(self))


class StageExit(Exception):
    """What a stage raised to end its process or its task (`sys.exit()`, KeyboardInterrupt), as an
    error like any other: `kind` is its class.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind

    def __reduce__(self) -> Any:
        return type(self), (self.kind, str(self))


@contextmanager
def in_one_process() -> Iterator[None]:
    """Ends a process that a stage's code has forked and let come back: it would go on in pairmill's
    loop, beside its parent, on the same files and sockets, and never end.
    """
    mine = os.getpid()
    try:
        yield
    except BaseException as error:
        if os.getpid() != mine:
            code = error.code if isinstance(error, SystemExit) else 1
            os._exit(code if isinstance(code, int) else int(code is not None))
        raise
    if os.getpid() != mine:
        os._exit(0)


@contextmanager
def contained() -> Iterator[None]:
    """Turns what would end the thread that calls a stage into StageExit, since whoever waits for
    the thread would wait for ever.  The main thread's is the user's, or Ray's.
    """
    try:
        with in_one_process():
            yield
    except Exception:
        raise
    except BaseException as error:
        if threading.current_thread() is threading.main_thread():
            raise
        raise StageExit(type(error).__name__, first_line(error)) from error


class RunError(PairmillError):
    """The run cannot go on (exit code 1).  What was committed stays; the same command goes on from
    there.
    """


class BadRequest(RunError):
    """What was asked for by name, path or expression is not there, or cannot be read (exit code 2):
    the command line is wrong, and no work was begun.
    """


class WouldReplace(RunError):
    """The run would write over packages that other settings made, and was not told to."""

    remedy = "add --replace to write over it, or --set outputs.0.path=NAME to keep both"

    def __init__(self, lines: list[str]) -> None:
        self.lines = lines
        super().__init__("\n".join([*lines, self.remedy]))

    def __reduce__(self) -> Any:
        return type(self), (self.lines,)


class StageFailed(RunError):
    """A stage fails on too many rows: the fault is the stage's, not the rows'."""

    def __init__(
        self, stage: str, failed: int, rows: int, error_class: str, message: str, limit: float
    ) -> None:
        self.args_for_pickle = (stage, failed, rows, error_class, message, limit)
        super().__init__(
            f"stage {stage!r} failed on {failed} of {rows} rows (allowed share: "
            f"{limit:g}); the first failure was {error_class}: {message}"
        )

    def __reduce__(self) -> Any:
        return type(self), self.args_for_pickle


class StageHung(RunError):
    """A call of a stage outlived its deadline, and the pipeline says to stop then; or loading the
    stage did; or a call of a stage that looks at all rows.
    """


class StageBroken(RunError):
    """A stage cannot start (its model does not load) or answers with something that is not what it
    declared.
    """


class DiskFull(RunError):
    """The workspace's disk has less free space than the run may leave."""


class StorageAway(RunError):
    """The workspace was there when the run started and is not any more."""


class CorruptWorkspace(RunError):
    """A stored file cannot be read, or does not fit what the workspace says of it."""


class StrangeName(RunError):
    """A name in a file would lead out of the folder that the file describes."""

    def __init__(self, name: object, where: str, why: str) -> None:
        self.args_for_pickle = (name, where, why)
        super().__init__(
            f"{where} names {shown(name, 80)}, which is no file below its folder ({why}); "
            "nothing was touched. Was the file damaged, or made to do harm? Delete it, or mend the "
            "name"
        )

    def __reduce__(self) -> Any:
        return type(self), self.args_for_pickle


class StrangeFile(RunError):
    """A file that is read back has not the shape that pairmill writes."""


class ConservationError(RunError):
    """rows in != kept + dropped + missing + failed: a defect of pairmill, never of the data."""


ADDRESS_IN_MEMORY = re.compile(r"<([\w.]+)[^<>]*? at 0x[0-9a-fA-F]+>")


def without_addresses(text: str) -> str:
    """A message without addresses in memory, which differ from run to run."""
    return ADDRESS_IN_MEMORY.sub(r"<\1>", text)


MOST_READ = 20_000
"""Characters of an error's message that are looked at: a server may answer with megabytes, and what
is shown is its beginning.
"""


def first_line(error: BaseException) -> str:
    """The first line of an error's message, at most 200 characters: without secrets, then cut."""
    try:
        said = str(error)
    except Exception:  # an author's class may raise here, too
        said = ""
    text = redact(without_addresses(said.lstrip()[:MOST_READ])).strip()
    return text.splitlines()[0][:200] if text else kind_of(error)


def kind_of(error: BaseException) -> str:
    """The name of an error's class, of what stands behind a StageExit."""
    return error.kind if isinstance(error, StageExit) else type(error).__name__


def raised_at(error: BaseException) -> str:
    """` (file:line)` where it was raised: an author's line, or else the innermost of all; empty
    where nothing is known.
    """
    if isinstance(error, StageExit) and error.__cause__ is not None:
        return raised_at(error.__cause__)
    frames = list(traceback.walk_tb(error.__traceback__))
    inner = f" ({frames[-1][0].f_code.co_filename}:{frames[-1][1]})" if frames else ""
    return author_line(error) or inner


def author_line(error: BaseException) -> str:
    """` (file:line)` of the innermost line that is neither pairmill's nor of Python or an installed
    package; empty where there is none.
    """
    frames = traceback.walk_tb(error.__traceback__)
    lines = [(frame.f_code.co_filename, number) for frame, number in frames]
    own = [line for line in lines if not is_library(line[0])]
    return f" ({own[-1][0]}:{own[-1][1]})" if own else ""


def is_library(file: str) -> bool:
    """Whether a file is pairmill's, Python's or an installed package's."""
    folders = (str(Path(__file__).parent), sysconfig.get_path("stdlib"))
    return file.startswith((*folders, "<")) or "site-packages" in file
