"""All stages of a phase over one shard after another, in one process."""

import contextlib
import threading
from dataclasses import dataclass
from functools import partial
from typing import Any

from pairmill.plan.chain import Chain, PlannedStage
from pairmill.work.block import Job
from pairmill.work.deadline import Watchdog
from pairmill.work.line import Line
from pairmill.work.loaded import LoadedStage, halt_all, leave
from pairmill.work.messages import StageStats
from pairmill.work.refill import refetch
from pairmill.work.worker import StageWorker


@dataclass(frozen=True)
class PhaseWork:
    """The stages of a phase: what travels to a worker process."""

    job: Job

    @property
    def width(self) -> int:
        """Shards that one process takes at a time: as many as its most patient stage."""
        return max(stage.stage.overlap for stage in self.job.stages())

    def begin(self, line: Line, watchdog: Watchdog) -> "ShardWork":
        """In the process that does the work."""
        return ShardWork(self.job, line, watchdog)


@dataclass
class ShardWork:
    """Takes shards through the stages; threads share what is loaded, and a stage that does not
    mostly wait (`overlap`) has one of them at a time.
    """

    job: Job
    line: Line
    watchdog: Watchdog

    def __post_init__(self) -> None:
        stages = self.job.stages()
        self.loaded = [LoadedStage() for _ in stages]
        self.workers = [
            StageWorker(self.job, stage.index, self.line, self.watchdog, one)
            for stage, one in zip(stages, self.loaded, strict=True)
        ]
        self.turns = [
            threading.Lock() if stage.stage.overlap == 1 else contextlib.nullcontext()
            for stage in stages
        ]

    def __call__(self, shard: int) -> tuple[StageStats, ...]:
        """The counts of a shard's stages; none where no row of it was undecided."""
        block = self.job.read(shard)
        if not len(block.numbers):
            return ()
        for worker, turn in zip(self.workers, self.turns, strict=True):
            with turn:
                block = worker(block)
        return block.finish(self.job)

    def halt(self) -> None:
        """Ends what is under way of answers that may be paid; those that came are stored."""
        halt_all(self.loaded)

    def abandon(self) -> None:
        """Ends what the stages took, though they may still be at work."""
        leave(self.loaded)

    def close(self) -> None:
        """Closes the stages that were set up, each though another raises."""
        with contextlib.ExitStack() as every:
            for one in self.loaded:
                every.callback(one.close)


@dataclass(frozen=True)
class RefetchWork:
    """A stage that is computed again where payload is gone."""

    chain: Chain
    stage: PlannedStage
    upto: int | None

    @property
    def width(self) -> int:
        """Shards that one process takes at a time."""
        return self.stage.stage.overlap

    def begin(self, line: Line, watchdog: Watchdog) -> "ShardRefetch":
        """In the process that does the work."""
        return ShardRefetch(self, line, watchdog)


class ShardRefetch:
    """Computes the stage again for shards; threads share what is loaded."""

    def __init__(self, work: RefetchWork, line: Line, watchdog: Watchdog) -> None:
        self.loaded = LoadedStage()
        self.work: Any = partial(
            refetch, work.chain, work.stage, work.upto, line, watchdog, self.loaded
        )

    def __call__(self, shard: int) -> int:
        """The number of rows."""
        return int(self.work(shard))

    def halt(self) -> None:
        """Ends what is under way; what has come is stored."""
        halt_all([self.loaded])

    def abandon(self) -> None:
        """Ends what the stage took, though it may still be at work."""
        leave([self.loaded])

    def close(self) -> None:
        """Closes the stage, if it was set up."""
        self.loaded.close()
