"""A large source, read and stored in tasks on the cluster."""

import os
from collections import deque
from collections.abc import Generator
from typing import Any

from pairmill.cluster.over_shards import RETRIES
from pairmill.cluster.session import RaySession, own_error
from pairmill.cluster.worker_start import safe_errors
from pairmill.sources.base import Input
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
        own = {item.url for unit in work.units for item in unit.items}
        beside = (item for item in work.source.inputs() if item.url not in own)
        LOADED[spool] = work, all(map(is_here, beside))
    work, all_here = LOADED[spool]
    if isinstance(item, Reading):
        read = (one for unit, _ in item.places for one in work.units[unit].items)
        if not (all_here and all(map(is_here, read))):
            return None
    return work(item)


def is_here(item: Input) -> bool:
    """Whether a file is on this machine as it was listed; what lies elsewhere is, on all."""
    if not item.url.startswith("file://"):
        return True
    try:
        found = os.stat(item.url.removeprefix("file://"))
    except OSError:
        return False
    return not item.version or (found.st_size, str(found.st_mtime)) == (
        item.size_bytes,
        item.version,
    )
