"""The work of a run on one machine, without Ray: in worker processes, or in this one."""

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import pyarrow as pa

from pairmill.fates.fate_memory import ShardPopulation
from pairmill.plan.chain import Chain, PlannedStage
from pairmill.work.ahead import THREADS, THREADS_FAR, ahead, give_back
from pairmill.work.block import Job
from pairmill.work.costs import Sums
from pairmill.work.crew import Crew
from pairmill.work.crew_size import (
    FEW_WRITTEN,
    cores,
    gpus_each,
    is_findable,
    is_little,
    is_small,
    pooled,
    processes_for,
    stays_here,
    travels,
    writers,
)
from pairmill.work.deadline import ThreadWatchdog
from pairmill.work.line import Line
from pairmill.work.loaded import LoadedStage, leave
from pairmill.work.messages import Message, StageStats
from pairmill.work.partition import PartitionWorker, commit, narrow_rows
from pairmill.work.shard_work import PhaseWork, RefetchWork
from pairmill.work.starting import is_begun
from pairmill.workspace.reading import Hands

Item = TypeVar("Item")
T = TypeVar("T")
AT_ONCE = 2
"""Output shards that one process writes at the same time; each is in memory as a whole."""
NEIGHBOURS = 16
"""Output shards that a process is given at once, where each process has TURNS times as many."""
TURNS = 4
PER_ITEM = 16
"""Shards that a process looks at at a time."""
MANY = 400
"""Shards that are worth looking at in processes; of fewer this one remembers the fates, and that
helps more.
"""
KEPT = 10_000
"""Messages that wait for whoever shows them; the oldest go first where nobody does."""


class LocalEngine:
    """The work of a run on this machine: in worker processes, or in this one where that is sooner.

    `disk`: the workspace is on one, which answers faster than an object store.  `processes`: worker
    processes at most, as many as cores if None; with 0 all work is done in this process.  `paths`:
    folders in which they find modules, besides.
    """

    def __init__(self, disk: bool, processes: int | None = 0, paths: Sequence[str] = ()) -> None:
        self.run_id = ""
        self.threads = min(THREADS, max(2, cores())) if disk else THREADS_FAR
        self.told: deque[Message] = deque(maxlen=KEPT)
        self.processes = cores() if processes is None else processes
        self.crew = Crew(paths)

    def ready(self, jobs: Sequence[Job]) -> None:
        """This process is the machine; `preflight` looked at it."""

    def expect(self, stages: Sequence[PlannedStage]) -> None:
        """In the worker process that will load them."""
        for stage in filter(self.is_loaded_elsewhere, stages):
            self.crew.gpus = gpus_each([stage])
            self.crew.begin(Examination(stage), 0)

    def rows_come(self, stages: Sequence[PlannedStage]) -> None:
        """Worker processes begin to be startable where a stage is not done in this one, however few
        rows there are.
        """
        elsewhere = (s for s in stages if not (s.is_alone or stays_here(s)))
        if self.processes and any(map(is_findable, elsewhere)):
            self.crew.foreseen()

    def examine(self, stages: Sequence[PlannedStage]) -> Iterator[Sequence[str]]:
        """In the worker process that will load them, where one will: libraries of models take five
        seconds of a core, which are spent once.
        """
        for stage in stages:
            if not self.is_loaded_elsewhere(stage):
                yield stage.stage.examine()
                continue
            self.crew.gpus = gpus_each([stage])
            told: Iterator[tuple[int, list[str]]] = self.crew.run(Examination(stage), [0], 1)
            yield from (lines for _, lines in told)

    def is_loaded_elsewhere(self, stage: PlannedStage) -> bool:
        """Whether a worker process will load a stage."""
        return bool(self.processes) and pooled(stage) and is_findable(stage)

    def phase(self, job: Job, shards: Sequence[int]) -> Iterator[Sequence[StageStats]]:
        """Shard by shard, several at a time."""
        work = PhaseWork(job)
        taken: Iterator[tuple[int, Any]]
        rows = sum(map(job.chain.rows_of, shards))
        count = processes_for(job, self.processes, rows)
        if self.processes and travels(job) and not is_small(job, rows):
            self.crew.gpus = gpus_each(job.stages())
            give_back()  # what reading the source took
            taken = self.crew.run(work, shards, count, work.width, is_little(job, rows))
        else:
            taken = zip(shards, self.here(work, shards), strict=True)
        for _, stats in taken:
            if stats:
                self.told.extend(stats)
                yield stats

    def here(self, work: Any, shards: Sequence[int]) -> Iterator[Any]:
        """Work on shards in this process, several at a time where its stages mostly wait.

        What is loaded is closed at the end.  After an interrupt, a call that hangs, or where
        whoever asked gives up, stages may still be at work: nothing more is committed then, as a
        stage that is closed while it works answers with failures.
        """
        watchdog = ThreadWatchdog()
        line = Line()
        line.heard, line.costs = self.told, self.crew.board.costs
        begun = work.begin(line, watchdog)
        try:
            yield from ahead(begun, shards, work.width)
        except BaseException:
            try:
                begun.halt()
            finally:
                begun.abandon()
            raise
        else:
            begun.close()
        finally:
            watchdog.close()

    def answer(self, job: Job, rows: Mapping[int, ShardPopulation]) -> dict[int, int]:
        """All rows in one call."""
        seen = {shard: population for shard, population in rows.items() if population.count}
        if not seen:
            return {}
        give_back()
        looked = ahead(lambda s: narrow_rows(job, s, seen[s]), list(seen), self.threads)
        rows = pa.concat_tables(looked)
        with loaded_stages(1) as ((loaded,), watchdog):
            worker = PartitionWorker(job, watchdog=watchdog, loaded=loaded)
            values = worker.answer(rows)
        del rows
        found = commit(job, values)
        del values
        give_back()
        return found

    def over(self, work: Callable[[int], T], shards: Sequence[int]) -> Iterator[T]:
        """In threads; in processes where there are many."""
        if self.processes < 2 or len(shards) < MANY:
            yield from ahead(work, shards, self.threads)
            return
        parts = [shards[i : i + PER_ITEM] for i in range(0, len(shards), PER_ITEM)]
        looked: Iterator[list[T]] = self.in_order(partial(each_of, work), parts, self.processes)
        for found in looked:
            yield from found

    def each(self, work: Callable[[Item], T], items: Sequence[Item], rows: int) -> Iterator[T]:
        """In few threads; in processes where there is much to write."""
        if self.processes < 2 or rows <= FEW_WRITTEN or len(items) == 1:
            return ahead(work, items, AT_ONCE)
        return self.in_order(work, items, min(self.processes, writers()))

    def in_order(self, work: Callable[[Item], T], items: Sequence[Item], count: int) -> Iterator[T]:
        """`work` of each item in worker processes, in order.  Some neighbours are one process's,
        which holds what they have in common.
        """
        waiting: dict[int, list[T]] = {}
        each = min(NEIGHBOURS, -(-len(items) // (count * TURNS)))
        numbered = [(first, items[first : first + each]) for first in range(0, len(items), each)]
        due = 0
        found: list[T]
        for (first, _), found in self.crew.run(Neighbours(work), numbered, count):
            waiting[first] = found
            while due in waiting:
                some = waiting.pop(due)
                yield from some
                due += len(some)

    def readers(self) -> Hands | None:
        """Worker processes, where there may be several."""
        if self.processes < 2:
            return None
        spread = partial(self.crew.run, count=self.processes)
        slow = not (self.crew.seats or is_begun())
        return Hands(self.processes, spread, first_here=slow, threads=True)

    def refetch(
        self, chain: Chain, stage: PlannedStage, shards: Sequence[int], upto: int | None = None
    ) -> None:
        """Shard by shard."""
        work, job = RefetchWork(chain, stage, upto), Job(chain, stage.index, stage.index + 1)
        if self.processes and travels(job):
            count = processes_for(job, self.processes)
            deque(self.crew.run(work, shards, count, work.width), maxlen=0)
        else:
            deque(self.here(work, shards), maxlen=0)

    def news(self) -> list[Message]:
        """Counts of the shards that passed since the last call; failures are in the log already."""
        heard = self.crew.board.heard
        return [queue.popleft() for queue in (heard, self.told) for _ in range(len(queue))]

    def spent(self) -> Sums:
        """By the worker processes, and in this one."""
        return self.crew.board.spent()

    def close(self) -> None:
        """Ends the worker processes."""
        self.crew.close()


EXAMINED: dict[tuple[str, str], list[str] | Exception] = {}
"""By name and identity of a stage, what this worker process found; it lives for one run."""
EXAMINING = threading.Lock()


@dataclass(frozen=True)
class Examination:
    """A look at what a stage will load; one at a time, and each stage once."""

    stage: PlannedStage

    def __call__(self, _: int) -> list[str]:
        """Raises what the stage raises."""
        key = self.stage.name, self.stage.column_set
        with EXAMINING:
            if key not in EXAMINED:
                try:
                    EXAMINED[key] = self.stage.stage.examine()
                except Exception as error:  # a stage may raise anything
                    EXAMINED[key] = error
        found = EXAMINED[key]
        if isinstance(found, Exception):
            raise found
        return found


@dataclass(frozen=True)
class Neighbours:
    """Work on items that stand side by side, with the number of the first."""

    work: Callable[[Any], Any]

    def __call__(self, items: tuple[int, Sequence[Any]]) -> list[Any]:
        return [self.work(item) for item in items[1]]


def each_of(work: Callable[[int], Any], shards: Sequence[int]) -> list[Any]:
    """`work` of some shards."""
    return [work(shard) for shard in shards]


@contextlib.contextmanager
def loaded_stages(count: int) -> Iterator[tuple[list[LoadedStage], ThreadWatchdog]]:
    """Places for stages, which are closed at the end, whatever it is."""
    loaded, watchdog = [LoadedStage() for _ in range(count)], ThreadWatchdog()
    try:
        yield loaded, watchdog
    except BaseException:
        leave(loaded)
        raise
    else:
        for one in loaded:
            one.close()
    finally:
        watchdog.close()
