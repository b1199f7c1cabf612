"""How many processes of one machine do a phase, and whether any are worth starting."""

import glob
import math
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pairmill.plan.chain import PlannedStage
    from pairmill.work.block import Job

FEW_ROWS = 100_000
"""Rows that light stages of pairmill's own do in less time than processes take to start."""
FEW_NEW = 8_192
"""Rows that one process may do in less time than another takes to start."""
FEW_WRITTEN = 20_000
"""Rows of packages that threads of this process write sooner."""
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


def processes_for(job: "Job", most: int) -> int:
    """Processes for a phase, each with all of its stages: `most` (the machine's cores) for light
    ones.  What is costly to load is loaded once for each two workers' cores, or as often as the
    user says; one that mostly waits works on several shards in one process.
    """
    return max(1, min([most, *(workers(s, most) for s in job.stages() if pooled(s))]))


def workers(stage: "PlannedStage", most: int) -> int:
    """Processes that a stage with workers of its own may have."""
    resources = stage.config.resources
    most_there = int(len(devices()) / resources.gpus) if resources.gpus else None
    if bounds := resources.bounds():
        return bounds[1] if most_there is None else min(bounds[1], most_there)
    if most_there is not None:
        return most_there
    if stage.stage.overlap > 1:
        return 1
    return int(most / max(resources.cpus or stage.stage.cpus, 1) / 2)


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
