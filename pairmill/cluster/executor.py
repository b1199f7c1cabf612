"""Phases on Ray Data: shard numbers in, small summaries out.  A block is a shard all the way.

A stage with workers of its own (pools of actors) is an operator; neighbouring light stages share
one, since each operator costs the driver time for every shard, and each block between two of them a
copy.
"""

import json
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa

from pairmill.cluster.room import Room, cpus_of, pooled
from pairmill.cluster.run_actor import RunLine
from pairmill.cluster.session import RaySession, own_error, set_context
from pairmill.errors import PairmillError
from pairmill.plan.chain import PlannedStage
from pairmill.work.block import Job, finish
from pairmill.work.deadline import Watchdog, end_with_parent
from pairmill.work.loaded import Loaded
from pairmill.work.worker import StageWorker

_LOADED: dict[tuple[str, int, str], Loaded] = {}
"""Stages that this worker process has set up, kept for its next shards."""
WATCHDOG = Watchdog(fatal=True)
"""Ends this worker process when a call outlives its deadline."""
PLAIN: dict[str, Any] = {"batch_size": None, "batch_format": "pyarrow", "zero_copy_batch": True}


def through(
    block: pa.Table, job: Job, loaded: dict[int, Loaded], line: RunLine, last: bool
) -> pa.Table:
    """A block after some stages, by index; `last`: the phase ends with them, and a summary is left
    of the block.
    """
    end_with_parent()
    workers = [StageWorker(job, index, line, WATCHDOG, one) for index, one in loaded.items()]
    for worker in workers:
        block = worker(block)
    for (
        worker
    ) in workers:  # when all is done: where a process dies on the way, another does it all again
        if worker.stats.stage:
            line.report(asdict(worker.stats))
    return finish(job, block) if last else block


class StageActor:
    """A long-lived worker of one stage; it may hold several shards at a time, each in a thread."""

    def __init__(self, job: Job, index: int, line: RunLine, last: bool) -> None:
        self.job, self.line, self.last, self.loaded = job, line, last, {index: Loaded()}

    def __call__(self, block: pa.Table) -> pa.Table:
        return through(block, self.job, self.loaded, self.line, self.last)


def light_stages(
    batch: pa.Table,
    job: Job,
    indices: list[int],
    line: RunLine,
    shards: np.ndarray | None,
    last: bool,
) -> pa.Table:
    """A task; with `shards` it reads its shard first."""
    block = batch if shards is None else read_block(batch, job, shards)
    return through(block, job, {i: loaded_in_process(job, i) for i in indices}, line, last)


def read_block(batch: pa.Table, job: Job, shards: np.ndarray) -> pa.Table:
    return job.read(int(shards[batch.column("id")[0].as_py()]))


def loaded_in_process(job: Job, index: int) -> Loaded:
    """What this worker process has loaded of a stage, for a task that lives for one shard only."""
    planned = job.chain.stages[index]
    key = (job.chain.root, index, planned.column_set if planned.computes else planned.name)
    return _LOADED.setdefault(key, Loaded())


def operators(stages: Sequence[PlannedStage]) -> list[list[PlannedStage]]:
    """Each stage with workers of its own by itself, and runs of light ones that ask for the same."""
    found: list[list[PlannedStage]] = []
    for stage in stages:
        if found and not pooled(stage) and alike(found[-1][-1], stage):
            found[-1].append(stage)
        else:
            found.append([stage])
    return found


def alike(one: PlannedStage, other: PlannedStage) -> bool:
    return (
        not pooled(one)
        and one.config.resources == other.config.resources
        and cpus_of(one) == cpus_of(other)
    )


def run_phase(session: RaySession, job: Job, shards: list[int]) -> Iterator[list[dict[str, Any]]]:
    """Runs a phase over some shards; yields each finished shard's stage counts.  Raises RunError."""
    ray = session.ensure()
    set_context(ray)
    room = Room(job, [n["Resources"] for n in ray.nodes() if n["Alive"]])
    line = RunLine(session.progress)
    numbers = np.array(
        shards, np.int32
    )  # an array, which tasks share; a list of a million would be unpacked by each
    data = ray.data.range(len(shards), override_num_blocks=len(shards))
    parts = operators(job.stages())
    if pooled(parts[0][0]):  # reads ahead of who computes
        options = {"num_cpus": 0.5 * room.cpu_scale, "compute": room.tasks(0.5)}
        data = data.map_batches(
            read_block, fn_kwargs={"job": job, "shards": numbers}, **options, **PLAIN
        )
    for i, part in enumerate(parts):
        last = i == len(parts) - 1
        if pooled(part[0]):
            data = add_pool(
                data,
                ray,
                part[0],
                room,
                {"job": job, "index": part[0].index, "line": line, "last": last},
            )
        else:
            kwargs = {
                "job": job,
                "indices": [s.index for s in part],
                "line": line,
                "shards": None if i else numbers,
                "last": last,
            }
            data = data.map_batches(
                light_stages,
                fn_kwargs=kwargs,
                compute=room.tasks(1),
                **room.together(part),
                **PLAIN,
            )
    try:
        for batch in data.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
            for stats in batch.column("stats").to_pylist():
                yield json.loads(stats)
    except PairmillError:
        raise
    except (GeneratorExit, KeyboardInterrupt):
        raise
    except Exception as error:
        raise own_error(error) from error


def add_pool(data: Any, ray: Any, stage: PlannedStage, room: Room, kwargs: dict[str, Any]) -> Any:
    options = {**PLAIN, **room.options(stage)}
    if gpus := options.pop(
        "num_gpus", 0
    ):  # with `num_gpus` Ray Data wants a batch size, and would then merge or cut shards
        options["ray_remote_args_fn"] = lambda: {"num_gpus": gpus}
        warnings.filterwarnings("ignore", message=".*ray_remote_args_fn")
    low, high = room.workers(stage)
    pool = ray.data.ActorPoolStrategy(
        min_size=low, max_size=high, enable_true_multi_threading=stage.stage.overlap > 1
    )
    if stage.stage.overlap > 1:
        options["max_concurrency"] = stage.stage.overlap
    return data.map_batches(StageActor, fn_constructor_kwargs=kwargs, compute=pool, **options)
