"""What becomes of rows at one stage: one rule, for values that are stored and for those that were
just computed.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from pairmill.plan.chain import Chain, PlannedStage
from pairmill.schemas.arrow import is_payload
from pairmill.schemas.companions import companions
from pairmill.schemas.expressions import Expression, frame_of

Why = tuple[str | None, str | None]
"""Why a row is not alive (its class, of a failure), and what a failure says."""
ALIVE, DROPPED, MISSING, FAILED, PENDING = range(5)
FATES = ("kept", "dropped", "missing", "failed", "pending")

NO_COLUMNS = pl.DataFrame()


@dataclass
class Trace:
    """Per row: `fate`, and `at`, the index of the stage that decided it (-1 while alive)."""

    fate: np.ndarray
    at: np.ndarray
    why: np.ndarray = field(init=False)
    """int32, one a row: the place of its reason in `words`; 0 of those that are alive."""
    words: list[Why] = field(default_factory=lambda: [(None, None)])
    """(reason, message), each once."""
    ran: dict[int, np.ndarray] = field(default_factory=dict)
    """Stage index → rows whose values of that stage belong to this run."""
    frame: pl.DataFrame = field(default_factory=lambda: NO_COLUMNS)
    """The narrow columns that gates, inputs and `want` name; null where this run has no value."""

    def __post_init__(self) -> None:
        self.why = np.zeros(len(self.fate), np.int32)
        self.known = {word: i for i, word in enumerate(self.words)}

    @classmethod
    def start(cls, frame: pl.DataFrame, alive: np.ndarray) -> "Trace":
        """Rows before any stage; those that are not alive died elsewhere."""
        fate = np.where(alive, ALIVE, FAILED).astype(np.int8)
        return cls(fate, np.full(len(alive), -1, np.int16), frame=frame)

    def stop(self, mask: np.ndarray, fate: int, stage: int, why: Why = (None, None)) -> None:
        """The rows of a mask are decided, by a stage, all for one reason."""
        self.fate[mask] = fate
        self.at[mask] = stage
        self.why[mask] = self.code(why)

    def code(self, why: Why) -> int:
        """The place of a reason and its message."""
        if (found := self.known.get(why)) is None:
            found = self.known[why] = len(self.words)
            self.words.append(why)
        return found

    def reason(self, row: int) -> Why:
        """Why a row is not alive, and the message of its failure."""
        return self.words[self.why[row]]

    def counts(self) -> Counter[tuple[int, int, str]]:
        """(stage, fate, reason) → rows, of those that are decided and not alive."""
        found: Counter[tuple[int, int, str]] = Counter()
        stopped = (self.fate != ALIVE) & (self.fate != PENDING)
        at, fate, why = (c[stopped].astype(np.int64) for c in (self.at, self.fate, self.why))
        _, first, counts = np.unique(
            at << 40 | fate << 32 | why, return_index=True, return_counts=True
        )  # one number a row: sorting whole lines takes ten times as long
        for row, count in zip(first.tolist(), counts.tolist(), strict=True):
            found[int(at[row]), int(fate[row]), self.words[why[row]][0] or ""] += count
        return found

    @property
    def alive(self) -> np.ndarray:
        """bool, one a row."""
        return self.fate == ALIVE

    def alive_after(self, upto: int) -> np.ndarray:
        """bool, one a row: whether the first `upto` stages let it live, whatever later ones do."""
        return (self.fate == ALIVE) | (self.at >= upto)


@dataclass(frozen=True)
class Answers:
    """Values of one stage.  `table`: `row`, `error` and columns of the rows that have values (None
    where no row has); `at`: the place of each row in it, -1 where it has none.
    """

    table: pa.Table | None
    at: np.ndarray


def decide(
    stage: PlannedStage,
    found: Trace,
    chain: Chain,
    answers: Callable[[np.ndarray], Answers],
    columns: Sequence[str],
) -> pa.Table | None:
    """Takes the living rows through one stage: inputs, values, gate.

    `answers` gives the values of the rows of a mask, as far as there are any; rows without wait
    (PENDING).  Returns `columns` of the stage, null where this run has no value, and None of a
    stage that only has a gate; those that are no payload are in the frame then.
    """
    run, missing, column = inputs(stage, found.frame, found.alive, chain)
    stop_missing(stage, found, missing, column)
    taken = None
    if stage.computes:
        given = answers(run)
        at = np.where(run, given.at, -1)
        stop_failed(stage, found, given.table, at)
        found.stop(run & (at < 0), PENDING, stage.index)
        at[~found.alive] = -1
        found.ran[stage.index] = at >= 0
        taken = taken_columns(given.table, at, columns, stage.writes)
        narrow = [f.name for f in taken.schema if not is_payload(f.type)]
        if narrow:
            found.frame = found.frame.hstack(frame_of(taken.select(narrow)))
    if stage.gate:
        pass_gate(stage, found, run)
    return taken


def inputs(
    stage: PlannedStage, frame: pl.DataFrame, alive: np.ndarray, chain: Chain
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(rows to compute, rows whose inputs are null, the first of these of each row: its place among
    what the stage reads).
    """
    run = alive.copy()
    if stage.when:
        run &= flags(stage.when, frame) == 1
    missing = np.zeros(len(alive), bool)
    column = np.full(len(alive), -1, np.int32)
    optional = stage.stage.may_lack()
    for place, name in enumerate(stage.reads):
        if name in optional:
            continue
        values = frame[chain.narrow(name)]
        if values.dtype.is_float():  # NaN is no value, as in gates
            values = values.fill_nan(None)
        null = values.is_null().to_numpy()
        fresh = run & null & ~missing
        column[fresh] = place
        missing |= fresh
    return run & ~missing, missing, column


def stop_missing(
    stage: PlannedStage, found: Trace, missing: np.ndarray, column: np.ndarray
) -> None:
    """What `on_missing` makes of rows without an input; `column`: which of its inputs, by row."""
    policy = stage.config.on_missing
    if policy == "keep" or not missing.any():
        return
    for place in np.unique(column[missing]).tolist():
        name, rows = stage.reads[place], missing & (column == place)
        if policy == "fail":
            found.stop(rows, FAILED, stage.index, ("missing_input", f"{name} is null"))
        else:
            found.stop(rows, MISSING, stage.index, (name, None))


def stop_failed(stage: PlannedStage, found: Trace, table: pa.Table | None, at: np.ndarray) -> None:
    """Rows whose value is an error have failed."""
    if table is None:
        return
    errors = table.column("error").combine_chunks()
    if errors.null_count == len(errors):
        return
    failed = (at >= 0) & np.asarray(pc.is_valid(errors))[at]
    found.stop(failed, FAILED, stage.index)
    for row in np.flatnonzero(failed):
        error = errors[int(at[row])].as_py()
        found.why[row] = found.code((error["class"], error["message"]))


def pass_gate(stage: PlannedStage, found: Trace, run: np.ndarray) -> None:
    """Rows for which the gate is false are dropped, those for which it is null are missing.

    Rows that pass the stage by (`when` is not true, or inputs are null and `on_missing: keep`)
    pass its gate by, too: it is asked of `run`, the others.
    """
    assert stage.gate is not None
    passed, alive = flags(stage.gate, found.frame), found.alive & run
    for value, fate in ((0, DROPPED), (-1, MISSING)):
        found.stop(alive & (passed == value), fate, stage.index, (stage.gate.text, None))


def flags(expression: Expression, frame: pl.DataFrame) -> np.ndarray:
    """int8, one a row: 1 true, 0 false, -1 null."""
    values = expression.evaluate(frame).cast(pl.Int8)
    return (values.fill_null(-1) if values.null_count() else values).to_numpy()


def taken_columns(
    stored: pa.Table | None, at: np.ndarray, columns: Sequence[str], writes: pa.Schema
) -> pa.Table:
    """Stored columns spread over all rows, null where `at` is -1."""
    if stored is None:
        types = {f.name: f.type for column in writes for f in (column, *companions(column))}
        return pa.table({c: pa.nulls(len(at), types[c]) for c in columns})
    index = pa.array(at, mask=at < 0)
    return pa.table({c: stored.column(c).take(index) for c in columns})
