"""Phases on Ray Data: shard numbers in, one operator a stage, small summaries out.  A block is a shard all the way."""

import contextlib
import json
import logging
import os
import re
import signal
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from pairmill import errors
from pairmill.errors import PairmillError, RunError
from pairmill.images import first_line
from pairmill.pipeline.chain import PlannedStage
from pairmill.pipeline.deadline import Watchdog
from pairmill.pipeline.here import log_told
from pairmill.pipeline.job import Job
from pairmill.pipeline.memory import in_flight, shard_bytes, worker_bytes
from pairmill.pipeline.nodes import check_nodes
from pairmill.pipeline.run_actor import RunLine, start_run_actor
from pairmill.pipeline.worker import Loaded, StageWorker, finish

OWN_ERROR = re.compile(r"^pairmill\.errors\.(\w+): (.+)$", re.MULTILINE)
ANY_ERROR = re.compile(r"^(?!ray\.)[\w.]*(?:Error|Exception): .+$", re.MULTILINE)
_LOADED: dict[tuple[str, int, str], Loaded] = {}
"""Stages that this worker process has set up, kept for its next shards."""
WATCHDOG = Watchdog(fatal=True)
"""Ends this worker process when a call outlives its deadline."""


class StageActor:
    """A long-lived worker of one stage; it may hold several shards at a time, each in a thread."""

    def __init__(self, job: Job, index: int, line: RunLine) -> None:
        self.job, self.index, self.line, self.loaded = job, index, line, Loaded()

    def __call__(self, block: pa.Table) -> pa.Table:
        return StageWorker(self.job, self.index, self.line, WATCHDOG, self.loaded)(block)


def read_block(batch: pa.Table, job: Job, shards: list[int]) -> pa.Table:
    return job.read(shards[batch.column("id")[0].as_py()])


def stage_block(block: pa.Table, job: Job, index: int, line: RunLine) -> pa.Table:
    return StageWorker(job, index, line, WATCHDOG, loaded_in_process(job, index))(block)


def loaded_in_process(job: Job, index: int) -> Loaded:
    """What this worker process has loaded of a stage, for a task that lives for one shard only."""
    planned = job.chain.stages[index]
    key = (job.chain.root, index, planned.column_set if planned.computes else planned.name)
    return _LOADED.setdefault(key, Loaded())


def finish_block(block: pa.Table, job: Job) -> pa.Table:
    return finish(job, block)


@dataclass
class RaySession:
    """Ray, started when the first phase needs it; one that the caller started is used and left running."""

    paths: list[str]
    started: bool = False
    progress: Any = None
    run_id: str = ""
    places: tuple[str, ...] = ()
    """Folders that every node must reach."""

    def ensure(self) -> Any:
        import ray

        if not ray.is_initialized():
            quiet_ray()
            options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR, "configure_logging": True}
            python_path = os.pathsep.join([*self.paths, *filter(None, [os.environ.get("PYTHONPATH")])])
            options["runtime_env"] = {"env_vars": {"PYTHONPATH": python_path}}
            if not os.environ.get("RAY_ADDRESS"):
                options |= {"num_cpus": max(2, os.cpu_count() or 1), "include_dashboard": False, "object_store_memory": store_bytes()}
            with interrupt_later():
                ray.init(**options)
                self.started = True
        if self.progress is None:
            check_nodes(ray, self.places)
            self.progress = start_run_actor(self.run_id)
        return ray

    def close(self) -> None:
        if self.progress is not None:
            import ray

            with contextlib.suppress(Exception):
                for told in ray.get(self.progress.fetch.remote(), timeout=5):
                    log_told(told)
            with contextlib.suppress(Exception):  # the session may be gone already
                ray.kill(self.progress)
            self.progress = None
            if self.started:
                ray.shutdown()


@contextlib.contextmanager
def interrupt_later() -> Iterator[None]:
    """Ctrl-C waits for the end of the block, the second one does not: Ray's start can end the process without a word."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    usual, pressed = signal.getsignal(signal.SIGINT), list[int]()

    def note(number: int, frame: Any) -> None:
        if pressed:
            raise KeyboardInterrupt
        pressed.append(number)

    signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)
    if pressed:
        raise KeyboardInterrupt


def quiet_ray() -> None:
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")


def store_bytes() -> int:
    """Object store of a local session: a fifth of the memory, at most 4 GB and what /dev/shm has."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    shm = os.statvfs("/dev/shm") if os.path.isdir("/dev/shm") else None
    room = int(shm.f_bavail * shm.f_frsize * 0.8) if shm else memory
    return max(128 * 2**20, min(memory // 5, 4 * 10**9, room))


def cpus_of(stage: PlannedStage) -> float:
    return float(stage.config.resources.cpus or stage.stage.cpus)


class Room:
    """What each worker asks of the cluster.

    Actors' cores and all workers' memory are scaled to half of what the cluster has, because Ray Data waits for ever
    where reserved actors leave no room for its tasks.  Memory that the user named is not scaled.
    """

    def __init__(self, job: Job, nodes: list[dict[str, float]]) -> None:
        self.total = sum(n.get("CPU", 0) for n in nodes)
        self.block = shard_bytes(job.chain, job.first, job.last)
        self.cpu_scale = min(1.0, self.total / (2 * cpus_needed(job.stages())))
        wanted = in_flight(job.chain, job.first, job.last)
        self.memory_scale = min(1.0, sum(n.get("memory", 0) for n in nodes) / 2 / wanted) if wanted else 1.0
        self.largest = max((n.get("memory", 0) for n in nodes), default=0)
        for stage in job.stages():
            self.check(stage, nodes)

    def options(self, stage: PlannedStage) -> dict[str, Any]:
        resources = stage.config.resources
        derived = min(worker_bytes(stage, self.block) * self.memory_scale, self.largest / 2)
        gpus = {"num_gpus": resources.gpus} if resources.gpus else {}
        return {"num_cpus": cpus_of(stage) * self.cpu_scale, "memory": resources.memory_bytes() or int(derived), **gpus}

    def check(self, stage: PlannedStage, nodes: list[dict[str, float]]) -> None:
        """Raises RunError where no single node holds one worker of the stage: Ray would wait for such a node for ever."""
        asked = self.options(stage)
        needs = {"CPU": asked["num_cpus"], "GPU": asked.get("num_gpus", 0), "memory": asked["memory"]}
        if not any(all(node.get(name, 0) >= amount for name, amount in needs.items()) for node in nodes):
            words = ", ".join(f"{a / 1e9:.1f} GB" if n == "memory" else f"{a:g} {n}" for n, a in needs.items() if a)
            most = ", ".join(f"{max(n.get(k, 0) for n in nodes):g} {k}" for k in ("CPU", "GPU"))
            raise RunError(
                f"stage {stage.name!r}: no node holds one of its workers ({words}); the largest have {most} and {self.largest / 1e9:.1f} GB; "
                "lower `resources`, or add a node"
            )

    def tasks(self, share: float) -> Any:
        """At most so many tasks of an operator at once, per core: scaled shares would allow more, each in a new process."""
        import ray

        return ray.data.TaskPoolStrategy(size=max(1, int(self.total * share)))

    def workers(self, stage: PlannedStage) -> tuple[int, int]:
        """(least, most) actors of a stage."""
        return stage.config.resources.bounds() or (1, max(1, int(self.total / max(cpus_of(stage), 1) / 2)))


def pooled(stage: PlannedStage) -> bool:
    """Whether a stage's workers are actors: its setup is costly, it wants GPUs, or the user said how many there be."""
    resources = stage.config.resources
    return bool(stage.stage.actor or resources.bounds() is not None or resources.gpus)


def cpus_needed(stages: tuple[PlannedStage, ...]) -> float:
    """Cores with which all actor pools of a phase can run at once, beside the tasks."""
    pools = sum(cpus_of(s) * (s.config.resources.bounds() or (1, 1))[0] for s in stages if pooled(s))
    return pools + max([1.0, *(cpus_of(s) for s in stages if not pooled(s))])


def run_phase(session: RaySession, job: Job, shards: list[int]) -> Iterator[list[dict[str, Any]]]:
    """Runs a phase over some shards; yields each finished shard's stage counts.  Raises RunError."""
    ray = session.ensure()
    set_context(ray)
    room = Room(job, [n["Resources"] for n in ray.nodes() if n["Alive"]])
    line = RunLine(session.progress)
    plain: dict[str, Any] = {"batch_size": None, "batch_format": "pyarrow", "zero_copy_batch": True}
    data = ray.data.range(len(shards), override_num_blocks=len(shards))
    data = data.map_batches(
        read_block, fn_kwargs={"job": job, "shards": shards}, num_cpus=0.5 * room.cpu_scale, compute=room.tasks(0.5), **plain
    )
    for stage in job.stages():
        data = add_stage(ray, data, stage, job, line, room, plain)
    data = data.map_batches(finish_block, fn_kwargs={"job": job}, num_cpus=0.25 * room.cpu_scale, compute=room.tasks(0.5), **plain)
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


def add_stage(ray: Any, data: Any, stage: PlannedStage, job: Job, line: RunLine, room: Room, plain: dict[str, Any]) -> Any:
    options = {**plain, **room.options(stage)}
    if gpus := options.pop("num_gpus", 0):  # with `num_gpus` Ray Data wants a batch size, and would then merge or cut shards
        options["ray_remote_args_fn"] = lambda: {"num_gpus": gpus}
        warnings.filterwarnings("ignore", message=".*ray_remote_args_fn")
    kwargs = {"job": job, "index": stage.index, "line": line}
    if not pooled(stage):
        return data.map_batches(stage_block, fn_kwargs=kwargs, compute=room.tasks(1), **options)
    low, high = room.workers(stage)
    pool = ray.data.ActorPoolStrategy(min_size=low, max_size=high, enable_true_multi_threading=stage.stage.overlap > 1)
    if stage.stage.overlap > 1:
        options["max_concurrency"] = stage.stage.overlap
    return data.map_batches(StageActor, fn_constructor_kwargs=kwargs, compute=pool, **options)


def set_context(ray: Any) -> None:
    context = ray.data.DataContext.get_current()
    context.target_max_block_size = None  # a block stays a block: the shard
    context.enable_progress_bars = False
    context.enable_operator_progress_bars = False
    context.print_on_execution_start = False
    context.execution_options.verbose_progress = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)


def own_error(error: BaseException) -> RunError:
    """The pairmill error inside Ray's wrappers, or the first line of what else went wrong.

    Ray Data carries a worker's exception as text, so it is read off the traceback.
    """
    seen: BaseException | None = error
    texts: list[str] = []
    while seen is not None and len(texts) < 10:
        if isinstance(seen, RunError):
            return seen
        texts.append(str(seen))
        seen = getattr(seen, "cause", None) or seen.__cause__ or seen.__context__
    text = "\n".join(texts)
    if own := OWN_ERROR.search(text):
        kind = getattr(errors, own.group(1))
        found = kind.__new__(kind)
        Exception.__init__(found, own.group(2))
        return found if isinstance(found, RunError) else RunError(own.group(2))
    other = ANY_ERROR.search(text)
    return RunError(other.group(0) if other else f"{type(error).__name__}: {first_line(error)}")
