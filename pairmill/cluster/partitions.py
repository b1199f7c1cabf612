"""Global stages: narrow columns of all living rows, partitioned by key, answered, and written back
by shard.
"""

import math

import numpy as np
import pyarrow as pa

from pairmill.cluster.executor import PLAIN, WATCHDOG, loaded_in_process
from pairmill.cluster.run_actor import RunLine
from pairmill.cluster.session import RaySession, own_error, set_context
from pairmill.fates.survey import ShardPopulation
from pairmill.work.block import Job
from pairmill.work.deadline import end_with_parent
from pairmill.work.partition import (
    ROWS_PER_PARTITION,
    PartitionWorker,
    answered_here,
    commit,
    narrow_rows,
)


def run_global(
    session: RaySession | None,
    job: Job,
    rows: dict[int, ShardPopulation],
    partitions: int | None = None,
) -> int:
    """Computes a global stage, the only one of `job`, and commits it; gives the number of rows.
    Without a session, in this process.

    `rows`: what it looks at, as `Survey.population` tells.
    """
    total = sum(looked.count for looked in rows.values())
    seen = {shard: looked for shard, looked in rows.items() if looked.count}
    if not seen:
        return 0
    partitions = partitions or math.ceil(total / ROWS_PER_PARTITION)
    if session is None or partitions == 1:
        table = pa.concat_tables(
            [narrow_rows(job, shard, looked.count, looked.digest) for shard, looked in seen.items()]
        )
        commit(job, answered_here(job, table))
        return total
    return on_ray(session, job, seen, partitions)


def answered_there(part: pa.Table, job: Job, line: RunLine) -> pa.Table:
    """In a worker of Ray, which a call that outlives its deadline ends."""
    end_with_parent()
    if not part.num_rows:
        return part.select([])
    return PartitionWorker(job, line, WATCHDOG, loaded_in_process(job, job.first)).answer(part)


def on_ray(session: RaySession, job: Job, seen: dict[int, ShardPopulation], partitions: int) -> int:
    ray = session.ensure()
    set_context(ray)
    # arrays, which tasks share: a million shards as objects would be unpacked by each of them
    shards, counts = (np.array(v) for v in (list(seen), [looked.count for looked in seen.values()]))
    digests = np.frombuffer(b"".join(looked.digest for looked in seen.values()), "V8")

    def read(batch: pa.Table) -> pa.Table:
        i = batch.column("id")[0].as_py()
        return narrow_rows(job, int(shards[i]), int(counts[i]), digests[i].tobytes())

    stage = job.chain.stages[job.first].stage
    keys = list(getattr(stage, "keys", list)())
    line = RunLine(session.progress)
    try:
        data = ray.data.range(len(shards), override_num_blocks=len(shards)).map_batches(
            read, **PLAIN
        )
        data = data.repartition(partitions, keys=keys) if keys else data.repartition(1)
        data = data.map_batches(answered_there, fn_kwargs={"job": job, "line": line}, **PLAIN)
        data = data.repartition(partitions, keys=["__shard"])
        data = data.map_batches(
            lambda part: commit(job, part) if part.num_rows else pa.table({"rows": [0]}), **PLAIN
        )
        return sum(
            sum(b.column("rows").to_pylist())
            for b in data.iter_batches(batch_size=None, batch_format="pyarrow")
        )
    except Exception as error:
        raise own_error(error) from error
