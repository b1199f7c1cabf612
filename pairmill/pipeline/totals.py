"""What the stages of a run did, summed over its shards."""

from pairmill.texts.amounts import hundredths
from pairmill.work.costs import COUNTED, Sums
from pairmill.work.messages import StageStats


class StageTotals:
    """Stage → shards, rows, seconds and so on; `workers`: processes that ran it, at once or in
    turn; `held_s`: how long they were at it, each from the start of its first shard of a phase to
    the end of its last, loading and waiting too.  `notes`: how workers loaded it, each way once.
    """

    def __init__(self) -> None:
        self.stages: dict[str, dict[str, float]] = {}
        self.spans: dict[str, dict[str, tuple[float, float]]] = {}
        self.notes: dict[str, list[str]] = {}

    def add(self, stats: StageStats) -> None:
        """Counts a stage's work on one shard."""
        total = self.stages.setdefault(stats.stage, {"shards": 0})
        total["shards"] += 1
        for key, value in stats.counts().items():
            total[key] = round(total.get(key, 0) + value, 9)
        notes = self.notes.setdefault(stats.stage, [])
        if stats.note and stats.note not in notes:
            notes.append(stats.note)
        spans = self.spans.setdefault(stats.stage, {})
        began, ended = spans.get(stats.worker, (stats.began, 0.0))
        spans[stats.worker] = (min(began, stats.began), max(ended, stats.began + stats.seconds))

    def settle(self, spent: Sums) -> None:
        """Counts what was stored, and thus paid, in shards that no worker came to the end of; all
        that a run has `spent`, these among them, is told by its engine.
        """
        for name, sums in spent.items():
            total = self.stages.setdefault(name, {"shards": 0})
            for key in COUNTED:
                total[key] = round(max(total.get(key, 0), sums[key]), 9)

    def phase_ended(self) -> None:
        """Counts the workers of a phase."""
        for name, spans in self.spans.items():
            total = self.stages[name]
            total["workers"] = max(total.get("workers", 0), len(spans))
            total["held_s"] = round(
                total.get("held_s", 0) + sum(ended - began for began, ended in spans.values()), 3
            )
        self.spans = {}

    def spent(self) -> list[str]:
        """What models cost, by the prices that the pipeline names."""
        return [
            f"stage {name!r}: {total['tokens_asked']:,.0f} tokens asked and "
            f"{total['tokens']:,.0f} answered in this run cost ${hundredths(total['dollars'])}"
            + without(total.get("uncounted", 0))
            for name, total in self.stages.items()
            if total.get("dollars") or total.get("uncounted")
        ]

    def told(self) -> list[str]:
        """What a person should know of a finished run's stages."""
        return [*self.loaded(), *self.altered(), *self.spent()]

    def altered(self) -> list[str]:
        """What was made of models' answers without a word to them."""
        found = {name: total.get("altered", 0) for name, total in self.stages.items()}
        return [
            f"stage {name!r}: {count:,.0f} answer{'s' * (count != 1)} altered to fit `json_schema` "
            "(the case of a label, a number in quotes)"
            for name, count in found.items()
            if count
        ]

    def loaded(self) -> list[str]:
        """What a person should know of how stages were loaded: whatever is not one plain way."""
        return [
            f"stage {name!r} ran on {'; '.join(notes)}"
            for name, notes in self.notes.items()
            if len(notes) > 1 or any("," in note for note in notes)
        ]


def without(uncounted: float) -> str:
    """What a sum of dollars leaves out."""
    rows = f"{uncounted:,.0f} row{'s' if uncounted != 1 else ''}"
    return f", without {rows} whose tokens the server did not count" if uncounted else ""
