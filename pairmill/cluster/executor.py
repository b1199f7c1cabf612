"""Phases on Ray: shard numbers in, small summaries out.  A block is a shard all the way.  Ray Data
streams between the operators where there are several; a single light one is tasks alone.

A stage with workers of its own (pools of actors) is an operator, and so are stages that load the
same model; neighbouring light stages share one, since each operator costs the driver time for every
shard, and each block between two of them a copy.
"""

import warnings
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from pairmill.cluster.light_tasks import run_tasks
from pairmill.cluster.operator import WATCHDOG, Operator, loaded_in_process
from pairmill.cluster.run_actor import RunLine
from pairmill.cluster.session import RaySession, own_error, set_context
from pairmill.cluster.worker_shares import WorkerShares, cpus_of
from pairmill.cluster.worker_start import safe_errors
from pairmill.errors import PairmillError
from pairmill.plan.chain import Chain, PlannedStage
from pairmill.work.block import Job, RowBlock
from pairmill.work.crew_size import pooled
from pairmill.work.deadline import end_with_parent
from pairmill.work.loaded import LoadedStage
from pairmill.work.messages import StageStats
from pairmill.work.refill import refetch

PLAIN: dict[str, Any] = {"batch_size": None, "batch_format": "pyarrow", "zero_copy_batch": True}


class StageActor:
    """A long-lived worker of one stage, or of several that share what they load; it may hold
    several shards at a time, each in a thread.
    """

    def __init__(self, operator: Operator) -> None:
        self.operator, self.loaded = operator, [LoadedStage() for _ in operator.indices]

    def __call__(self, table: pa.Table) -> pa.Table:
        return self.operator.pass_on(RowBlock.from_arrow(table), self.loaded)


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


def operators(stages: Sequence[PlannedStage]) -> list[list[PlannedStage]]:
    """Each stage with workers of its own by itself, but for those that load the same model, with
    light ones between them; and runs of light ones that ask for the same.
    """
    found: list[list[PlannedStage]] = []
    for stage in stages:
        if pooled(stage) and (parts := one_copy(found, stage)):
            found[-parts:] = [[*(s for part in found[-parts:] for s in part), stage]]
        elif found and not pooled(stage) and alike(found[-1][-1], stage):
            found[-1].append(stage)
        else:
            found.append([stage])
    return found


def one_copy(found: Sequence[list[PlannedStage]], stage: PlannedStage) -> int:
    """How many of the last operators become one with a stage: up to one whose workers hold the very
    model that it loads, beyond light ones that its workers have the cores for; 0 where there is
    none.
    """
    key, resources = stage.stage.shares(), stage.config.resources
    for parts, part in enumerate(reversed(found), 1):
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


def run_phase(
    session: RaySession, job: Job, shards: Sequence[int]
) -> Iterator[Sequence[StageStats]]:
    """Runs a phase over some shards; yields each finished shard's stage counts.  Raises
    RunError.
    """
    ray = session.ensure()
    worker_shares = WorkerShares(job, alive_nodes(ray))
    line = RunLine(session.progress)
    parts = operators(job.stages())
    if len(parts) == 1 and not pooled(parts[0][0]):
        alone = Operator(job, tuple(s.index for s in parts[0]), line, last=True)
        yield from run_tasks(session, alone, shards, worker_shares)
        return
    set_context(ray)
    # an array, which tasks share; a list of a million would be unpacked by each
    numbers = np.array(shards, np.int32)
    data = ray.data.range(len(shards), override_num_blocks=len(shards))
    if pooled(parts[0][0]):  # reads ahead of who computes
        options = {"num_cpus": 0.5 * worker_shares.cpu_scale, "compute": worker_shares.tasks(0.5)}
        kwargs: dict[str, Any] = {"job": job, "shards": numbers}
        data = data.map_batches(read_block, fn_kwargs=kwargs, **options, **PLAIN)
    for i, part in enumerate(parts):
        operator = Operator(job, tuple(s.index for s in part), line, i == len(parts) - 1)
        if pooled(part[0]):
            data = add_pool(data, ray, part[0], worker_shares, StageActor, {"operator": operator})
        else:
            kwargs = {"operator": operator, "shards": None if i else numbers}
            data = data.map_batches(
                light_stages,
                fn_kwargs=kwargs,
                compute=worker_shares.tasks(1),
                **worker_shares.together(part),
                **PLAIN,
            )
    for batch in batches(data):
        for stats in batch.column("stats").to_pylist():
            yield [StageStats(**s) for s in stats]


def run_refetch(
    session: RaySession, chain: Chain, stage: PlannedStage, shards: Sequence[int], upto: int | None
) -> int:
    """Computes a stage again for rows whose bytes are gone, on the cluster and under the run's
    limits of hosts; gives their number.  Raises RunError.
    """
    ray = session.ensure()
    set_context(ray)
    job = Job(chain, stage.index, stage.index + 1)
    worker_shares, line = WorkerShares(job, alive_nodes(ray)), RunLine(session.progress)
    data = ray.data.range(len(shards), override_num_blocks=len(shards))
    kwargs = {"job": job, "upto": upto, "line": line, "shards": np.array(shards, np.int32)}
    data = add_pool(data, ray, stage, worker_shares, RefetchActor, kwargs)
    return sum(sum(batch.column("rows").to_pylist()) for batch in batches(data))


def alive_nodes(ray: Any) -> list[dict[str, float]]:
    """Resources of each node that works."""
    return [n["Resources"] for n in ray.nodes() if n["Alive"]]


def batches(data: Any) -> Iterator[pa.Table]:
    """What a dataset gives, as it comes.  Raises RunError."""
    try:
        yield from data.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0)
    except (PairmillError, GeneratorExit, KeyboardInterrupt):
        raise
    except Exception as error:
        raise own_error(error) from error


def add_pool(
    data: Any,
    ray: Any,
    stage: PlannedStage,
    worker_shares: WorkerShares,
    actor: type,
    kwargs: dict[str, Any],
) -> Any:
    """Adds an operator whose workers are actors."""
    options = {**PLAIN, **worker_shares.options(stage)}
    # with `num_gpus` Ray Data wants a batch size, and would then merge or cut shards
    if gpus := options.pop("num_gpus", 0):
        options["ray_remote_args_fn"] = lambda: {"num_gpus": gpus}
        warnings.filterwarnings("ignore", message=".*ray_remote_args_fn")
    low, high = worker_shares.workers(stage)
    pool = ray.data.ActorPoolStrategy(
        min_size=low, max_size=high, enable_true_multi_threading=stage.stage.overlap > 1
    )
    if stage.stage.overlap > 1:
        options["max_concurrency"] = stage.stage.overlap
    return data.map_batches(actor, fn_constructor_kwargs=kwargs, compute=pool, **options)
