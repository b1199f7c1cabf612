"""One look at every shard: in threads of the driver, or in tasks on the cluster where there are many."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from pairmill.pipeline.ahead import ahead
from pairmill.pipeline.executor import RaySession, own_error

THREADS = 4
"""Shards that one process reads at a time from a disk; an object store answers later, and is asked for more at once."""
THREADS_FAR = 16
FEW = 4_000
"""Shards that the driver looks at by itself; with an object store, where each costs requests, a tenth of that."""
PER_TASK = 64
AT_ONCE = 1_000
"""Tasks that wait or work at a time: their answers stay small in the driver for any number of shards."""
T = TypeVar("T")


def over_shards(session: RaySession | None, work: Callable[[int], T], shards: Sequence[int], local: bool, few: int = FEW) -> Iterator[T]:
    """`work` of each shard, in order.  `local`: the workspace is on a disk.  Without a session, in this process alone."""
    threads = THREADS if local else THREADS_FAR
    if session is None or len(shards) <= (few if local else few // 10):
        yield from ahead(work, shards, threads)
        return
    ray = session.ensure()
    shared = ray.put(work)
    task = ray.remote(look_at).options(num_cpus=1, scheduling_strategy="SPREAD", max_retries=-1)
    parts = [shards[i : i + PER_TASK] for i in range(0, len(shards), PER_TASK)]
    waiting: list[Any] = []
    try:
        for at in range(len(parts) + AT_ONCE):
            if at < len(parts):
                waiting.append(task.remote(shared, list(parts[at]), threads))
            if waiting and (at >= AT_ONCE or at >= len(parts)):
                yield from ray.get(waiting.pop(0))
    except Exception as error:
        raise own_error(error) from error
    finally:
        for left in waiting:
            ray.cancel(left)


def look_at(work: Callable[[int], T], shards: list[int], threads: int) -> list[T]:
    return list(ahead(work, shards, threads))
