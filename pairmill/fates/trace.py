"""Selection is derived: what became of each row of a shard, read off the stored columns."""

from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from pairmill.fates.decide import Answers, Trace, decide, taken_columns
from pairmill.fates.fate_memory import FOLLOWED, Step, place_of, steps_of
from pairmill.plan.chain import Chain, PlannedStage
from pairmill.schemas.companions import mark_of, without_suffix
from pairmill.schemas.expressions import frame_of


def trace(
    chain: Chain,
    shard: int,
    upto: int | None = None,
    retry: Collection[str] = (),
    want: Collection[str] = (),
    present: Collection[str] = (),
    steps: Sequence[Step] | None = None,
) -> Trace:
    """Follows a shard's rows through the stages before index `upto`.  `steps`: the files as they
    are now (`steps_of`), where that was looked up already.

    `retry`: error classes whose failures count as not computed yet.  `want`: columns to have in the
    frame, too; of columns `present` whether there is a value.  What stages read is in the frame in
    that way alone, unless an expression or `want` names it.
    """
    stages = chain.stages[: len(chain.stages) if upto is None else upto]
    place = place_of(chain, shard)
    steps = steps_of(chain, shard, stages, retry) if steps is None else steps
    known, remembered = FOLLOWED.known(place, steps)
    if remembered is not None and known == len(stages) and not (want or present):
        return remembered
    wanted = {n for c in want for n in chain.narrow_columns(c)}
    asked = {chain.narrow(c) for c in present}
    for stage in stages[known:]:
        asked |= {chain.narrow(c) for c in stage.reads}
        wanted |= {chain.narrow(c) for c in stage.compared()} | set(
            stage.gate.columns if stage.gate else ()
        )
    wanted |= {c for c in asked if floating(chain, c)}
    asked -= wanted
    wanted |= asked
    from_pool = sorted(c for c in wanted if without_suffix(c) in chain.pool_schema.names)
    rows = np.arange(chain.rows_of(shard), dtype=np.int32)
    frame = pl.Series("__row", rows).to_frame()
    if from_pool:
        frame = frame_of(chain.read_pool(shard, from_pool, present=asked))
    found = remembered or Trace.start(frame, np.ones(len(rows), bool))
    found.frame = frame
    for stage in stages if wanted else stages[known:]:
        columns = [c for c in stage.narrow_names if c in wanted]
        if stage.index < known:
            if columns:
                taken = stored_columns(chain, shard, stage, columns, found.ran[stage.index])
                found.frame = found.frame.hstack(frame_of(taken))
            continue

        def answers(
            run: np.ndarray, stage: PlannedStage = stage, columns: list[str] = columns
        ) -> Answers:
            if not stage.identity or not run.any():
                return Answers(None, np.full(len(rows), -1, np.int64))
            return stored_answers(chain, shard, stage, columns, rows, retry)

        decide(stage, found, chain, answers, columns)
    if steps:
        FOLLOWED.remember(place, steps, found)
    return found


def floating(chain: Chain, column: str) -> bool:
    """Whether a column may hold NaN, which is no value either."""
    plain = without_suffix(column)
    return plain == column and pa.types.is_floating(chain.dtype(column))


def stored_answers(
    chain: Chain,
    shard: int,
    stage: PlannedStage,
    columns: Collection[str],
    rows: np.ndarray,
    retry: Collection[str] = (),
) -> Answers:
    """What is stored of rows `rows` of a shard; failures that `retry` names (`class` of any stage,
    or `stage:class`) count as nothing.
    """
    stored = chain.columns_of(stage, shard).load(columns)
    at = places(stored, rows)
    if stored is not None and retry:
        classes = pc.struct_field(stored.column("error"), "class")
        named = sorted(entry.removeprefix(f"{stage.name}:") for entry in retry)
        again = pc.is_in(classes, value_set=pa.array(named, pa.string()))
        at[(at >= 0) & np.asarray(again.combine_chunks())[at]] = -1
    return Answers(stored, at)


def stored_columns(
    chain: Chain, shard: int, stage: PlannedStage, columns: Sequence[str], ran: np.ndarray
) -> pa.Table:
    """Columns of a stage whose fates are known already: the values of rows `ran`."""
    stored = chain.columns_of(stage, shard).load(columns) if ran.any() else None
    at = np.where(ran, places(stored, np.arange(len(ran), dtype=np.int32)), -1)
    return taken_columns(stored, at, columns, stage.writes)


def places(stored: pa.Table | None, rows: np.ndarray) -> np.ndarray:
    """For each of `rows` its place in a column file, -1 where it is not stored."""
    if stored is None or not len(rows):
        return np.full(len(rows), -1, np.int64)
    at = np.full(int(rows.max()) + 1, -1, np.int64)
    where = np.asarray(stored.column("row"))
    inside = where < len(at)
    at[where[inside]] = np.flatnonzero(inside)
    return at[rows]


def lost_payload(found: Trace, chain: Chain, payload: Collection[str]) -> np.ndarray:
    """Rows whose bytes are no longer stored, dead ones included."""
    lost = np.zeros(len(found.fate), bool)
    for name in payload:
        if chain.writer_of(name):
            lost |= found.frame[mark_of(name)].fill_null(False).to_numpy()
    return lost


def wanted_payload(found: Trace, chain: Chain, taken: Mapping[str, int]) -> np.ndarray:
    """Rows whose bytes are no longer stored though an output takes them.  `taken`: of each column
    how many stages count for the rows that are taken.
    """
    lost = np.zeros(len(found.fate), bool)
    for name, upto in taken.items():
        lost |= lost_payload(found, chain, [name]) & found.alive_after(upto)
    return lost


REMEMBERED = 64
"""Shards of the pool whose fates are remembered from one output shard to the next."""


class RememberedFates:
    """The fates of a shard's rows; a process remembers those of some shards, since each output
    shard takes rows of several shards of the pool.
    """

    def __init__(self, chain: Chain, want: Collection[str] = ()) -> None:
        self.chain, self.want = chain, want
        self.remembered = lru_cache(REMEMBERED)(partial(trace, chain, want=want))

    def __reduce__(self) -> Any:
        return type(self), (self.chain, self.want)

    def __call__(self, shard: int) -> Trace:
        return self.remembered(shard)
