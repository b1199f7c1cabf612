"""The work of a run in this process: for one machine without Ray, for a debugger, and for tests."""

import contextlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TypeVar

import pyarrow as pa

from pairmill.errors import StageHung
from pairmill.fates.survey import ShardPopulation
from pairmill.plan.chain import Chain, PlannedStage
from pairmill.work.ahead import THREADS, THREADS_FAR, ahead
from pairmill.work.block import Job, RowBlock
from pairmill.work.deadline import ThreadWatchdog
from pairmill.work.line import Line
from pairmill.work.loaded import LoadedStage
from pairmill.work.messages import Message, StageStats
from pairmill.work.partition import PartitionWorker, commit, narrow_rows
from pairmill.work.refill import refetch
from pairmill.work.worker import StageWorker

Item = TypeVar("Item")
T = TypeVar("T")
AT_ONCE = 2
"""Output shards that one process writes at the same time; each is in memory as a whole."""
KEPT = 10_000
"""Messages that wait for whoever shows them; the oldest go first where nobody does."""


class LocalEngine:
    """The work of a run in this process.  `disk`: the workspace is on one, which answers faster
    than an object store.
    """

    def __init__(self, disk: bool) -> None:
        self.run_id = ""
        self.threads = THREADS if disk else THREADS_FAR
        self.told: deque[Message] = deque(maxlen=KEPT)

    def ready(self, jobs: Sequence[Job]) -> None:
        """This process is the machine; `preflight` looked at it."""

    def phase(self, job: Job, shards: Sequence[int]) -> Iterator[Sequence[StageStats]]:
        """Shard by shard; a first stage that mostly waits works on the next shards meanwhile."""
        stages = job.stages()
        with loaded_stages(len(stages)) as (loaded, watchdog):
            workers = [
                StageWorker(job, stage.index, Line(), watchdog, one)
                for stage, one in zip(stages, loaded, strict=True)
            ]

            def first(shard: int) -> RowBlock:
                block = job.read(shard)
                return workers[0](block) if len(block.numbers) else block

            for block in ahead(first, shards, stages[0].stage.overlap):
                if not len(block.numbers):
                    continue
                for worker in workers[1:]:
                    block = worker(block)
                stats = block.finish(job)
                self.told.extend(stats)
                yield stats

    def answer(self, job: Job, rows: Mapping[int, ShardPopulation]) -> None:
        """All rows in one call."""
        seen = {shard: population for shard, population in rows.items() if population.count}
        if not seen:
            return
        parts = [narrow_rows(job, shard, population) for shard, population in seen.items()]
        with loaded_stages(1) as ((loaded,), watchdog):
            worker = PartitionWorker(job, watchdog=watchdog, loaded=loaded)
            values = worker.answer(pa.concat_tables(parts))
        commit(job, values)

    def over(self, work: Callable[[int], T], shards: Sequence[int]) -> Iterator[T]:
        """In threads."""
        yield from ahead(work, shards, self.threads)

    def each(self, work: Callable[[Item], T], items: Sequence[Item], rows: int) -> Iterator[T]:
        """In threads, few of them."""
        yield from ahead(work, items, AT_ONCE)

    def refetch(
        self, chain: Chain, stage: PlannedStage, shards: Sequence[int], upto: int | None = None
    ) -> None:
        """Shard by shard."""
        with loaded_stages(1) as ((loaded,), watchdog):
            work = partial(refetch, chain, stage, upto, Line(), watchdog, loaded)
            for _ in ahead(work, shards, stage.stage.overlap):
                pass

    def news(self) -> list[Message]:
        """Counts of the shards that passed since the last call; failures are in the log already."""
        return [self.told.popleft() for _ in range(len(self.told))]

    def close(self) -> None:
        """Nothing is held between calls."""


@contextlib.contextmanager
def loaded_stages(count: int) -> Iterator[tuple[list[LoadedStage], ThreadWatchdog]]:
    """Places for stages, which are closed at the end, but not after an interrupt or a call that
    hangs: a stage that is closed while it works would commit failures.
    """
    loaded, watchdog = [LoadedStage() for _ in range(count)], ThreadWatchdog()
    try:
        yield loaded, watchdog
    except (KeyboardInterrupt, StageHung):
        raise
    except Exception:
        close(loaded)
        raise
    else:
        close(loaded)
    finally:
        watchdog.close()


def close(loaded: Sequence[LoadedStage]) -> None:
    """Closes the stages that were set up."""
    for one in loaded:
        one.close()
