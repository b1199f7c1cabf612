"""Selection is derived: what became of each row of a shard, read off the stored columns."""

from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from pairmill.plan.chain import Chain, PlannedStage
from pairmill.schemas.arrow import SIZE_SUFFIX, is_payload
from pairmill.schemas.expressions import Expression, frame_of

ALIVE, DROPPED, MISSING, FAILED, PENDING = range(5)
FATES = ("kept", "dropped", "missing", "failed", "pending")


@dataclass
class Trace:
    """Per row: `fate`, and `at`, the index of the stage that decided it (-1 while alive)."""

    fate: np.ndarray
    at: np.ndarray
    reasons: dict[int, tuple[str, str | None]] = field(default_factory=dict)
    """Row → (reason, message) of those that are not alive."""
    ran: dict[int, np.ndarray] = field(default_factory=dict)
    """Stage index → rows whose values of that stage belong to this run."""
    frame: pl.DataFrame = field(default_factory=pl.DataFrame)
    """The narrow columns that gates, inputs and `want` name; null where this run has no value."""

    def stop(self, mask: np.ndarray, fate: int, stage: int) -> None:
        self.fate[mask] = fate
        self.at[mask] = stage

    @property
    def alive(self) -> np.ndarray:
        return self.fate == ALIVE


def trace(
    chain: Chain,
    shard: int,
    upto: int | None = None,
    retry: Collection[str] = (),
    want: Collection[str] = (),
) -> Trace:
    """Follows a shard's rows through the stages before index `upto`.

    `retry`: error classes whose failures count as not computed yet.  `want`: columns to have in the
    frame, too.
    """
    stages = chain.stages[: len(chain.stages) if upto is None else upto]
    wanted = {chain.narrow(c) for c in want}
    for stage in stages:
        wanted |= {chain.narrow(c) for c in stage.touches()} | set(
            stage.gate.columns if stage.gate else ()
        )
    pool_columns = [
        c
        for c in wanted
        if c in chain.pool_schema.names or c.removesuffix(SIZE_SUFFIX) in chain.pool_schema.names
    ]
    table = chain.read_pool(shard, sorted(pool_columns))
    n = chain.rows_of(shard)
    found = Trace(
        np.full(n, ALIVE, np.int8),
        np.full(n, -1, np.int16),
        frame=frame_of(table.select(sorted(pool_columns))),
    )
    if not pool_columns:
        found.frame = pl.DataFrame({"__row": np.arange(n, dtype=np.int32)})
    for stage in stages:
        follow(chain, shard, stage, found, wanted, retry)
    return found


def follow(
    chain: Chain,
    shard: int,
    stage: PlannedStage,
    found: Trace,
    wanted: set[str],
    retry: Collection[str],
) -> None:
    """One stage: inputs, what is stored, gate."""
    run, missing, column = inputs(stage, found.frame, found.alive, chain)
    apply_missing(stage, found, missing, column)
    if stage.computes:
        stored_columns = [
            f.name if not is_payload(f.type) else f.name + SIZE_SUFFIX for f in stage.writes
        ]
        stored_columns = [c for c in stored_columns if c in wanted]
        stored = (
            chain.store.load(stage.column_set, shard, stored_columns)
            if stage.identity and run.any()
            else None
        )
        at = positions(stored, len(found.fate))
        errors = stored.column("error").combine_chunks() if stored is not None else None
        failed = np.zeros(len(found.fate), bool)
        if stored is not None and errors is not None and errors.null_count < len(errors):
            for i in np.flatnonzero(np.asarray(pc.is_valid(errors))):
                row = int(stored.column("row")[int(i)].as_py())
                error = errors[int(i)].as_py()
                if row >= len(found.fate) or not run[row]:
                    continue
                if error["class"] in retry:
                    at[row] = -1
                else:
                    failed[row] = True
                    found.reasons[row] = (error["class"], error["message"])
        found.stop(run & (at < 0), PENDING, stage.index)
        found.stop(failed, FAILED, stage.index)
        at[~found.alive | ~run] = -1
        found.ran[stage.index] = at >= 0
        taken = taken_columns(stored, at, stored_columns, stage.writes)
        found.frame = (
            found.frame.with_columns(frame_of(taken).get_columns())
            if stored_columns
            else found.frame
        )
    if stage.gate:
        gate(stage, found, flags(stage.gate, found.frame), run)


def inputs(
    stage: PlannedStage, frame: pl.DataFrame, alive: np.ndarray, chain: Chain
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """(rows to compute, rows whose inputs are null, the first null column of each of those)."""
    run = alive.copy()
    if stage.when:
        run &= flags(stage.when, frame) == 1
    missing = np.zeros(len(alive), bool)
    column = [""] * len(alive)
    for name in stage.reads:
        null = frame[chain.narrow(name)].is_null().to_numpy()
        fresh = run & null & ~missing
        for row in np.flatnonzero(fresh):
            column[row] = name
        missing |= fresh
    return run & ~missing, missing, column


def apply_missing(
    stage: PlannedStage, found: Trace, missing: np.ndarray, column: list[str]
) -> None:
    policy = stage.config.on_missing
    if policy == "keep" or not missing.any():
        return
    found.stop(missing, FAILED if policy == "fail" else MISSING, stage.index)
    for row in np.flatnonzero(missing):
        found.reasons[int(row)] = (
            ("missing_input", f"{column[row]} is null") if policy == "fail" else (column[row], None)
        )


def gate(stage: PlannedStage, found: Trace, passed: np.ndarray, run: np.ndarray) -> None:
    """Rows for which the gate is false are dropped, those for which it is null are missing.

    Rows that pass the stage by (`when` is not true, or inputs are null and `on_missing: keep`)
    pass its gate by, too: it is asked of `run`, the others.
    """
    assert stage.gate is not None
    alive = found.alive & run
    for value, fate in ((0, DROPPED), (-1, MISSING)):
        stopped = alive & (passed == value)
        found.stop(stopped, fate, stage.index)
        for row in np.flatnonzero(stopped):
            found.reasons[int(row)] = (stage.gate.text, None)


def flags(expression: Expression, frame: pl.DataFrame) -> np.ndarray:
    """1 true, 0 false, -1 null."""
    values = expression.evaluate(frame)
    if len(values) != frame.height:
        values = values.extend_constant(values[0], frame.height - 1) if len(values) == 1 else values
    return values.cast(pl.Int8).fill_null(-1).to_numpy()


def positions(stored: pa.Table | None, rows: int) -> np.ndarray:
    """For each row its place in a column file, -1 where it is not stored."""
    at = np.full(rows, -1, np.int64)
    if stored is not None:
        where = np.asarray(stored.column("row"))
        inside = where < rows
        at[where[inside]] = np.flatnonzero(inside)
    return at


def taken_columns(
    stored: pa.Table | None, at: np.ndarray, columns: list[str], writes: pa.Schema
) -> pa.Table:
    """Stored columns spread over all rows, null where `at` is -1."""
    if stored is None:
        types = {f.name: f.type for f in writes}
        return pa.table({c: pa.nulls(len(at), types.get(c, pa.int64())) for c in columns})
    index = pa.array(at, mask=at < 0)
    return pa.table({c: stored.column(c).take(index) for c in columns})


def lost_payload(found: Trace, chain: Chain, payload: Collection[str]) -> np.ndarray:
    """Rows whose bytes are no longer stored, dead ones included."""
    lost = np.zeros(len(found.fate), bool)
    for name in payload:
        if chain.writer_of(name):
            lost |= (found.frame[name + SIZE_SUFFIX] < 0).fill_null(False).to_numpy()
    return lost
