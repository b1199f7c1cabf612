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
from dataclasses import dataclass
from functools import partial
from typing import Any

from pairmill.cluster.run_actor import RunLine
from pairmill.cluster.worker_shares import cpus_of
from pairmill.cluster.worker_start import end_within, safe_errors
from pairmill.plan.chain import PlannedStage
from pairmill.schemas.arrow import is_payload
from pairmill.torch_device import CORES
from pairmill.work.block import Job, RowBlock
from pairmill.work.crew_size import pooled
from pairmill.work.deadline import ProcessWatchdog, end_with_parent
from pairmill.work.loaded import LoadedStage, close_all, halt_all
from pairmill.work.refill import refetch
from pairmill.work.worker import StageWorker

_LOADED: dict[tuple[str, int, str], LoadedStage] = {}
"""Stages that this worker process has set up, kept for its next shards."""
_OPERATORS: dict[tuple[str, int], "Operator"] = {}
"""Operators of the phase that this worker process has tasks of."""
WATCHDOG = ProcessWatchdog()
"""Ends this worker process when a call outlives its deadline."""


@dataclass(frozen=True)
class CallReport:
    """What the driver learns of a shard that a worker is done with."""

    result: Any = None
    """The counts of its stages, once it has passed the phase's last; or what else was asked for."""
    bytes: int | None = None
    """Size of the block that goes on; None where the shard is done."""
    node: str = ""
    """Where that block lies."""


Left = tuple[RowBlock | None, CallReport]
"""What a call leaves: a block that stays where it is, and what is told of it."""


@dataclass(frozen=True)
class Operator:
    """Neighbouring stages of a phase that one worker runs one after another; none where it only
    reads.  `last`: the phase ends with them.
    """

    job: Job
    indices: tuple[int, ...]
    line: RunLine
    last: bool = False

    @safe_errors
    def pass_on(self, shard: int, block: RowBlock | None, loaded: Sequence[LoadedStage]) -> Left:
        """A shard's block after these stages.  `block`: None where it is still to be read."""
        if block is None:
            block = self.job.read(shard)
            if not len(block.numbers):
                return None, CallReport(())
        block = self.through(block, loaded)
        if self.last:
            return None, CallReport(block.finish(self.job))
        return block, CallReport(None, block.nbytes, own_node())

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


def own_node() -> str:
    """The id of the node that this worker is on."""
    import ray

    return str(ray.get_runtime_context().get_node_id())


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

    def where(self) -> str:
        """Its node, once it is there."""
        return own_node()

    def pass_on(self, shard: int, block: RowBlock | None) -> Left:
        """A shard's block after the stages."""
        return self.operator.pass_on(shard, block, self.loaded)

    def halt(self) -> None:
        """Has stored what was answered: the actor is about to be killed."""
        halt_all(self.loaded)
        self.operator.line.arrived()

    def end(self) -> None:
        """Closes the stages: no shard will come."""
        close_all(self.loaded)
        self.operator.line.arrived()


def begin_imports(stages: Sequence[PlannedStage]) -> None:
    """Imports what stages will need; what fails then says so."""
    for name in (name for planned in stages for name in planned.stage.imports()):
        with contextlib.suppress(Exception):
            importlib.import_module(name)


class RefetchActor:
    """A long-lived worker that computes a stage again where payload is gone."""

    def __init__(self, job: Job, upto: int | None, line: RunLine) -> None:
        end_within()
        planned, self.loaded, self.line = job.chain.stages[job.first], LoadedStage(), line
        self.work = partial(refetch, job.chain, planned, upto, line, WATCHDOG, self.loaded)

    def where(self) -> str:
        """Its node, once it is there."""
        return own_node()

    @safe_errors
    def pass_on(self, shard: int, block: None) -> Left:
        """The number of a shard's rows that were computed again."""
        end_with_parent()
        return None, CallReport(self.work(shard))

    def halt(self) -> None:
        """Has stored what has come: the actor is about to be killed."""
        halt_all([self.loaded])
        self.line.arrived()

    def end(self) -> None:
        """Closes the stage: no shard will come."""
        close_all([self.loaded])
        self.line.arrived()


@safe_errors
def stages_of_shard(key: tuple[str, int], shared: list[Any], shard: int, block: Any) -> Left:
    """A task: an operator's stages over a shard.  `key`: the phase, and the operator's place in it,
    which `shared` refers to: in a list, so that a process fetches it once and not for each task.
    """
    if (operator := _OPERATORS.get(key)) is None:
        import ray

        for other in [other for other in _OPERATORS if other[0] != key[0]]:
            del _OPERATORS[other]
        operator = _OPERATORS[key] = ray.get(shared[0])
    loaded = [loaded_in_process(operator.job, index) for index in operator.indices]
    return operator.pass_on(shard, block, loaded)


def loaded_in_process(job: Job, index: int) -> LoadedStage:
    """What this worker process has loaded of a stage, for a task that lives for one shard only.  It
    is never closed: Ray says nothing to a process of tasks before it ends it.
    """
    planned = job.chain.stages[index]
    key = (job.chain.root, index, planned.label)
    return _LOADED.setdefault(key, LoadedStage())


def reads_ahead(job: Job) -> bool:
    """Whether tasks read shards for the phase's first workers, which are many bytes and which these
    would wait for, as they take one at a time.
    """
    first = job.stages()[0]
    if not pooled(first) or first.stage.overlap > 1:
        return False
    needed = set(job.read_columns())
    return any(is_payload(f.type) for f in job.chain.schema if f.name in needed)


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
