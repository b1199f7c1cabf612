"""Where the work of a run is done."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol, TypeVar

from pairmill.fates.fate_memory import ShardPopulation
from pairmill.plan.chain import Chain, PlannedStage
from pairmill.work.block import Job
from pairmill.work.costs import Sums
from pairmill.work.messages import Message, StageStats
from pairmill.workspace.reading import Hands

Item = TypeVar("Item")
T = TypeVar("T")


class WorkEngine(Protocol):
    """Where the work of a run is done: in this process (work/local.py), or on Ray
    (cluster/engine.py).  All methods raise RunError.
    """

    run_id: str

    def ready(self, jobs: Sequence[Job]) -> None:
        """Raises RunError where no machine holds a worker of one of the jobs' stages."""

    def expect(self, stages: Sequence[PlannedStage]) -> None:
        """Begins to look at what these stages will load, while the caller does other work; whether
        they may be loaded `examine` tells.
        """

    def rows_come(self, stages: Sequence[PlannedStage]) -> None:
        """Told, as often as one likes, that new rows were read for these stages: what takes time to
        start begins to, while the caller reads on.
        """

    def examine(self, stages: Sequence[PlannedStage]) -> Iterator[Sequence[str]]:
        """Looks at what each stage will load, before any work; what was found, a line each.  Raises
        what would fail at load.
        """

    def phase(self, job: Job, shards: Sequence[int]) -> Iterator[Sequence[StageStats]]:
        """Takes shards through the map stages of a job, and commits what they compute; the counts
        of each shard, as it is done.
        """

    def answer(self, job: Job, rows: Mapping[int, ShardPopulation]) -> dict[int, int]:
        """Computes a stage over all rows, the only one of a job, and commits it.  `rows`: what it
        looks at, by shard.  Gives the digest of the answers in each shard that it looked at.
        """

    def over(self, work: Callable[[int], T], shards: Sequence[int]) -> Iterator[T]:
        """`work` of each shard, in order."""

    def each(self, work: Callable[[Item], T], items: Sequence[Item], rows: int) -> Iterator[T]:
        """`work` of each item, in order; an item is as large as an output shard.  `rows`: of all
        items together.
        """

    def readers(self) -> Hands | None:
        """Processes that read a large source and store its shards, if there are any."""

    def refetch(
        self, chain: Chain, stage: PlannedStage, shards: Sequence[int], upto: int | None = None
    ) -> None:
        """Computes a stage again for rows whose bytes are gone and that are alive or wait for a
        stage before index `upto`.
        """

    def news(self) -> list[Message]:
        """What workers told since the last call."""

    def spent(self) -> Sums:
        """What the answers of models took that this run has stored."""

    def close(self) -> None:
        """Gives back what the work took."""
