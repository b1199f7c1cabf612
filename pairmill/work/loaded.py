"""Stages that are set up in a process, each within its deadline."""

import threading
import time
from dataclasses import dataclass, field

from pairmill.errors import StageBroken
from pairmill.plan.chain import PlannedStage
from pairmill.stages.base import Stage
from pairmill.work.claims import SETUP, Past, WorkPlace
from pairmill.work.deadline import Limited, Watchdog
from pairmill.work.line import Line


@dataclass
class LoadedStage:
    """A stage whose `setup` ran, in a process; it outlives the job it came with, and threads may
    share it.
    """

    stage: Stage | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(
        self, planned: PlannedStage, place: WorkPlace, line: Line, watchdog: Watchdog, past: Past
    ) -> tuple[Stage, float]:
        """The stage, and the seconds that setting it up took now.

        Raises StageBroken where loading the stage took earlier processes down, StageHung where it
        never ended.  `past`: earlier attempts at the place for which it is wanted.
        """
        call = Limited(line, planned, place, SETUP, planned.config.setup_deadline_s)
        if SETUP in past.hung:
            raise call.error()
        if past.guilty(SETUP):
            raise StageBroken(
                f"stage {planned.name!r} cannot be loaded: the worker's process ended "
                f"{past.deaths[SETUP]} times while it did; is there enough memory for its model "
                "(resources.memory), and does it load in a process by itself?"
            )
        claimed = past.attempts > 1 and self.stage is None
        if claimed:
            line.claim(place, SETUP)
        answer = watchdog.run(lambda: self.set_up(planned.stage, line), call)
        if claimed:
            line.spare(place)
        return answer

    def set_up(self, stage: Stage, line: Line) -> tuple[Stage, float]:
        """Loads the stage unless it is loaded; threads wait for the one that does."""
        with self.lock:
            if self.stage is not None:
                return self.stage, 0.0
            start = time.monotonic()
            stage.ask = line.ask
            stage.setup()
            self.stage = stage
            return stage, time.monotonic() - start

    def abandon(self) -> None:
        """Ends processes of the stage's own; the stage may still be at work."""
        if self.stage is not None:
            self.stage.abandon()

    def close(self) -> None:
        """Gives back what the stage took, if it was set up."""
        if self.stage is not None:
            self.stage.close()
