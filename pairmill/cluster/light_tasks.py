"""A phase of light stages alone on Ray: a task for each shard.

Such a phase has one operator, so that Ray Data has nothing to stream or to balance; it would be
imported by the driver and by each worker, start actors of its own, and cost the driver some tens of
milliseconds a shard.
"""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from pairmill.cluster.operators import Operator, loaded_in_process
from pairmill.cluster.session import RaySession, own_error
from pairmill.cluster.worker_shares import WorkerShares
from pairmill.cluster.worker_start import safe_errors
from pairmill.errors import PairmillError
from pairmill.work.messages import StageStats


def run_tasks(
    session: RaySession, operator: Operator, shards: Sequence[int], worker_shares: WorkerShares
) -> Iterator[Sequence[StageStats]]:
    """Runs the operator over some shards; yields each finished shard's stage counts.  Raises
    RunError.
    """
    ray = session.ensure()
    stages = [operator.job.chain.stages[index] for index in operator.indices]
    task = ray.remote(stages_of_shard).options(
        **worker_shares.together(stages), scheduling_strategy="SPREAD", max_retries=-1
    )
    shared = ray.put(operator)
    left = iter(shards)
    running: set[Any] = set()
    # a task that asks the run's actor gives its core away meanwhile: one that waited for its turn
    # would get a process of its own
    most = max(1, int(worker_shares.total))
    try:
        while True:
            for shard in islice(left, most - len(running)):
                running.add(task.remote(shared, shard))
            if not running:
                return
            done, _ = ray.wait(list(running), num_returns=1)
            running.difference_update(done)
            stats = ray.get(done[0])
            session.moved()
            if stats:
                yield stats
    except (PairmillError, GeneratorExit, KeyboardInterrupt):
        raise
    except Exception as error:
        raise own_error(error) from error
    finally:
        for waiting in running:
            ray.cancel(waiting)


@safe_errors
def stages_of_shard(operator: Operator, shard: int) -> tuple[StageStats, ...]:
    """A task: the counts of a shard's stages; none where no row of it was undecided."""
    job = operator.job
    loaded = [loaded_in_process(job, index) for index in operator.indices]
    block = job.read(shard)
    return operator.through(block, loaded).finish(job) if len(block.numbers) else ()
