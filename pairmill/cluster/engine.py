"""The work of a run on Ray."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TypeVar

from pairmill.cluster.executor import run_phase, run_refetch
from pairmill.cluster.nodes import usable_nodes
from pairmill.cluster.over_shards import FEW, in_tasks, over_shards
from pairmill.cluster.partitions import run_global
from pairmill.cluster.reading_tasks import spread
from pairmill.cluster.session import RaySession
from pairmill.cluster.worker_shares import WorkerShares
from pairmill.fates.fate_memory import ShardPopulation
from pairmill.plan.chain import Chain, PlannedStage
from pairmill.work.block import Job
from pairmill.work.costs import Sums, summed
from pairmill.work.crew_size import is_small, pooled
from pairmill.work.local import LocalEngine
from pairmill.work.messages import Message, StageStats
from pairmill.work.partition import ROWS_PER_PARTITION
from pairmill.workspace.reading import Hands

Item = TypeVar("Item")
T = TypeVar("T")
READERS = 32
"""Tasks at most, at work or waiting for a core, that read a source or store its shards: one driver
gives all rows their places.
"""
CARRIED_BYTES = 64 * 2**20
"""Rows that travel with the result of one task; of more, the driver reads batch by batch."""
INLINE_ROWS = 20_000
"""Output shards of fewer rows together are written by the driver: starting tasks would take
longer.
"""


class RayEngine:
    """The work of a run on Ray, which starts when there is enough to do; the driver does the rest
    by itself.

    `few`: shards that it looks at by itself; with an object store, where each costs requests, a
    tenth of that.
    """

    def __init__(self, import_paths: list[str], places: tuple[str, ...], disk: bool) -> None:
        self.session = RaySession(import_paths, places=places)
        self.driver = LocalEngine(disk)
        self.looker = LocalEngine(disk, 1, import_paths)
        self.disk = disk
        self.few = FEW if disk else FEW // 10

    @property
    def run_id(self) -> str:
        """The run's name, in metrics and logs."""
        return self.session.run_id

    @run_id.setter
    def run_id(self, run_id: str) -> None:
        self.session.run_id = run_id

    def ready(self, jobs: Sequence[Job]) -> None:
        """Asks the cluster, which is started for it."""
        nodes = list(usable_nodes(self.session.ensure()).values())
        for job in jobs:
            WorkerShares(job, nodes)

    def expect(self, stages: Sequence[PlannedStage]) -> None:
        """In a process beside the driver."""
        self.looker.expect(stages)

    def rows_come(self, stages: Sequence[PlannedStage]) -> None:
        """Ray is started where work waits for it."""

    def examine(self, stages: Sequence[PlannedStage]) -> Iterator[Sequence[str]]:
        """In a process beside the driver, which starts Ray meanwhile: libraries of models take five
        seconds to import.
        """
        if any(map(pooled, stages)):
            self.session.ensure()
        yield from self.looker.examine(stages)
        self.looker.close()

    def phase(self, job: Job, shards: Sequence[int]) -> Iterator[Sequence[StageStats]]:
        """A streaming execution of Ray Data; by the driver where that takes less time than starting
        tasks.
        """
        if is_small(job, sum(map(job.chain.rows_of, shards))):
            return self.driver.phase(job, shards)
        return run_phase(self.session, job, shards)

    def answer(self, job: Job, rows: Mapping[int, ShardPopulation]) -> dict[int, int]:
        """In as many partitions as a million rows each ask for; a single one in the driver."""
        seen = {shard: population for shard, population in rows.items() if population.count}
        partitions = math.ceil(sum(p.count for p in seen.values()) / ROWS_PER_PARTITION)
        if partitions > 1:
            return run_global(self.session, job, seen, partitions)
        return self.driver.answer(job, seen)

    def over(self, work: Callable[[int], T], shards: Sequence[int]) -> Iterator[T]:
        """In tasks of many shards each, where there are more than a few."""
        if len(shards) <= self.few:
            return self.driver.over(work, shards)
        return over_shards(self.session, work, shards, self.driver.threads)

    def each(self, work: Callable[[Item], T], items: Sequence[Item], rows: int) -> Iterator[T]:
        """A task for each item."""
        if rows <= INLINE_ROWS or len(items) == 1:
            return self.driver.each(work, items, rows)
        return in_tasks(self.session, work, items)

    def readers(self) -> Hands | None:
        """Tasks on the cluster; the driver's processes where Ray would be started on this machine
        alone.  Rows that wait for their place lie in the workspace, which all nodes reach; where
        that is no folder, they travel.
        """
        if not self.session.is_elsewhere():
            return self.driver.readers()
        work = partial(spread, self.session, count=READERS)
        if self.disk:
            return Hands(READERS, work)
        return Hands(READERS, work, spool_bytes=CARRIED_BYTES, travels=True)

    def refetch(
        self, chain: Chain, stage: PlannedStage, shards: Sequence[int], upto: int | None = None
    ) -> None:
        """By workers like those of the stage's phase, under the run's limits of hosts."""
        run_refetch(self.session, chain, stage, shards, upto)

    def news(self) -> list[Message]:
        """What workers told the run's actor, and what the driver did by itself."""
        return [*self.driver.news(), *self.session.news()]

    def spent(self) -> Sums:
        """By the driver and by Ray's workers."""
        return summed([self.driver.spent(), self.session.spent()])

    def close(self) -> None:
        """Ends what was started of Ray."""
        self.looker.close()
        self.session.close()
