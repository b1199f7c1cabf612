"""Figures of what a run will cost: counts of a sample, scaled up, with intervals."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from pairmill.cluster.worker_shares import cpus_of
from pairmill.plan.chain import PlannedStage
from pairmill.work.messages import StageStats

DRAWS = 1000
INTERVAL = (5.0, 95.0)
"""Percentiles of the bootstrap."""
COUNTED = ("rows", "computed", "seconds", "tokens_asked", "tokens", "dollars", "bytes")


@dataclass(frozen=True)
class Figure:
    """An estimate, and where 90 of 100 such samples would put it."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class StageCost:
    """What a stage has yet to do: `rows` that will reach it, `computed` of them by it, over all
    workers; `note`: how the sample's worker loaded it.
    """

    name: str
    figures: dict[str, Figure]
    seconds_per_row: Figure | None
    """Of one worker; None where no row of the sample was computed."""
    setup_s: float
    cpus: float
    gpus: float
    sampled: int
    """Rows of the sample that it computed; `failed` of them failed, and of `uncounted` answers the
    server did not count the tokens.
    """
    note: str = ""
    failed: int = 0
    uncounted: int = 0

    def hours(self, each: float) -> Figure:
        """Hours of cores (or GPUs), `each` of a worker."""
        seconds = self.figures["seconds"]
        return Figure(*(v * each / 3600 for v in (seconds.value, seconds.low, seconds.high)))

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        figures = {k: [f.value, f.low, f.high] for k, f in self.figures.items()}
        hours = {"cpu_hours": self.hours(self.cpus), "gpu_hours": self.hours(self.gpus)}
        figures |= {k: [f.value, f.low, f.high] for k, f in hours.items()}
        each = self.seconds_per_row
        facts = {"seconds_per_row": [each.value, each.low, each.high] if each else None}
        own = ("name", "setup_s", "cpus", "gpus", "sampled", "failed", "uncounted", "note")
        return {**{k: getattr(self, k) for k in own}, **facts, **figures}


@dataclass(frozen=True)
class Cost:
    """What a run has yet to do, by stage, by a sample of `sampled` of `undecided` rows."""

    undecided: int
    sampled: int
    chunks: int
    stages: list[StageCost]
    left_out: dict[str, str]
    """Stages that the sample did not go through → why."""

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "undecided_rows": self.undecided,
            "sampled_rows": self.sampled,
            "stages": [stage.to_json() for stage in self.stages],
            "left_out": self.left_out,
        }


def cost_of(
    stage: PlannedStage,
    stats: list[StageStats],
    taken: np.ndarray,
    draws: np.ndarray,
    total: int,
    note: str,
) -> StageCost:
    """Scales a stage's counts from the sample to all rows: each count by row that was drawn."""
    counts = {name: np.array([count_of(s, name) for s in stats], float) for name in COUNTED}
    sampled = taken[draws].sum(1)
    figures = {
        name: figure(total * values.sum() / taken.sum(), total * values[draws].sum(1) / sampled)
        for name, values in counts.items()
    }
    computed, seconds = counts["computed"], counts["seconds"]
    each = None
    if computed.sum():
        drawn_rows = np.maximum(computed[draws].sum(1), 1)
        each = figure(seconds.sum() / computed.sum(), seconds[draws].sum(1) / drawn_rows)
    return StageCost(
        stage.name,
        figures,
        each,
        round(sum(s.setup_s for s in stats), 3),
        cpus_of(stage),
        stage.config.resources.gpus,
        int(computed.sum()),
        note,
        sum(s.errors for s in stats),
        sum(s.uncounted for s in stats),
    )


def count_of(stats: StageStats, name: str) -> float:
    """One count of a chunk; seconds without those of loading the stage, and none where nothing was
    computed.
    """
    if name == "seconds":
        return max(0.0, stats.seconds - stats.setup_s) if stats.computed else 0.0
    return float(getattr(stats, name))


def figure(value: float, draws: np.ndarray) -> Figure:
    """A value with its bootstrapped interval."""
    low, high = np.percentile(draws, INTERVAL)
    return Figure(float(value), float(min(low, value)), float(max(high, value)))
