"""What workers tell of their work: counts of a stage for one shard, and lines for the run's log."""

import logging
from dataclasses import asdict, dataclass
from typing import Any

from pairmill.work.costs import Spent


@dataclass
class StageStats:
    """What a stage did with one shard, in rows and seconds."""

    stage: str
    shard: int
    worker: str
    """Host and process that ran it."""
    began: float
    """Seconds since the epoch, by the worker's clock."""
    rows: int = 0
    computed: int = 0
    cached: int = 0
    failed: int = 0
    errors: int = 0
    """Failures among the rows computed now."""
    dropped: int = 0
    missing: int = 0
    seconds: float = 0.0
    """From block to block; `busy_s` of them inside the stage itself, `setup_s` for loading it."""
    busy_s: float = 0.0
    setup_s: float = 0.0
    cpu_s: float = 0.0
    """Seconds of cores that its process took meanwhile; of its thread alone where several shards
    are at work in a process (`overlap`).  Processes of a stage's own do not count.
    """
    bytes: int = 0
    """Bytes committed, before compression."""
    tokens: int = 0
    """Tokens generated."""
    tokens_asked: int = 0
    """Tokens of requests to a model."""
    dollars: float = 0.0
    """What the tokens cost, where the stage has `prices`."""
    uncounted: int = 0
    """Rows that were answered, and whose tokens nobody counted, where the stage has `prices`."""
    altered: int = 0
    """Answers of a model whose values are stored as they are meant, not as it spelled them."""
    note: str = ""
    """How the worker loaded the stage: device, precision, whose code."""

    @property
    def kept(self) -> int:
        """Rows that passed."""
        return self.rows - self.dropped - self.missing - self.failed

    def counts(self) -> dict[str, float]:
        """What is summed over shards: everything but whose figures they are, and when."""
        mine = ("stage", "shard", "worker", "began", "note")
        return {name: value for name, value in asdict(self).items() if name not in mine}


@dataclass(frozen=True)
class WorkerLog:
    """A failure that a worker tells of."""

    message: str
    stage: str
    shard: int | None = None
    row: int | None = None
    partition: int | None = None
    """Of a stage over all rows: the place in the pool of the partition's first row."""
    traceback: str = ""

    def write(self) -> None:
        """Writes it to the run's log."""
        facts: dict[str, Any] = {k: v for k, v in asdict(self).items() if v not in (None, "")}
        logging.getLogger("pairmill").error(facts.pop("message"), extra={"facts": facts})


@dataclass(frozen=True)
class Notice:
    """A line for people of what the work waits for."""

    text: str


@dataclass(frozen=True)
class SettingUp:
    """A worker begins to set a stage up, or has ended that: rows may wait for it for minutes."""

    stage: str
    ended: bool = False


Message = StageStats | WorkerLog | Notice | SettingUp | Spent
