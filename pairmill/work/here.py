"""Phases in this process, without Ray."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from pairmill.errors import StageHung
from pairmill.plan.chain import PlannedStage
from pairmill.work.ahead import ahead
from pairmill.work.block import Job, finish
from pairmill.work.claims import SETUP, Rows
from pairmill.work.deadline import Watchdog
from pairmill.work.line import Line, log_told
from pairmill.work.loaded import Loaded
from pairmill.work.worker import StageWorker


class LineHere(Line):
    """The line of workers in the driver's own process: nobody starts another in the place of one
    that hangs.
    """

    def __init__(self) -> None:
        self.hung: tuple[str, int, Rows] | None = None

    def report(self, told: dict[str, Any]) -> None:
        log_told(told)

    def hang(self, stage: str, shard: int, rows: Rows) -> None:
        self.hung = (stage, shard, rows)

    def raise_if_hung(
        self, stages: Sequence[PlannedStage], of_all_rows_s: float | None = None
    ) -> None:
        """After an interrupt: raises StageHung where it was the watchdog's, and not the user's.

        `of_all_rows_s`: the deadline that was in force where a stage looked at all rows.
        """
        if self.hung is not None:
            column_set, shard, rows = self.hung
            stage = next(s for s in stages if s.column_set == column_set)
            deadline_s = (
                stage.config.setup_deadline_s
                if rows == SETUP
                else of_all_rows_s or stage.config.deadline_s
            )
            raise StageHung(
                stage.name, None if stage.is_global else shard, rows, deadline_s
            ) from None


def run_phase_here(job: Job, shards: list[int]) -> Iterator[list[dict[str, Any]]]:
    """The same phase in this process: for one machine without Ray, for a debugger, and for tests
    that need no Ray.

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
            one.close()

    try:
        for block in ahead(first, shards, stages[0].stage.overlap):
            for stage, one in zip(stages[1:], loaded[1:], strict=True):
                block = StageWorker(job, stage.index, line, watchdog, one)(block)
            yield from (
                json.loads(stats) for stats in finish(job, block).column("stats").to_pylist()
            )
    except KeyboardInterrupt:
        line.raise_if_hung(stages)
        raise
    except Exception:
        close()
        raise
    close()  # not after an interrupt: a stage that is closed while it works would commit failures
