"""What all commands share: consoles, common options, reading a pipeline file, ending with a
message.
"""

import atexit
import contextlib
import errno
import io
import json
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from pairmill.errors import BadRequest, PairmillError, PipelineFileError, StageFailed, WouldReplace
from pairmill.pandas_later import pandas_later
from pairmill.redaction import redact_data
from pairmill.safe_output import SafeConsole, printable, show_exception

out = SafeConsole()
err = SafeConsole(
    file=os.fdopen(os.dup(2), "w", errors="replace")
)  # stays ours while a run sends libraries' stderr to its log

CLOSED = (errno.EROFS, errno.EACCES, errno.EPERM)
"""Errors of places that a command may not change."""
INTERRUPTED = 128 + signal.SIGINT
"""Exit code of a command that Ctrl-C ended before it began to work."""


class Commands(typer.Typer):
    """The commands as a program.  Typer's own way sets a hook for exceptions, which shows secrets,
    and says nothing at Ctrl-C.
    """

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Runs the command that the arguments name, and ends the process."""
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):  # a terminal may lack letters: `?` for them
                stream.reconfigure(errors="replace")
        pandas_later()
        try:
            typer.main.get_command(self)(*args, **options)
        except KeyboardInterrupt:
            end("stopped", INTERRUPTED)
        except SystemExit as ended:
            if ended.code == INTERRUPTED:
                end("stopped", INTERRUPTED)
            raise
        except OSError as error:  # a full disk below the output, a file that cannot be written
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what waits there would fail again
            end(f"{type(error).__name__}: {error}", 1)
        except Exception as error:
            show_exception(type(error), error, error.__traceback__)
            sys.exit(1)


def end(message: str, code: int) -> None:
    """Ends the process with a message for people."""
    print_notes()
    err.print(Text(message), style="red", soft_wrap=True)
    sys.exit(code)


def print_notes() -> None:
    """Prints what else the error says that is being handled."""
    for note in getattr(sys.exc_info()[1], "__notes__", ()):
        err.print(Text(note), soft_wrap=True)


def leave(code: object) -> None:
    """Ends the process with an exit code, as Python would, but for taking apart what the system
    takes back with the process: a fifth of what a run costs that has nothing to do.  Comes back
    where Python has to say more: a message in place of a code, an output that nobody takes.
    """
    if not isinstance(code, int | None):
        return
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    try:
        for stream in filter(None, (sys.stdout, sys.stderr)):
            stream.flush()
    except (OSError, ValueError):
        return
    os._exit((code or 0) & 0xFF)


File = Annotated[Path, typer.Argument(help="The pipeline file.", dir_okay=False)]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", help='Override a key, such as stages.clip.keep="clip_score >= 0.3".'),
]
Limit = Annotated[
    int | None, typer.Option(min=1, help="Only the first so many rows of the source.")
]
Address = Annotated[str, typer.Option(help="On the Ray at this address.")]
Replace = Annotated[
    bool,
    typer.Option("--replace", help="Write over a package that other settings made; else asks."),
]

COMMITTED, TRACEBACK = "what was committed stays in", "the traceback stands in"
"""How the lines below an error begin."""
Json = Annotated[bool, typer.Option("--json", help="As JSON, for programs.")]


def print_json(value: Any, public: bool = False) -> None:
    """Prints a value as JSON, for programs; letters that the encoding of the output lacks as
    `\\u` and their number.  `public`: no secrets are looked for.
    """
    whole = "utf" in (sys.stdout.encoding or "").lower()
    text = json.dumps(value if public else redact_data(value), indent=2, ensure_ascii=not whole)
    sys.stdout.write(printable(text) + "\n")


def overrides(pairs: list[str] | None) -> dict[str, str]:
    """`--set KEY=VALUE` options as key → value."""
    bad = [p for p in pairs or () if "=" not in p]
    if bad:
        fail(f'--set {bad[0]}: write KEY=VALUE, such as stages.clip.keep="clip_score >= 0.3"', 2)
    return dict(p.split("=", 1) for p in pairs or ())


def fail(message: str, code: int) -> None:
    """Prints a message for people and ends with an exit code."""
    print_notes()
    err.print(Text(message), style="red", soft_wrap=True)
    raise typer.Exit(code)


def fail_with(error: BaseException) -> None:
    """Ends the command with an error: code 2 where the command line is wrong, else 1."""
    said = str(error)
    if isinstance(error, OSError) and error.errno in CLOSED and error.filename:
        place, why = os.path.dirname(str(error.filename)), os.strerror(error.errno)
        said = f"{place} cannot be read or written to: {why}"
    fail(said, 2 if isinstance(error, BadRequest) else 1)


def pipeline(path: Path, sets: list[str] | None, base: Path | None = None) -> Any:
    """The checked pipeline of a file; prints its faults and ends where there are any."""
    from pairmill.api import Pipeline, silence_libraries

    silence_libraries()
    try:
        return Pipeline.from_yaml(path, overrides(sets), base)
    except PipelineFileError as error:
        fail_of_file(error, path)
    except PairmillError as error:
        fail(str(error), 1)


def opened(path: str) -> tuple[Any, int | None]:
    """The pipeline of a file or of a run's folder, and the run's limit; ends where it is none."""
    from pairmill.api import Pipeline, silence_libraries

    if Path(path).is_file():
        return pipeline(Path(path), None), None
    silence_libraries()
    try:
        return Pipeline.from_run(path)
    except PipelineFileError as error:
        fail(f"{path}: {error}", 2)
    except PairmillError as error:
        fail_with(error)
    raise AssertionError


def may_replace(found: Any, limit: int | None, replace: bool) -> bool:
    """Whether the run may write over packages of other settings: as the option says, or as a person
    at a terminal answers.  Ends the command where nobody can be asked, or the answer is no.
    """
    try:
        lines = [] if replace else found.replaces(limit)
    except (PairmillError, OSError):
        return replace  # the run itself finds that out, and says it
    if not lines:
        return replace
    refusal = WouldReplace(lines)
    if not sys.stdin.isatty():
        fail(str(refusal), 2)
    err.print(Text("\n".join(lines)), style="yellow", soft_wrap=True)
    if not typer.confirm("Write over it?", err=True):
        fail(f"nothing was done; {refusal.remedy}", 1)
    return True


def goes_on(error: PairmillError, workspace: str) -> str:
    """What a run that failed leaves, and which command goes on; nothing where it never began."""
    if "://" not in workspace and not os.path.isdir(workspace):
        return ""
    if isinstance(error, StageFailed) and "--retry" in str(error):
        # the failures are stored, and stop the run again
        return (
            f"\n{COMMITTED} {workspace}, and the same command with this option goes on from there"
        )
    return f"\n{COMMITTED} {workspace}; once that is mended, the same command goes on from there"


class Stopped(KeyboardInterrupt):
    """Ctrl-C, or a signal that means the same; `str` says which."""


@contextlib.contextmanager
def stopping_by_signals() -> Iterator[list[str]]:
    """SIGTERM and SIGHUP end the block as Ctrl-C does; one that is ignored (nohup) stays
    ignored.  Gives the names of those that came: libraries may raise an interrupt anew.
    """
    came: list[str] = []
    if threading.current_thread() is not threading.main_thread():
        yield came
        return

    def stop(number: int, frame: Any) -> None:
        came.append(signal.Signals(number).name)
        raise Stopped(came[0])

    before = {}
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            before[number] = signal.signal(number, stop)
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def fail_of_file(error: PipelineFileError, path: Path) -> None:
    """Ends the command with status 2, all faults of a pipeline file told and counted."""
    fault = "fault" if len(error.problems) == 1 else "faults"
    fail(f"{error}\n{len(error.problems)} {fault} in {path}", 2)
