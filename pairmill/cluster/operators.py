"""What workers of Ray do in a phase: operators, which are one stage or several that one worker runs
one after another.

A stage with workers of its own (pools of actors) is an operator, and so are stages that load the
same model; neighbouring light stages share one, since each operator costs the driver time for every
shard, and each block between two of them a copy.
"""

import contextlib
import importlib
import os
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from pairmill.cluster.run_actor import RunLine
from pairmill.cluster.worker_shares import cpus_of
from pairmill.cluster.worker_start import end_within, safe_errors
from pairmill.plan.chain import PlannedStage
from pairmill.torch_device import CORES
from pairmill.work.block import OWN, STATS, Job, RowBlock
from pairmill.work.crew_size import pooled
from pairmill.work.deadline import ProcessWatchdog, end_with_parent
from pairmill.work.loaded import LoadedStage
from pairmill.work.refill import refetch
from pairmill.work.worker import StageWorker

_LOADED: dict[tuple[str, int, str], LoadedStage] = {}
"""Stages that this worker process has set up, kept for its next shards."""
WATCHDOG = ProcessWatchdog()
"""Ends this worker process when a call outlives its deadline."""
PLAIN: dict[str, Any] = {"batch_size": None, "batch_format": "pyarrow", "zero_copy_batch": True}
SUMMARY = pa.schema([("stats", STATS)])
"""What is left of a shard at the end of a phase."""


@dataclass(frozen=True)
class Operator:
    """Neighbouring stages of a phase that one worker runs one after another.  `last`: the phase
    ends with them.
    """

    job: Job
    indices: tuple[int, ...]
    line: RunLine
    last: bool

    @safe_errors
    def pass_on(self, block: RowBlock | None, loaded: Sequence[LoadedStage]) -> pa.Table:
        """A block after these stages, as Arrow; the phase's last leaves a summary."""
        if block is None or not len(block.numbers):
            return SUMMARY.empty_table() if self.last else pa.table({OWN[0]: pa.array([], "int32")})
        block = self.through(block, loaded)
        if not self.last:
            return block.to_arrow()
        counts = [asdict(s) for s in block.finish(self.job)]
        return pa.table({"stats": pa.array([counts], STATS)})

    def through(self, block: RowBlock, loaded: Sequence[LoadedStage]) -> RowBlock:
        """A block after these stages."""
        end_with_parent()
        before = len(block.stats)
        for index, one in zip(self.indices, loaded, strict=True):
            block = StageWorker(self.job, index, self.line, WATCHDOG, one)(block)
        # when all is done: where a process dies on the way, another does it all again
        for stats in block.stats[before:]:
            self.line.report(stats)
        return block


class StageActor:
    """A long-lived worker of one stage, or of several that share what they load; it may hold
    several shards at a time, each in a thread.  `cores`: those that it may use beside its share,
    while no other stage wants them.
    """

    def __init__(self, operator: Operator, cores: int = 0) -> None:
        end_within()  # a Ray that the caller started knows nothing of `begin`
        os.environ[CORES] = str(cores)
        self.operator, self.loaded = operator, [LoadedStage() for _ in operator.indices]
        stages = [operator.job.chain.stages[index] for index in operator.indices]
        threading.Thread(target=begin_imports, args=[stages], daemon=True, name="import").start()

    def __call__(self, table: pa.Table) -> pa.Table:
        return self.operator.pass_on(RowBlock.from_arrow(table), self.loaded)


def begin_imports(stages: Sequence[PlannedStage]) -> None:
    """Imports what stages will need; what fails then says so."""
    for name in (name for planned in stages for name in planned.stage.imports()):
        with contextlib.suppress(Exception):
            importlib.import_module(name)


class RefetchActor:
    """A long-lived worker that computes a stage again where payload is gone."""

    def __init__(self, job: Job, upto: int | None, line: RunLine, shards: np.ndarray) -> None:
        planned = job.chain.stages[job.first]
        self.work = partial(refetch, job.chain, planned, upto, line, WATCHDOG, LoadedStage())
        self.shards = shards

    @safe_errors
    def __call__(self, table: pa.Table) -> pa.Table:
        end_with_parent()
        return pa.table({"rows": [self.work(int(self.shards[table.column("id")[0].as_py()]))]})


@safe_errors
def light_stages(table: pa.Table, operator: Operator, shards: np.ndarray | None) -> pa.Table:
    """A task; with `shards` it reads its shard first."""
    job = operator.job
    loaded = [loaded_in_process(job, index) for index in operator.indices]
    if shards is None:
        return operator.pass_on(RowBlock.from_arrow(table), loaded)
    return operator.pass_on(job.read(int(shards[table.column("id")[0].as_py()])), loaded)


@safe_errors
def read_block(table: pa.Table, job: Job, shards: np.ndarray) -> pa.Table:
    """A task that reads a shard for workers that compute."""
    return job.read(int(shards[table.column("id")[0].as_py()])).to_arrow()


def loaded_in_process(job: Job, index: int) -> LoadedStage:
    """What this worker process has loaded of a stage, for a task that lives for one shard only."""
    planned = job.chain.stages[index]
    key = (job.chain.root, index, planned.label)
    return _LOADED.setdefault(key, LoadedStage())


def operators(stages: Sequence[PlannedStage]) -> list[list[PlannedStage]]:
    """Each stage with workers of its own by itself, but for those that load the same model, with
    light ones between them; and runs of light ones that ask for the same.
    """
    groups: list[list[PlannedStage]] = []
    for stage in stages:
        if pooled(stage) and (parts := one_copy(groups, stage)):
            groups[-parts:] = [[*(s for part in groups[-parts:] for s in part), stage]]
        elif groups and not pooled(stage) and alike(groups[-1][-1], stage):
            groups[-1].append(stage)
        else:
            groups.append([stage])
    return groups


def one_copy(groups: Sequence[list[PlannedStage]], stage: PlannedStage) -> int:
    """How many of the last operators become one with a stage: up to one whose workers hold the very
    model that it loads, beyond light ones that its workers have the cores for; 0 where there is
    none.
    """
    key, resources = stage.stage.shares(), stage.config.resources
    for parts, part in enumerate(reversed(groups), 1):
        first = part[0]
        if pooled(first):
            same = key is not None and first.stage.shares() == key
            fits = first.config.resources == resources
            return parts if same and fits and first.stage.overlap == stage.stage.overlap else 0
        if max(cpus_of(one) for one in part) > cpus_of(stage):
            return 0
    return 0


def alike(one: PlannedStage, other: PlannedStage) -> bool:
    """Whether a light stage asks for the same as another; of one core, any part is the same."""
    cpus = {max(cpus_of(stage), 1) for stage in (one, other)}
    same = one.config.resources == other.config.resources
    return not pooled(one) and same and len(cpus) == 1
