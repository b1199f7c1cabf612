"""The ledger: every row's fate, and the funnel that the fates add up to."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from pairmill.errors import ConservationError
from pairmill.fates.decide import FATES, PENDING, Trace
from pairmill.plan.chain import Chain
from pairmill.schemas.arrow import LEDGER

SOURCE = "source"


@dataclass
class Step:
    """One line of the funnel: rows that came to a stage and what became of them there."""

    stage: str
    rows: int
    kept: int = 0
    dropped: int = 0
    missing: int = 0
    failed: int = 0
    gate: str | None = None
    reasons: dict[str, int] = field(default_factory=dict)
    failures: dict[str, int] = field(default_factory=dict)
    """Error class → rows; also among `reasons`."""

    def to_json(self) -> dict[str, Any]:
        return {k: v for k, v in vars(self).items() if k != "failures"}


@dataclass
class Funnel:
    """All steps of a run: rows in = kept + dropped + missing + failed."""

    rows: int
    kept: int
    steps: list[Step]

    def check(self) -> None:
        """Raises ConservationError unless every row is accounted for, step by step and in all."""
        flow = self.rows
        for step in self.steps:
            if (
                step.rows != flow
                or step.rows != step.kept + step.dropped + step.missing + step.failed
            ):
                raise ConservationError(
                    f"{step.stage}: {flow} rows came, {step.rows} were counted, {step.kept + step.dropped + step.missing + step.failed} left"
                )
            flow = step.kept
        if flow != self.kept:
            raise ConservationError(f"{flow} rows left the last stage and {self.kept} were kept")

    def to_json(self) -> dict[str, Any]:
        return {"rows": self.rows, "kept": self.kept, "steps": [s.to_json() for s in self.steps]}


def ledger_table(chain: Chain, shard: int, found: Trace) -> pa.Table:
    n = len(found.fate)
    reasons = [found.reasons.get(i, (None, None)) for i in range(n)]
    return pa.table(
        [
            pa.array(np.full(n, shard, np.int32)),
            pa.array(np.arange(n, dtype=np.int32)),
            found.frame["uid"].to_arrow().cast(pa.string()),
            pa.array([FATES[f] for f in found.fate]),
            pa.array([chain.stages[i].name if i >= 0 else None for i in found.at], pa.string()),
            pa.array([r for r, _ in reasons], pa.string()),
            pa.array([m for _, m in reasons], pa.string()),
        ],
        schema=LEDGER,
    )


def make_funnel(
    chain: Chain, rows: int, kept: int, counts: Counter[tuple[int, int, str]], unreadable: int
) -> Funnel:
    first = Step(
        SOURCE,
        rows + unreadable,
        rows,
        failed=unreadable,
        reasons={"unreadable": unreadable} if unreadable else {},
    )
    steps, flow = [first], rows
    for stage in chain.stages:
        step = Step(stage.name, flow, gate=stage.gate.text if stage.gate else None)
        for (index, fate, reason), count in sorted(counts.items()):
            if index == stage.index and fate != PENDING:
                setattr(step, FATES[fate], getattr(step, FATES[fate]) + count)
                step.reasons[reason] = step.reasons.get(reason, 0) + count
                if FATES[fate] == "failed":
                    step.failures[reason] = step.failures.get(reason, 0) + count
        flow = step.kept = flow - step.dropped - step.missing - step.failed
        steps.append(step)
    return Funnel(rows + unreadable, kept, steps)
