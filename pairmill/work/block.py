"""What every operator of a phase knows, and the block that enters a phase."""

import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pairmill.fates.trace import PENDING, Trace, positions, taken_columns, trace
from pairmill.plan.chain import Chain, PlannedStage
from pairmill.schemas.arrow import SIZE_SUFFIX, is_payload
from pairmill.schemas.expressions import frame_of


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


HIDDEN = ("__shard", "__row", "__alive", "__fresh", "__stats")


def narrow_frame(block: pa.Table) -> Any:
    """The block's columns for gates and null checks; payload is represented by its size."""
    columns = {}
    for f in block.schema:
        values = block.column(f.name)
        if is_payload(f.type):
            columns[f.name + SIZE_SUFFIX] = pc.cast(pc.binary_length(values), pa.int64())
        else:
            columns[f.name] = values
    return frame_of(pa.table(columns))


def with_stats(block: pa.Table, stats: dict[str, Any]) -> pa.Table:
    told = [*json.loads(block.column("__stats")[0].as_py()), stats]
    values = pa.array([json.dumps(told)] + [None] * (block.num_rows - 1), pa.string())
    return block.set_column(block.schema.get_field_index("__stats"), "__stats", values)


def finish(job: Job, block: pa.Table) -> pa.Table:
    """The end of a phase for a shard: forgets payload nobody wants to keep, leaves a one-row
    summary.
    """
    if block.num_rows == 0:
        return pa.table({"shard": pa.array([], pa.int32()), "stats": pa.array([], pa.string())})
    shard = block.column("__shard")[0].as_py()
    dead = np.asarray(
        pc.and_(block.column("__fresh"), pc.invert(block.column("__alive"))).combine_chunks()
    )
    rows: Collection[int] = set(np.asarray(block.column("__row").combine_chunks())[dead].tolist())
    for stage in job.stages():
        if rows and stage.payload() and stage.config.store == "kept":
            job.chain.store.evict(stage.column_set, shard, rows, stage.writes)
    return pa.table(
        {
            "shard": pa.array([shard], pa.int32()),
            "stats": pa.array([block.column("__stats")[0].as_py()]),
        }
    )
