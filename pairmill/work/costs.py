"""What answers of models took that are stored, whatever becomes of their shards."""

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

COUNTED = ("tokens_asked", "tokens", "dollars", "uncounted")
"""What is summed, named as in StageStats."""
Sums = Mapping[str, Mapping[str, float]]
"""Stage → its sum of each count."""


@dataclass(frozen=True)
class Spent:
    """What a stage's answers took that were just stored; counts as in StageStats."""

    stage: str
    tokens_asked: int
    tokens: int
    dollars: float
    uncounted: int


class Costs:
    """Sums by stage; threads may add to them."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.sums: dict[str, dict[str, float]] = {}

    def add(self, spent: Spent) -> None:
        """Counts stored answers."""
        with self.lock:
            own = self.sums.setdefault(spent.stage, dict.fromkeys(COUNTED, 0))
            for name in COUNTED:
                own[name] += getattr(spent, name)

    def told(self) -> dict[str, dict[str, float]]:
        """The sums by now."""
        with self.lock:
            return {stage: dict(own) for stage, own in self.sums.items()}


def summed(every: Iterable[Sums]) -> Sums:
    """Several sums as one."""
    whole = Costs()
    for sums in every:
        for stage, own in sums.items():
            counts = {name: own[name] for name in COUNTED}
            whole.add(Spent(stage, **counts))  # type: ignore[arg-type]
    return whole.told()
