"""The ledger: every row's fate, and the funnel that the fates add up to."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from pairmill.errors import ConservationError
from pairmill.pipeline.ahead import ahead
from pairmill.pipeline.chain import Chain
from pairmill.pipeline.storage import Storage
from pairmill.pipeline.store import shard_file
from pairmill.pipeline.trace import ALIVE, FATES, PENDING, Trace, lost_payload, trace
from pairmill.schemas.arrow import LEDGER

SOURCE = "source"


THREADS = 4
"""Shards read at a time."""


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
            if step.rows != flow or step.rows != step.kept + step.dropped + step.missing + step.failed:
                raise ConservationError(
                    f"{step.stage}: {flow} rows came, {step.rows} were counted, {step.kept + step.dropped + step.missing + step.failed} left"
                )
            flow = step.kept
        if flow != self.kept:
            raise ConservationError(f"{flow} rows left the last stage and {self.kept} were kept")

    def to_json(self) -> dict[str, Any]:
        return {"rows": self.rows, "kept": self.kept, "steps": [vars(s) for s in self.steps]}


@dataclass
class ShardLedger:
    """What one shard adds: rows in the pool, fates per stage, rows that are not decided yet."""

    rows: int
    kept: int
    counts: Counter[tuple[int, int, str]]
    pending: int


def shard_ledger(chain: Chain, shard: int, payload: tuple[str, ...], write_to: str | None) -> ShardLedger:
    """Reads off a shard's fates; writes its ledger file if none is pending and `write_to` names a folder."""
    found = trace(chain, shard, want=("uid", *payload))
    lost = lost_payload(found, chain, payload) & found.alive
    if lost.any():
        found.stop(lost, PENDING, min(w.index for p in payload if (w := chain.writer_of(p))))
    pending = int((found.fate == PENDING).sum())
    counts: Counter[tuple[int, int, str]] = Counter()
    for row in np.flatnonzero(found.fate != ALIVE):
        counts[(int(found.at[row]), int(found.fate[row]), found.reasons.get(int(row), ("", None))[0])] += 1
    if write_to is not None and not pending:
        Storage(chain.root).write_table(f"{write_to}/{shard_file(shard)}", ledger_table(chain, shard, found))
    return ShardLedger(len(found.fate), int(found.alive.sum()), counts, pending)


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


def write_ledger(chain: Chain, payload: tuple[str, ...], folder: str, unreadable: int) -> tuple[Funnel, dict[int, int]]:
    """(funnel, shard → undecided rows).  The funnel is checked only where nothing is undecided."""
    shards = chain.shards()
    pending: dict[int, int] = {}
    rows = kept = 0
    total: Counter[tuple[int, int, str]] = Counter()
    for shard, part in zip(shards, ahead(lambda s: shard_ledger(chain, s, payload, folder), shards, THREADS), strict=True):
        rows, kept = rows + part.rows, kept + part.kept
        total.update(part.counts)
        if part.pending:
            pending[shard] = part.pending
    if chain.limit is not None:
        unreadable = 0  # which of the unreadable rows stand before the limit is not known
    funnel = make_funnel(chain, rows, kept, total, unreadable)
    if not pending:
        funnel.check()
    return funnel, pending


def make_funnel(chain: Chain, rows: int, kept: int, counts: Counter[tuple[int, int, str]], unreadable: int) -> Funnel:
    first = Step(SOURCE, rows + unreadable, rows, failed=unreadable, reasons={"unreadable": unreadable} if unreadable else {})
    steps, flow = [first], rows
    for stage in chain.stages:
        step = Step(stage.name, flow, gate=stage.gate.text if stage.gate else None)
        for (index, fate, reason), count in sorted(counts.items()):
            if index == stage.index and fate != PENDING:
                setattr(step, FATES[fate], getattr(step, FATES[fate]) + count)
                step.reasons[reason] = step.reasons.get(reason, 0) + count
        flow = step.kept = flow - step.dropped - step.missing - step.failed
        steps.append(step)
    return Funnel(rows + unreadable, kept, steps)


def survey(chain: Chain, upto: int, retry: tuple[str, ...] = (), first: int = 0) -> dict[int, int]:
    """Shard → rows that wait for a stage from index `first` to before `upto`; shards without any are left out."""

    def undecided(shard: int) -> int:
        found = trace(chain, shard, upto, retry)
        return int(((found.fate == PENDING) & (found.at >= first)).sum())

    shards = chain.shards()
    return {s: n for s, n in zip(shards, ahead(undecided, shards, THREADS), strict=True) if n}
