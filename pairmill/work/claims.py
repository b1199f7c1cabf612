"""What every worker is at: who takes a shard over learns what the one before was doing when its
process ended.

Ray gives a lost shard to another worker again and again, so a row that takes the process down (a
crash in native code, all memory eaten) or hangs for ever would stop the run.  From the second
attempt at a shard on, a worker claims each batch before it computes it.  A batch whose claims were
left open `DEATHS` times is cut in halves, down to the row.
"""

from dataclasses import dataclass, field

import numpy as np

DEATHS = 2
"""Processes that end at the same batch, or the same row, before it is its fault; a killed node
takes many, but once.
"""


@dataclass(frozen=True)
class WorkPlace:
    """What is worked on: a shard, or, of a stage over all rows, the partition that begins with a
    row (`first_row`: its place in the pool).
    """

    stage: str
    """Its label."""
    shard: int | None = None
    first_row: int | None = None

    @property
    def stage_name(self) -> str:
        """Without the identity."""
        return self.stage.rpartition("-")[0]


@dataclass(frozen=True)
class RowRange:
    """First row, last row and number of rows of a batch, which tell it among a shard's."""

    first: int
    last: int
    count: int

    @classmethod
    def of(cls, numbers: np.ndarray) -> "RowRange":
        """The batch of these rows of a shard."""
        return cls(int(numbers[0]), int(numbers[-1]), len(numbers))

    def __str__(self) -> str:
        if self.count == 1:
            return f"row {self.first}"
        return f"a batch of {self.count} rows, {self.first} to {self.last},"


@dataclass(frozen=True)
class Setup:
    """Stands for loading the stage, where a batch is named otherwise."""


SETUP = Setup()
Task = RowRange | Setup
"""What a worker was doing at a place."""


@dataclass
class Past:
    """Earlier attempts at a place, in this run.  `hung`: what outlived the stage's deadline."""

    attempts: int = 0
    deaths: dict[Task, int] = field(default_factory=dict)
    hung: set[Task] = field(default_factory=set)

    def guilty(self, task: Task, halved: bool = False) -> bool:
        """Whether a batch must not be tried as a whole again; half of a guilty one is tried but
        once.
        """
        once = halved and isinstance(task, RowRange) and task.count > 1
        return task in self.hung or self.deaths.get(task, 0) >= (1 if once else DEATHS)


class Claims:
    """Who is at what; lives in the run's actor."""

    def __init__(self) -> None:
        self.open: dict[WorkPlace, Past] = {}
        self.at: dict[WorkPlace, Task] = {}

    def begin(self, place: WorkPlace) -> Past:
        """An attempt at a shard starts; one that never ended has died."""
        past = self.open.setdefault(place, Past())
        left = self.at.pop(place, None)
        if left is not None and left not in past.hung:
            past.deaths[left] = past.deaths.get(left, 0) + 1
        past.attempts += 1
        return past

    def claim(self, place: WorkPlace, task: Task) -> None:
        """The worker begins what may take it down."""
        self.at[place] = task

    def hang(self, place: WorkPlace, task: Task) -> None:
        """The worker is about to end itself, because a call outlived its deadline."""
        self.open.setdefault(place, Past()).hung.add(task)
        self.at.pop(place, None)

    def spare(self, place: WorkPlace) -> None:
        """The worker is at nothing that could take it down: its batch is answered, or ends with
        another's.
        """
        self.at.pop(place, None)

    def end(self, place: WorkPlace) -> None:
        """The place is done."""
        self.open.pop(place, None)
        self.at.pop(place, None)
