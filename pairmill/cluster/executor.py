"""Phases on Ray: shard numbers in, small summaries out.  A block is a shard all the way.  Ray Data
streams between the operators where there are several; a single light one is tasks alone.
"""

import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyarrow as pa

from pairmill.cluster.light_tasks import run_tasks
from pairmill.cluster.nodes import TO_START, usable_nodes
from pairmill.cluster.operators import (
    PLAIN,
    Operator,
    RefetchActor,
    StageActor,
    light_stages,
    operators,
    read_block,
)
from pairmill.cluster.phase_guard import PhaseGuard, Progress, guarded
from pairmill.cluster.run_actor import RunLine
from pairmill.cluster.session import RaySession, own_error, set_context
from pairmill.cluster.waiting import LOOK_EVERY_S
from pairmill.cluster.worker_shares import WorkerShares
from pairmill.errors import PairmillError, RunError
from pairmill.plan.chain import Chain, PlannedStage
from pairmill.work.block import Job
from pairmill.work.crew_size import pooled
from pairmill.work.messages import StageStats


def run_phase(
    session: RaySession, job: Job, shards: Sequence[int]
) -> Iterator[Sequence[StageStats]]:
    """Runs a phase over some shards; yields each finished shard's stage counts.  Raises
    RunError.

    It starts anew, with the shards that are left and other shares, where the cluster has changed so
    that it would stand still.
    """
    session.ensure()
    left = dict.fromkeys(shards)
    while True:
        shares = shares_for(session, job)
        guard = PhaseGuard(session.watched(), shares.nodes, shares.total, left)
        try:
            for stats in execution(session, job, list(left), shares, guard):
                for one in stats[:1]:
                    left.pop(one.shard, None)
                yield stats
            return
        except RunError:
            if not guard.changed:
                raise
            session.tell(guard.changed)


def execution(
    session: RaySession, job: Job, shards: Sequence[int], shares: WorkerShares, guard: Progress
) -> Iterator[Sequence[StageStats]]:
    """One streaming execution of a phase over some shards."""
    ray = session.ensure()
    line = RunLine(session.progress)
    parts = operators(job.stages())
    first = parts[0]
    if len(parts) == 1 and not pooled(first[0]):
        alone = Operator(job, tuple(s.index for s in first), line, last=True)
        yield from run_tasks(session, alone, shards, shares)
        return
    set_context(ray)
    # an array, which tasks share; a list of a million would be unpacked by each
    numbers = np.array(shards, np.int32)
    reads_ahead = pooled(first[0])
    options = {"num_cpus": 0.5 * shares.cpu_scale} if reads_ahead else shares.together(first)
    tasks = shares.tasks(0.5 if reads_ahead else 1)
    data = shard_numbers(ray, len(shards), tasks, options)
    if reads_ahead:  # of who computes
        kwargs: dict[str, Any] = {"job": job, "shards": numbers}
        data = data.map_batches(read_block, fn_kwargs=kwargs, compute=tasks, **options, **PLAIN)
    for i, part in enumerate(parts):
        operator = Operator(job, tuple(s.index for s in part), line, i == len(parts) - 1)
        if pooled(part[0]):
            kwargs = {"operator": operator, "cores": shares.cores(part[0], parts)}
            data = add_pool(data, ray, part[0], shares, StageActor, kwargs)
        else:
            kwargs = {"operator": operator, "shards": None if i else numbers}
            data = data.map_batches(
                light_stages,
                fn_kwargs=kwargs,
                compute=shares.tasks(1),
                **shares.together(part),
                **PLAIN,
            )
    for batch in batches(data, guard):
        for stats in batch.column("stats").to_pylist():
            yield [StageStats(**s) for s in stats]


def shard_numbers(ray: Any, count: int, tasks: Any, options: dict[str, Any]) -> Any:
    """A dataset of one block a shard, which holds its place.  It asks for what the operator behind
    it asks for, so that Ray Data makes one task of both; by itself it would want whole cores.
    """
    from ray.data._internal.datasource.range_datasource import RangeDatasource

    places = RangeDatasource(n=count, block_format="arrow", column_name="id")
    return ray.data.read_datasource(
        places, override_num_blocks=count, concurrency=tasks.size, **options
    )


def run_refetch(
    session: RaySession, chain: Chain, stage: PlannedStage, shards: Sequence[int], upto: int | None
) -> int:
    """Computes a stage again for rows whose bytes are gone, on the cluster and under the run's
    limits of hosts; gives their number.  Raises RunError.
    """
    ray = session.ensure()
    job = Job(chain, stage.index, stage.index + 1)
    kwargs: dict[str, Any] = {"job": job, "upto": upto, "shards": np.array(shards, np.int32)}
    found = 0
    while True:
        set_context(ray)
        shares = shares_for(session, job)
        guard = PhaseGuard(session.watched(), shares.nodes, shares.total, shards)
        options = {"num_cpus": 0.5 * shares.cpu_scale}
        data = shard_numbers(ray, len(shards), shares.tasks(0.5), options)
        kwargs["line"] = RunLine(session.progress)
        data = add_pool(data, ray, stage, shares, RefetchActor, kwargs)
        try:
            for batch in batches(data, guard):
                found += sum(batch.column("rows").to_pylist())
            return found
        except RunError:
            if not guard.changed:
                raise
            session.tell(guard.changed)  # what was fetched is stored, and not fetched again


def shares_for(session: RaySession, job: Job) -> WorkerShares:
    """Workers' shares of the nodes that there are.  Where one died and no other holds a worker of
    each stage, waits for another.  Raises RunError where none ever did.
    """
    ray, announced = session.ensure(), False
    while True:
        nodes = usable_nodes(ray)
        try:
            alive = [name for name in nodes if not name.startswith(TO_START)]
            return WorkerShares(job, list(nodes.values()), alive)
        except RunError as error:
            waits = session.watched().waits
            if not waits.dead:
                raise
            if not announced:
                session.tell(f"waiting for a node: {error} ({waits.died()})")
            announced = True
            time.sleep(LOOK_EVERY_S)


def batches(data: Any, guard: Progress) -> Iterator[pa.Table]:
    """What a dataset gives, as it comes.  Raises RunError."""
    with guarded(data, guard), own_errors():
        yield from data.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0)


@contextmanager
def own_errors() -> Iterator[None]:
    """What Ray raises is raised as RunError, in pairmill's words."""
    try:
        yield
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
