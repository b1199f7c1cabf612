"""What the stages of a run did, summed over its shards."""

from typing import Any

NAMES = ("stage", "shard", "worker")
"""What tells whose figures they are; everything else that a worker tells is summed."""


class StageTotals:
    """Stage → shards, rows, seconds and so on; `workers`: most processes that ran it in one phase; `held_s`: how long they
    were there for it, from the start of a phase to its end, loading and waiting too."""

    def __init__(self) -> None:
        self.stages: dict[str, dict[str, float]] = {}
        self.present: dict[str, set[str]] = {}

    def add(self, stats: dict[str, Any]) -> None:
        total = self.stages.setdefault(stats["stage"], {"shards": 0})
        total["shards"] += 1
        for key, value in stats.items():
            if key not in NAMES:
                total[key] = round(total.get(key, 0) + value, 3)
        self.present.setdefault(stats["stage"], set()).add(stats["worker"])

    def phase_ended(self, seconds: float) -> None:
        for name, workers in self.present.items():
            total = self.stages[name]
            total["workers"] = max(total.get("workers", 0), len(workers))
            total["held_s"] = round(total.get("held_s", 0) + len(workers) * seconds, 3)
        self.present = {}
