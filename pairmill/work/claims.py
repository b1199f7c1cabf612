"""What every worker is at: who takes a shard over learns what the one before was doing when its
process ended.

Ray gives a lost shard to another worker again and again, so a row that takes the process down (a
crash in native code, all memory eaten) or hangs for ever would stop the run.  From the second
attempt at a shard on, a worker claims each batch before it computes it.  A batch whose claims were
left open `DEATHS` times is cut in halves, down to the row.
"""

from dataclasses import dataclass, field

DEATHS = 2
"""Processes that end at the same batch, or the same row, before it is its fault; a killed node
takes many, but once.
"""

Rows = tuple[int, int, int]
"""First row, last row and number of rows of a batch, which tell it among a shard's."""
SETUP: Rows = (-1, -1, 0)
"""Stands for loading the stage."""


@dataclass
class Past:
    """Earlier attempts at a stage's shard, in this run.  `hung`: batches that outlived the stage's
    deadline.
    """

    attempts: int = 0
    deaths: dict[Rows, int] = field(default_factory=dict)
    hung: set[Rows] = field(default_factory=set)

    def guilty(self, rows: Rows, halved: bool = False) -> bool:
        """Whether a batch must not be tried as a whole again; half of a guilty one is tried but
        once.
        """
        return rows in self.hung or self.deaths.get(rows, 0) >= (
            1 if halved and rows[2] > 1 else DEATHS
        )


class Claims:
    """Lives in the run's actor."""

    def __init__(self) -> None:
        self.open: dict[tuple[str, int], Past] = {}
        self.at: dict[tuple[str, int], Rows] = {}

    def begin(self, stage: str, shard: int) -> Past:
        """An attempt at a shard starts; one that never ended has died."""
        past = self.open.setdefault((stage, shard), Past())
        left = self.at.pop((stage, shard), None)
        if left is not None and left not in past.hung:
            past.deaths[left] = past.deaths.get(left, 0) + 1
        past.attempts += 1
        return past

    def claim(self, stage: str, shard: int, rows: Rows) -> None:
        self.at[stage, shard] = rows

    def hang(self, stage: str, shard: int, rows: Rows) -> None:
        """The worker is about to end itself, because a call outlived its deadline."""
        self.open.setdefault((stage, shard), Past()).hung.add(rows)
        self.at.pop((stage, shard), None)

    def spare(self, stage: str, shard: int) -> None:
        """The worker is at nothing that could take it down: its batch is answered, or ends with
        another's.
        """
        self.at.pop((stage, shard), None)

    def end(self, stage: str, shard: int) -> None:
        self.open.pop((stage, shard), None)
        self.at.pop((stage, shard), None)
