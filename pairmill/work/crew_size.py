"""How many processes of one machine do a phase, and whether any are worth starting."""

import glob
import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pairmill.free_memory import free_bytes

if TYPE_CHECKING:
    from pairmill.plan.chain import PlannedStage
    from pairmill.work.block import Job

FEW_ROWS = 100_000
"""Rows that light stages of pairmill's own do in less time than processes take to start."""
FEW_NEW = 8_192
"""Rows that one process may do in less time than another takes to start."""
FEW_WRITTEN = 20_000
"""Rows of packages that threads of this process write sooner."""
FEW_ASKED = 256
"""Rows for which one more process that asks a model is worth its start."""
OF_FREE_MEMORY = 0.5
"""Part of the free memory that copies of models may take, where the user names no `replicas`."""
PROCESS_BYTES = 2**30
"""A process with torch and transformers, beside its models."""
LOADING = 1.5
"""Of a model's size, while it is loaded and while it computes."""
BYTES_EACH = 4 * 2**30
"""Memory of the machine for each process that writes output shards."""


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


def devices() -> list[str]:
    """GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them; torch is not asked."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [d for d in named.split(",") if d.strip()]
    return [str(i) for i, _ in enumerate(glob.glob("/proc/driver/nvidia/gpus/*"))]


def pooled(stage: "PlannedStage") -> bool:
    """Whether a stage has workers of its own: its setup is costly, it wants GPUs, or the user said
    how many there be.
    """
    resources = stage.config.resources
    return bool(stage.stage.actor or resources.bounds() is not None or resources.gpus)


def processes_for(job: "Job", most: int, rows: int | None = None) -> int:
    """Processes for a phase, each with all of its stages (see `crew_of`)."""
    return crew_of(job.stages(), most, rows).processes


@dataclass(frozen=True)
class CrewSize:
    """Processes of a phase, and how many batches a model computes at a time in each.  `because`:
    why they are fewer than cores, where memory is the reason.
    """

    processes: int
    batches: int
    because: str = ""


def crew_of(stages: "Sequence[PlannedStage]", most: int, rows: int | None = None) -> CrewSize:
    """How many processes do a phase of stages: `most` (the machine's cores) where all are light.

    What is costly to load is loaded once for each two workers' cores, or as often as the user says;
    what asks a model here once for each core, as generating holds Python's lock for much of its
    time, and for so many `rows` (if known) as are worth it; one that mostly waits works on several
    shards in one process.  Copies that nobody asked for fit the memory that is free.
    """
    own = [stage for stage in stages if pooled(stage)]
    wanted = max(1, min([most, *(workers(stage, most) for stage in own)]))
    if rows is not None and any(map(asks_here, own)):
        wanted = min(wanted, max(1, rows // FEW_ASKED))
    unasked = [s for s in own if not (s.config.resources.bounds() or s.config.resources.gpus)]
    because = ""
    if wanted > 1 and unasked:
        fitting, because = fit(unasked, wanted)
        wanted = fitting if fitting == wanted else max(1, most // math.ceil(most / fitting))
    each = max((s.config.resources.cpus or s.stage.cpus for s in own), default=1)
    return CrewSize(wanted, max(1, int(cores() // wanted / max(each, 1))), because)


def workers(stage: "PlannedStage", most: int) -> int:
    """Processes that a stage with workers of its own may have."""
    resources = stage.config.resources
    most_there = int(len(devices()) / resources.gpus) if resources.gpus else None
    if bounds := resources.bounds():
        return bounds[1] if most_there is None else min(bounds[1], most_there)
    if most_there is not None:
        return most_there
    if stage.stage.waits() or (asks_here(stage) and devices()):
        return 1
    each = max(resources.cpus or stage.stage.cpus, 1)
    return int(most / each / (1 if asks_here(stage) else 2))


def asks_here(stage: "PlannedStage") -> bool:
    """Whether a stage holds several shards in work, and computes in its own process."""
    return bool(stage.stage.overlap > 1 and not stage.stage.waits())


def fit(stages: "Iterable[PlannedStage]", wanted: int) -> tuple[int, str]:
    """(processes whose copies of what stages load fit the free memory, why they are fewer)."""
    sizes = {}
    for stage in stages:
        said = stage.config.resources.memory_bytes()
        sizes[stage.stage.shares() or stage.name] = (
            said if said is not None else stage.stage.loads_bytes()
        )
    if None in sizes.values():
        return 1, "one copy, as the size of its model is not known here yet"
    loaded = sum(size or 0 for size in sizes.values())
    if not loaded:
        return wanted, ""
    free = free_bytes() * OF_FREE_MEMORY
    count = max(1, int(free / (PROCESS_BYTES + LOADING * loaded)))
    if count >= wanted:
        return wanted, ""
    return count, f"models of {loaded / 1e9:.3g} GB, {free / OF_FREE_MEMORY / 1e9:.3g} GB free"


def gpus_each(stages: "Sequence[PlannedStage]") -> int:
    """GPUs of each process that has these stages."""
    return math.ceil(max((s.config.resources.gpus for s in stages), default=0))


def is_small(job: "Job", rows: int) -> bool:
    """Whether a phase is done in this process sooner, and none of its stages is a stranger's, which
    might take its process down.
    """
    return rows <= FEW_ROWS and all(map(stays_here, job.stages()))


def is_little(job: "Job", rows: int) -> bool:
    """Whether one process may have done a phase before another has started."""
    return rows <= FEW_NEW and not any(map(pooled, job.stages()))


def stays_here(stage: "PlannedStage") -> bool:
    """Whether few rows of a stage are done in this process."""
    return type(stage.stage).__module__.startswith("pairmill.") and not pooled(stage)


def travels(job: "Job") -> bool:
    """Whether other processes find the stages' code."""
    return all(map(is_findable, job.stages()))


def is_findable(stage: "PlannedStage") -> bool:
    """Whether other processes find a stage's code: not what a script or a notebook defines."""
    kinds = (type(stage.stage), type(stage.config))
    return all(kind.__module__ != "__main__" and "<" not in kind.__qualname__ for kind in kinds)


def writers() -> int:
    """Processes that write output shards, each of which is in memory as a whole."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(2, min(cores(), memory // BYTES_EACH))
