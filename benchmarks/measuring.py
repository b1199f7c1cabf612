"""What a piece of work costs: CPU seconds of the whole machine, wall seconds, and the most memory
in use at once.

Nothing else may run meanwhile; servers that belong to the benchmark are named and taken off.
"""

import compileall
import contextlib
import os
import resource
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Cost:
    cpu_s: float
    wall_s: float
    peak_mb: float

    def less(self, other: "Cost") -> "Cost":
        """What is left beside `other`, a run with little work: start-up."""
        return Cost(self.cpu_s - other.cpu_s, self.wall_s - other.wall_s, self.peak_mb)


def machine_cpu_s() -> float:
    """User and system seconds of all cores since boot."""
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    user, nice, system, _, _, irq, softirq, *_ = map(int, fields)
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def process_cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def processes() -> set[int]:
    return {int(p.name) for p in Path("/proc").iterdir() if p.name.isdigit()}


def memory_mb(older: set[int]) -> float:
    """Proportional set size of all processes but `older` ones: shared pages count once."""
    total = 0
    for pid in processes() - older:
        with contextlib.suppress(OSError, StopIteration):
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            total += int(next(line for line in lines if line.startswith("Pss:")).split()[1])
    return total / 1024


def measured(work: Callable[[], None], servers: Iterable[int] = ()) -> Cost:
    """`servers`: processes whose CPU seconds do not count."""
    servers = list(servers)
    time.sleep(5)
    most, done, older = [0.0], threading.Event(), processes()

    def watch() -> None:
        while not done.wait(0.5):
            most[0] = max(most[0], memory_mb(older))

    watcher = threading.Thread(target=watch)
    watcher.start()
    cpu, own, wall = machine_cpu_s(), sum(map(process_cpu_s, servers)), time.monotonic()
    try:
        work()
    finally:
        done.set()
        watcher.join()
    return Cost(
        machine_cpu_s() - cpu - (sum(map(process_cpu_s, servers)) - own),
        time.monotonic() - wall,
        most[0],
    )


def own_cpu_s() -> tuple[float, float]:
    """(user and system seconds of this process, those of its ended children and theirs): on a busy
    machine they say more than seconds.
    """
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    first, others = (resource.getrusage(kind) for kind in kinds)
    return first.ru_utime + first.ru_stime, others.ru_utime + others.ru_stime


def compiled() -> None:
    """pairmill as it is once it is installed: without this, or where Python is told to keep no
    bytecode, each process of a run would compile it anew, half a second of a core.
    """
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    compileall.compile_dir(Path(__file__).parent.parent / "pairmill", quiet=2)


def machine() -> str:
    """The machine in a few words, for the figures' caption."""
    model = next(
        (
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        "?",
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} cores ({model}), {memory:.0f} GB"
