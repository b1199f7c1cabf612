"""What every operator of a phase knows, and the block that enters a phase."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pairmill.fates.trace import PENDING, Trace, positions, taken_columns, trace
from pairmill.plan.chain import Chain, PlannedStage


@dataclass(frozen=True)
class Job:
    """What every operator of a phase knows."""

    chain: Chain
    first: int
    last: int
    """The phase's stages are chain.stages[first:last]."""
    retry: tuple[str, ...] = ()

    def stages(self) -> tuple[PlannedStage, ...]:
        return self.chain.stages[self.first : self.last]

    def needed_after(self, index: int) -> set[str]:
        """Columns that stages of the phase behind `index` read."""
        return {c for s in self.stages() if s.index > index for c in s.touches()}

    def read(self, shard: int) -> pa.Table:
        """The block that enters the phase: only rows whose fate the stored columns do not tell yet."""
        found = trace(self.chain, shard, self.last, self.retry)
        rows = np.flatnonzero((found.fate == PENDING) & (found.at >= self.first))
        table = pa.table(
            {
                "__shard": pa.array(np.full(len(rows), shard, np.int32)),
                "__row": pa.array(rows.astype(np.int32)),
            }
        )
        needed = self.needed_after(self.first - 1) - {
            n for s in self.stages() for n in s.writes.names
        }
        for column in (
            values := block_columns(self.chain, shard, rows, sorted(needed), found, self.first)
        ).schema.names:
            table = table.append_column(column, values.column(column))
        flag = pa.array(np.ones(len(rows), bool))
        table = table.append_column("__alive", flag).append_column("__fresh", pc.invert(flag))
        return table.append_column(
            "__stats", pa.array(["[]"] + [None] * (len(rows) - 1) if len(rows) else [], pa.string())
        )


def block_columns(
    chain: Chain, shard: int, rows: np.ndarray, names: list[str], found: Trace, before: int
) -> pa.Table:
    """Columns of the pool and of stages before index `before`, for some rows of a shard, as this
    run sees them.
    """
    columns: dict[str, pa.ChunkedArray] = {}
    from_pool = [n for n in names if n in chain.pool_schema.names]
    if from_pool:
        pool = chain.read_pool(shard, from_pool, rows)
        columns.update({n: pool.column(n) for n in from_pool})
    for stage in chain.stages[:before]:
        wanted = [n for n in names if n in stage.writes.names]
        if wanted:
            stored = chain.store.load(
                stage.column_set,
                shard,
                wanted,
                rows if set(stage.payload()) & set(wanted) else None,
            )
            at = positions(stored, len(found.fate))
            at[~found.ran[stage.index]] = -1
            taken = taken_columns(stored, at[rows], wanted, stage.writes)
            columns.update({n: taken.column(n) for n in wanted})
    return pa.table(columns)
