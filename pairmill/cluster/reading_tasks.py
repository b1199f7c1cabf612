"""A large source, read and stored in tasks on the cluster."""

from collections import deque
from collections.abc import Generator
from typing import Any

from pairmill.cluster.over_shards import RETRIES
from pairmill.cluster.session import RaySession, own_error
from pairmill.cluster.worker_start import safe_errors
from pairmill.workspace.reading import Reading, SourceWork, Storing

LOADED: dict[str, "tuple[SourceWork, bool]"] = {}
"""In a worker: the source of the run it works for, and whether what lies beside its units (a folder
of images) is on this machine; by the run's spool.
"""


def spread(
    session: RaySession, work: SourceWork, items: "deque[Reading | Storing]", count: int
) -> Generator[tuple[Reading | Storing, Any]]:
    """Each item with its result, as they come, at most `count` at a time; the queue may get more
    meanwhile.  A task whose process or node dies is tried again.  Raises RunError.
    """
    ray = session.ensure()
    shared = [ray.put(work)]  # in a list, so that a process fetches it once and not for each task
    task = ray.remote(safe_errors(at_work)).options(
        num_cpus=1, scheduling_strategy="SPREAD", max_retries=RETRIES
    )
    running: dict[Any, Reading | Storing] = {}
    try:
        while items or running:
            while items and len(running) < count:
                item = items.popleft()
                running[task.remote(work.spool, shared, item)] = item
            done = ray.wait(list(running), num_returns=1)[0][0]
            item = running.pop(done)
            session.moved()
            yield item, ray.get(done)
    except GeneratorExit:
        raise
    except Exception as error:
        raise own_error(error) from error
    finally:
        for left in running:
            ray.cancel(left)


def at_work(spool: str, shared: list[Any], item: Reading | Storing) -> Any:
    """In a worker: what was read, None where the input is not on this machine as the driver has
    it, which then reads it; or the facts of a stored shard.
    """
    if spool not in LOADED:
        import ray

        LOADED.clear()
        work: SourceWork = ray.get(shared[0])
        LOADED[spool] = work, work.has_beside()
    work, has_beside = LOADED[spool]
    if isinstance(item, Reading) and not (has_beside and work.has(item)):
        return None
    return work(item)
