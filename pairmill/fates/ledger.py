"""The ledger: every row's fate, and the funnel that the fates add up to."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import pyarrow as pa

from pairmill.errors import ConservationError, StrangeFile
from pairmill.fates.decide import FATES, PENDING, Trace
from pairmill.plan.chain import Chain
from pairmill.redaction import redact
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
    elements: "Funnel | None" = None
    """Of an `each` block: what became of the elements; all rows pass it."""

    def to_json(self) -> dict[str, Any]:
        """As the manifest and metrics.json hold it."""
        told = {k: v for k, v in vars(self).items() if k not in ("failures", "elements")}
        return told if self.elements is None else {**told, "elements": self.elements.to_json()}


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
                    f"{step.stage}: {flow} rows came, {step.rows} were counted, "
                    f"{step.kept + step.dropped + step.missing + step.failed} left"
                )
            flow = step.kept
            if step.elements is not None:
                step.elements.check()
        if flow != self.kept:
            raise ConservationError(f"{flow} rows left the last stage and {self.kept} were kept")

    def until(self, upto: int) -> "Funnel":
        """The steps of the first `upto` stages: rows that they let live are kept."""
        steps = self.steps[: 1 + upto]
        return Funnel(self.rows, steps[-1].kept, steps)

    def lines(self, depth: int = 0) -> "list[tuple[int, Step]]":
        """All steps, those of a block's elements below it, each with its depth."""
        found: list[tuple[int, Step]] = []
        for step in self.steps:
            found.append((depth, step))
            found += step.elements.lines(depth + 1) if step.elements is not None else []
        return found

    def to_json(self) -> dict[str, Any]:
        """As the manifest and metrics.json hold it."""
        return {"rows": self.rows, "kept": self.kept, "steps": [s.to_json() for s in self.steps]}


def funnel_faults(data: Any) -> list[str]:
    """What is wrong with a funnel that is read back, in words."""
    if not isinstance(data, dict) or not isinstance(data.get("steps"), list):
        return ["its funnel has no steps"]
    numbers = ("rows", "kept")
    if any(not isinstance(data.get(key), int) for key in numbers):
        return [f"its funnel has no {' or no '.join(numbers)}"]
    known = {f.name for f in fields(Step)}
    for step in data["steps"]:
        sound = isinstance(step, dict) and set(step) <= known and isinstance(step.get("stage"), str)
        counts = ("rows", "kept", "dropped", "missing", "failed")
        reasons = step.get("reasons", {}) if sound else None
        if not sound or any(not isinstance(step.get(c, 0), int) for c in counts):
            return [f"its funnel has the step {step!r:.80}"]
        if not isinstance(reasons, dict) or any(not isinstance(n, int) for n in reasons.values()):
            return [f"its funnel has the reasons {reasons!r:.80}"]
        if step.get("elements") is not None and (faults := funnel_faults(step["elements"])):
            return faults
    return []


def read_funnel(data: Any, place: str) -> Funnel:
    """A funnel that is read back from a file at `place`; raises StrangeFile."""
    if faults := funnel_faults(data):
        raise StrangeFile(f"{place} is not as pairmill writes it: {faults[0]}; was it damaged?")
    return funnel_of(data)


def funnel_of(data: dict[str, Any]) -> Funnel:
    """A funnel out of sound plain data."""
    steps = []
    for step in data["steps"]:
        inside = step.get("elements")
        elements = funnel_of(inside) if inside is not None else None
        steps.append(Step(**{"rows": 0, **step, "elements": elements}))
    return Funnel(data["rows"], data["kept"], steps)


def ledger_table(chain: Chain, shard: int, found: Trace) -> pa.Table:
    """One line a row of a shard, in LEDGER's columns; those of few texts are dictionaries."""
    n = len(found.fate)
    names = [*(stage.name for stage in chain.stages), None]  # at -1: no stage
    # gates hold what the file fills in
    clean = [(r and redact(r), m and redact(m)) for r, m in found.words]
    uids = chain.read_pool(shard, ["uid"]).column("uid")
    columns = [
        pa.array(np.full(n, shard, np.int32)),
        pa.array(np.arange(n, dtype=np.int32)),
        uids.cast(pa.string()),
        coded(FATES, found.fate),
        coded(names, found.at % len(names)),
        coded([r for r, _ in clean], found.why),
        coded([m for _, m in clean], found.why),
    ]
    return pa.table(columns, names=LEDGER.names)


def coded(texts: Sequence[str | None], at: np.ndarray) -> pa.DictionaryArray:
    """Some texts, by their places; null where there is none.  Texts that no row has are left out:
    which of them are known depends on what was asked before.
    """
    there = np.bincount(at, minlength=len(texts)) > 0
    there &= [text is not None for text in texts]
    places = np.cumsum([0, *there])[:-1].astype(np.int32)
    index = pa.array(places[at], mask=~there[at])
    return pa.DictionaryArray.from_arrays(
        index,
        pa.array([t for t, is_there in zip(texts, there, strict=True) if is_there], pa.string()),
    )


def make_funnel(
    chain: Chain, rows: int, kept: int, counts: Counter[tuple[int, int, str]], unreadable: int
) -> Funnel:
    """The steps that counted fates add up to."""
    first = Step(
        SOURCE if chain.elements is None else f"elements of {chain.elements.block.column}",
        rows + unreadable,
        rows,
        failed=unreadable,
        reasons={"unreadable": unreadable} if unreadable else {},
    )
    steps, flow = [first], rows
    for stage in chain.stages:
        step = Step(stage.name, flow, gate=redact(stage.gate.text) if stage.gate else None)
        for (index, fate, reason), count in sorted(counts.items()):
            if index == stage.index and fate != PENDING:
                setattr(step, FATES[fate], getattr(step, FATES[fate]) + count)
                reason = redact(reason)
                step.reasons[reason] = step.reasons.get(reason, 0) + count
                if FATES[fate] == "failed":
                    step.failures[reason] = step.failures.get(reason, 0) + count
        flow = step.kept = flow - step.dropped - step.missing - step.failed
        steps.append(step)
    return Funnel(rows + unreadable, kept, steps)
