"""What every operator of a phase knows, and the block of rows that passes through it."""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from pairmill.fates.decide import PENDING, Trace, taken_columns
from pairmill.fates.trace import places, trace
from pairmill.plan.chain import Chain, PlannedStage
from pairmill.schemas.arrow import is_payload, payload_sizes
from pairmill.schemas.companions import size_of
from pairmill.schemas.expressions import frame_of
from pairmill.work.messages import StageStats


@dataclass(frozen=True)
class Job:
    """What every operator of a phase knows."""

    chain: Chain
    first: int
    last: int
    """The phase's stages are chain.stages[first:last]."""
    retry: tuple[str, ...] = ()
    run_folder: str = ""
    """The run's folder, where there is a run."""

    def stages(self) -> tuple[PlannedStage, ...]:
        """The phase's stages."""
        return self.chain.stages[self.first : self.last]

    def needed_after(self, index: int) -> set[str]:
        """Columns that stages of the phase behind `index` read."""
        return {c for s in self.stages() if s.index > index for c in s.touches()}

    def read_columns(self) -> list[str]:
        """Columns that the phase needs and that stand when it begins."""
        written = {n for s in self.stages() for n in s.writes.names}
        return sorted(self.needed_after(self.first - 1) - written)

    def read(self, shard: int) -> "RowBlock":
        """The block that enters the phase: only rows whose fate the stored columns do not tell
        yet.
        """
        found = trace(self.chain, shard, self.last, self.retry)
        numbers = np.flatnonzero((found.fate == PENDING) & (found.at >= self.first))
        rows = block_columns(self.chain, shard, numbers, self.read_columns(), found, self.first)
        alive = np.ones(len(numbers), bool)
        return RowBlock(shard, numbers.astype(np.int32), alive, ~alive, rows)


@dataclass(frozen=True)
class RowBlock:
    """The rows of one shard that a phase has yet to decide.

    `numbers`: int32, rows of the shard; `alive`, `fresh`: bool, one a row; `rows`: the columns that
    later stages need.
    """

    shard: int
    numbers: np.ndarray
    alive: np.ndarray
    fresh: np.ndarray
    """Rows whose payload was fetched by this run and that no output takes as yet."""
    rows: pa.Table
    stats: tuple[StageStats, ...] = ()
    """What the stages of the phase did with it so far."""

    @property
    def nbytes(self) -> int:
        """Bytes of the columns that later stages need."""
        return int(self.rows.nbytes)

    def narrow_frame(self, compared: Collection[str]) -> pl.DataFrame:
        """The columns for gates and null checks: payload is represented by its size, and texts and
        lists that are not `compared` by whether there is a value.
        """
        columns = {"__row": pa.array(self.numbers)}
        for f in self.rows.schema:
            values = self.rows.column(f.name)
            if is_payload(f.type):
                columns[size_of(f.name)] = payload_sizes(values)
            elif f.name not in compared and not pa.types.is_primitive(f.type):
                columns[f.name] = pc.true_unless_null(values)
            else:
                columns[f.name] = values
        return frame_of(pa.table(columns))

    def finish(self, job: Job) -> tuple[StageStats, ...]:
        """The end of a phase for a shard: forgets payload that nobody wants to keep, and gives the
        counts of all stages.
        """
        rows: Collection[int] = set(self.numbers[self.fresh & ~self.alive].tolist())
        for stage in job.stages():
            if rows and stage.payload() and stage.config.store == "kept":
                job.chain.columns_of(stage, self.shard).evict(rows)
        return self.stats


def block_columns(
    chain: Chain, shard: int, rows: np.ndarray, names: list[str], found: Trace | None, before: int
) -> pa.Table:
    """Columns of the pool and of stages before index `before`, for some rows of a shard, as this
    run sees them.  `found`: the rows' fates, for columns of stages.
    """
    columns: dict[str, pa.ChunkedArray] = {}
    from_pool = [n for n in names if n in chain.pool_schema.names]
    if from_pool:
        pool = chain.read_pool(shard, from_pool, rows)
        columns.update({n: pool.column(n) for n in from_pool})
    for stage in chain.stages[:before]:
        wanted = [n for n in names if n in stage.writes.names]
        if wanted and found is not None:
            near = rows if set(stage.payload()) & set(wanted) else None
            stored = chain.columns_of(stage, shard).load(wanted, near)
            at = np.where(found.ran[stage.index][rows], places(stored, rows), -1)
            taken = taken_columns(stored, at, wanted, stage.writes)
            columns.update({n: taken.column(n) for n in wanted})
    return pa.table(columns)
