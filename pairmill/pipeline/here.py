"""Phases in this process, without Ray."""

import json
import logging
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import pyarrow as pa

from pairmill.errors import StageHung
from pairmill.pipeline.claims import Line, Rows
from pairmill.pipeline.deadline import Watchdog
from pairmill.pipeline.job import Job
from pairmill.pipeline.worker import Loaded, StageWorker, finish

T = TypeVar("T")


def log_told(told: dict[str, Any]) -> None:
    """A failure that a worker tells of goes to the run's log."""
    if "log" in told:
        logging.getLogger("pairmill").error(told["log"], extra={"facts": told["facts"]})


class LineHere(Line):
    """The line of workers in the driver's own process: nobody starts another in the place of one that hangs."""

    def __init__(self) -> None:
        self.hung: tuple[str, int, Rows] | None = None

    def report(self, told: dict[str, Any]) -> None:
        log_told(told)

    def hang(self, stage: str, shard: int, rows: Rows) -> None:
        self.hung = (stage, shard, rows)


def run_phase_here(job: Job, shards: list[int]) -> Iterator[list[dict[str, Any]]]:
    """The same phase in this process: for one machine without Ray, for a debugger, and for tests that need no Ray.

    Shard by shard; a first stage that mostly waits works on the next shards meanwhile.
    """
    stages = job.stages()
    loaded = [Loaded() for _ in stages]
    line, watchdog = LineHere(), Watchdog()

    def first(shard: int) -> pa.Table:
        block = job.read(shard)
        return StageWorker(job, stages[0].index, line, watchdog, loaded[0])(block)

    def close() -> None:
        for one in loaded:
            if one.stage is not None:
                one.stage.close()

    try:
        for block in ahead(first, shards, stages[0].stage.overlap):
            for stage, one in zip(stages[1:], loaded[1:], strict=True):
                block = StageWorker(job, stage.index, line, watchdog, one)(block)
            yield from (json.loads(stats) for stats in finish(job, block).column("stats").to_pylist())
    except KeyboardInterrupt:
        if line.hung is None:
            raise
        column_set, shard, rows = line.hung
        stage = next(s for s in stages if s.column_set == column_set)
        raise StageHung(stage.name, shard, rows, stage.config.deadline_s) from None
    except Exception:
        close()
        raise
    close()  # not after an interrupt: a stage that is closed while it works would commit failures


def ahead(work: Callable[[int], T], items: list[int], count: int) -> Iterator[T]:
    """Results in order, `count` items at work at a time; for one, in this thread.

    The threads are daemons: an interrupt does not wait for them, and what they still commit is as good as ever.
    """
    if count == 1:
        yield from map(work, items)
        return
    waiting: deque[queue.SimpleQueue[tuple[T | None, BaseException | None]]] = deque()

    def attempt(item: int, box: queue.SimpleQueue[tuple[T | None, BaseException | None]]) -> None:
        try:
            box.put((work(item), None))
        except BaseException as error:
            box.put((None, error))

    for at in range(len(items) + count):
        if at < len(items):
            waiting.append(queue.SimpleQueue())
            threading.Thread(target=attempt, args=(items[at], waiting[-1]), daemon=True, name="shard").start()
        if at >= count - 1 and waiting:
            found, error = waiting.popleft().get()
            if error is not None:
                for box in waiting:
                    box.get()
                raise error
            yield found  # type: ignore[misc]
