"""Global stages: narrow columns of all living rows, partitioned by key, answered, and written back by shard."""

import hashlib
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from pairmill.errors import RunError
from pairmill.pipeline.ahead import ahead
from pairmill.pipeline.attempt import checked
from pairmill.pipeline.chain import Chain
from pairmill.pipeline.executor import RaySession, own_error, set_context
from pairmill.pipeline.ledger import THREADS
from pairmill.pipeline.trace import Trace, inputs, trace
from pairmill.stages.base import GlobalStage

ROWS_PER_PARTITION = 1_000_000
"""Rows that one process looks at; a smaller dataset is answered in the driver, without Ray."""


@dataclass(frozen=True)
class Looked:
    """How many rows of a shard a global stage looks at, and a digest of which."""

    count: int
    digest: bytes

    @classmethod
    def at(cls, rows: np.ndarray) -> "Looked":
        return cls(len(rows), hashlib.blake2b(rows.tobytes(), digest_size=8).digest())


def living(chain: Chain, index: int, shard: int) -> tuple[np.ndarray, Trace]:
    """Rows of a shard that a global stage looks at, and the trace that says so."""
    stage = chain.stages[index]
    found = trace(chain, shard, stage.index, want=[*stage.reads, "uid"])
    run, _, _ = inputs(stage, found.frame, found.alive, chain)
    return np.flatnonzero(run).astype(np.int32), found


def population(chain: Chain, index: int) -> tuple[str, dict[int, Looked]]:
    """(digest of which rows the stage looks at, the same by shard)."""
    shards = chain.shards()
    found = dict(zip(shards, ahead(lambda s: Looked.at(living(chain, index, s)[0]), shards, THREADS), strict=True))
    h = hashlib.blake2b(digest_size=8)
    for shard, looked in found.items():
        h.update(shard.to_bytes(4, "little") + looked.count.to_bytes(4, "little") + looked.digest)
    return h.hexdigest(), found


def narrow_rows(chain: Chain, index: int, shard: int, named: Looked) -> pa.Table:
    """What the stage sees of a shard: its inputs, uid, order; and where the rows stand.

    `named`: the rows that the stage's identity names.  Raises RunError where another run has changed them meanwhile.
    """
    wanted = [c for c in dict.fromkeys([*chain.stages[index].reads, "uid"])]
    rows, found = living(chain, index, shard)
    if Looked.at(rows) != named:
        raise RunError(f"another run changed what stage {chain.stages[index].name!r} looks at in shard {shard}; run the same command again")
    table = pa.table({c: found.frame[c].to_arrow() for c in wanted}).take(pa.array(rows))
    table = table.append_column("order", pa.array(rows.astype(np.int64) + chain.first_row(shard)))
    table = table.append_column("__shard", pa.array(np.full(len(rows), shard, np.int32)))
    return table.append_column("__row", pa.array(rows))


def answer(chain: Chain, index: int, rows: pa.Table) -> pa.Table:
    """The stage's columns for one partition, beside `__shard` and `__row`."""
    stage = chain.stages[index]
    rows = rows.sort_by("order")
    values = checked(stage, stage.stage(rows.drop_columns(["__shard", "__row"])), rows.num_rows)
    return values.append_column("__shard", rows.column("__shard")).append_column("__row", rows.column("__row"))


def commit(chain: Chain, index: int, values: pa.Table) -> pa.Table:
    """Writes a partition's answers into the files of the shards it holds, whole shards only."""
    stage = chain.stages[index]
    shards = np.asarray(values.column("__shard").combine_chunks())
    for shard in np.unique(shards):
        part = values.take(pa.array(np.flatnonzero(shards == shard))).sort_by("__row")
        part = part.drop_columns(["__shard"]).rename_columns(["row" if n == "__row" else n for n in part.schema.names if n != "__shard"])
        chain.store.commit(stage.column_set, int(shard), part, stage.writes)
    return pa.table({"rows": [values.num_rows]})


def run_global(session: RaySession | None, chain: Chain, index: int, rows: dict[int, Looked], partitions: int | None = None) -> int:
    """Computes a global stage and commits it; gives the number of rows.  Without a session, in this process.

    `rows`: what it looks at, as `population` tells.
    """
    stage = chain.stages[index]
    total = sum(looked.count for looked in rows.values())
    shards = [shard for shard, looked in rows.items() if looked.count]
    if not shards:
        return 0
    partitions = partitions or math.ceil(total / ROWS_PER_PARTITION)
    if session is None or partitions == 1:
        stage.stage.setup()
        table = pa.concat_tables([narrow_rows(chain, index, s, rows[s]) for s in shards])
        commit(chain, index, answer(chain, index, table))
        return total
    ray = session.ensure()
    set_context(ray)
    plain: dict[str, Any] = {"batch_size": None, "batch_format": "pyarrow", "zero_copy_batch": True}
    try:
        data = ray.data.range(len(shards), override_num_blocks=len(shards)).map_batches(
            lambda batch: narrow_rows(chain, index, s := shards[batch.column("id")[0].as_py()], rows[s]), **plain
        )
        assert isinstance(stage.stage, GlobalStage)
        keys = list(stage.stage.keys())
        data = data.repartition(partitions, keys=keys) if keys else data.repartition(1)
        data = data.map_batches(lambda part: answer(chain, index, part) if part.num_rows else part.select([]), **plain)
        data = data.repartition(partitions, keys=["__shard"])
        data = data.map_batches(lambda part: commit(chain, index, part) if part.num_rows else pa.table({"rows": [0]}), **plain)
        return sum(sum(b.column("rows").to_pylist()) for b in data.iter_batches(batch_size=None, batch_format="pyarrow"))
    except Exception as error:
        raise own_error(error) from error
