"""Where a model runs and how precisely: chosen openly, never a silent CPU run where a GPU was asked
for.
"""

import json
import os
import platform
import threading
import time
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import Any, Literal

from pairmill.errors import RowError, StageBroken, first_line
from pairmill.schemas.hashing import digest

Device = Literal["auto", "cuda", "cpu"]
Precision = Literal["auto", "float32", "bfloat16", "float16"]
FASTER = 1.3
"""On a CPU, half precision has to be so many times as fast to be taken: less may be chance, and a
second measurement should not choose otherwise.
"""
LONG_S = 2.0
"""Seconds of a call that is measured once: a large model's, whose load would else take minutes."""
SPINS = "10000"
"""Looks that one of torch's threads takes at the others before it sleeps, half a millisecond's.
OpenMP's own number is thirty times that: where another process has a core meanwhile, the threads
of a small model burn seconds on waiting for each other.
"""
LACKING = ("out of memory", "can't allocate memory", "not enough memory", "ALLOC_FAILED")
"""What errors of torch say where memory was lacking; the last are cuBLAS' and cuDNN's."""
ALL_TOO_LARGE = 3
"""Rows that do not fit by themselves, where none has fitted yet, from which on the run ends."""
TURN = threading.Lock()
CORES = "PAIRMILL_CORES"
"""Variable with the cores of a process that has some for itself alone."""


def wait_shortly(environment: MutableMapping[str, str]) -> None:
    """Lets torch's threads sleep soon, unless the user said how they wait."""
    if "OMP_WAIT_POLICY" not in environment:
        environment.setdefault("GOMP_SPINCOUNT", SPINS)


wait_shortly(os.environ)  # read when torch is imported, here and in processes that are started


def pick_device(wanted: Device, stage: str) -> str:
    """`cuda` or `cpu`; raises StageBroken for `cuda` without a usable GPU."""
    import torch

    if wanted == "cuda" and not torch.cuda.is_available():
        raise StageBroken(
            f"stage {stage!r}: device is cuda, and torch sees no GPU in this worker; give the "
            f"stage `resources: {{gpus: 1}}` "
            "on a node that has one, or set `device: auto`"
        )
    return "cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu"


def pick_dtype(wanted: str) -> Any:
    """The torch dtype of a name such as `bfloat16`."""
    import torch

    return getattr(torch, wanted)


def seconds_of(work: Callable[[], Any], clock: Callable[[], float] = time.perf_counter) -> float:
    """The best of three calls after a first one; the first alone where it took so long that what it
    warmed is the lesser part of it.
    """

    def timed() -> float:
        start = clock()
        work()
        return clock() - start

    first = timed()
    return first if first >= LONG_S else min(timed() for _ in range(3))


def remembered(what: dict[str, Any], measure: Callable[[], str]) -> str:
    """A measurement's outcome, the same for all workers of this node and after a restart.

    Kept in the user's cache folder by machine, torch and `what`; measured where it is not there.
    """
    import torch

    flags = torch.backends.cpu.get_cpu_capability()
    facts = {**what, "node": platform.node(), "torch": torch.__version__, "cpu": flags}
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pairmill/precision"
    file = folder / f"{digest(facts)}.json"
    try:
        return str(json.loads(file.read_text())["dtype"])
    except (OSError, ValueError, KeyError):
        found = measure()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(f".{os.getpid()}")
        part.write_text(json.dumps({"dtype": found, **facts}))
        os.replace(part, file)
    except OSError:
        pass  # measured again by the next worker
    return found


def limit_threads(cpus: float) -> None:
    """Torch's own threads, as many as the worker's whole cores: a fixed number, so that results
    repeat.
    """
    import torch

    torch.set_num_threads(max(1, int(cpus)))


def streams(cpus: float) -> int:
    """Batches that one model computes at the same time on a CPU, each with the worker's threads:
    where a process has the cores of several workers, and one of them is loaded.

    The threads of a batch stay as many, so that its values do not depend on the machine.
    """
    return max(1, int(float(os.environ.get(CORES, 0)) / max(cpus, 1)))


def on_one_core() -> None:
    """For the threads of a pool, as each begins: what torch does there takes one core, since there
    are as many threads as cores, or others work beside it.  All others keep their number.
    """
    import torch

    with TURN:
        number = torch.get_num_threads()
        torch.set_num_threads(1)  # this thread's, and that of all threads which are new to torch
        again = threading.Thread(target=torch.set_num_threads, args=(number,))
        again.start()
        again.join()


def on_all_cores() -> None:
    """For the thread of a model, as it begins: it keeps the process's number of cores, whatever
    other threads are just being given.
    """
    import torch

    with TURN:
        torch.get_num_threads()


def in_halves(work: Callable[[list[Any]], list[Any]], items: list[Any], room: "Room") -> list[Any]:
    """`work` over all items in order, in parts that fit the device's memory.

    A part that does not fit is halved, and `room` remembers the size that did.  Raises
    TooLittleMemory where a single item does not fit.
    """
    import torch

    answers: list[Any] = []
    at = 0
    while at < len(items):
        part = items[at : at + (room.fits or len(items))]
        try:
            answers += work(part)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if len(part) == 1:
                raise TooLittleMemory(too_little(error)) from error
            room.fits = (len(part) + 1) // 2
        else:
            at += len(part)
            continue
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
    return answers


class TooLittleMemory(RuntimeError):
    """A single item does not fit the device's memory; the message says what to change."""


def too_little(error: BaseException) -> str:
    """What to do where one row alone is too large, with the device's own words."""
    return (
        f"one row alone does not fit the device's memory ({first_line(error)}): take smaller "
        "pictures (`max_pixels`), shorter prompts or answers (`max_new_tokens`), a smaller `dtype` "
        "or model, or a device with more memory"
    )


class Room:
    """How many items at once fit the device's memory; None as long as no batch was too large."""

    def __init__(self) -> None:
        self.fits: int | None = None
        self.answered = False
        """Whether any row has been, for who asks `failed`."""
        self.too_large = 0

    def failed(self, stage: str, error: BaseException) -> RowError:
        """The failure of a row that does not fit by itself; raises StageBroken where none has
        fitted, which is not the rows' fault.
        """
        self.too_large += 1
        if not self.answered and self.too_large >= ALL_TOO_LARGE:
            raise StageBroken(f"stage {stage!r}: {too_little(error)}") from error
        return RowError("out_of_memory", too_little(error))

    def note(self, loaded: str) -> str:
        """How a stage was loaded, and that its batches were too large, if they were."""
        return (
            loaded if self.fits is None else f"{loaded}, batches of {self.fits} for want of memory"
        )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of torch says that memory was lacking, on a GPU or a CPU."""
    import torch

    kinds = (torch.OutOfMemoryError, MemoryError, TooLittleMemory)
    return isinstance(error, kinds) or any(words in str(error) for words in LACKING)
