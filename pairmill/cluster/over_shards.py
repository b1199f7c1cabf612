"""One look at every shard, in tasks on the cluster."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

from pairmill.cluster.session import RaySession, own_error
from pairmill.cluster.worker_start import safe_errors
from pairmill.work.ahead import ahead

FEW = 4_000
"""Shards that the driver looks at by itself; with an object store, where each costs requests, a
tenth of that.
"""
PER_TASK = 64
AT_ONCE = 1_000
"""Tasks that wait or work at a time: what the driver holds of them stays small for any number."""
RETRIES = 5
"""Processes that may end at one task, as with a killed node, before the run stops."""
Item = TypeVar("Item")
T = TypeVar("T")


def over_shards(
    session: RaySession, work: Callable[[int], T], shards: Sequence[int], threads: int
) -> Iterator[T]:
    """`work` of each shard, in order, in tasks of many shards, each with some threads."""
    parts = [shards[i : i + PER_TASK] for i in range(0, len(shards), PER_TASK)]
    for found in in_tasks(session, partial(look_at, work, threads), parts):
        yield from found


def look_at(work: Callable[[int], T], threads: int, shards: Sequence[int]) -> list[T]:
    """`work` of some shards, in threads of a task."""
    return list(ahead(work, shards, threads))


def in_tasks(session: RaySession, work: Callable[[Item], T], items: Sequence[Item]) -> Iterator[T]:
    """`work` of each item, in order, each in a task of its own.  Raises RunError."""
    ray = session.ensure()
    shared = ray.put(work)
    task = ray.remote(safe_errors(lambda shared, item: shared(item))).options(
        num_cpus=1, scheduling_strategy="SPREAD", max_retries=RETRIES
    )
    waiting: deque[Any] = deque()
    try:
        for at in range(len(items) + AT_ONCE):
            if at < len(items):
                waiting.append(task.remote(shared, items[at]))
            if waiting and (at >= AT_ONCE or at >= len(items)):
                found = ray.get(waiting.popleft())
                session.moved()
                yield found
    except Exception as error:
        raise own_error(error) from error
    finally:
        for left in waiting:
            ray.cancel(left)
