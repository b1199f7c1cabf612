"""Stages over all rows on Ray: narrow columns of all living rows, partitioned by key, answered, and
written back by shard.
"""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from pairmill.cluster.executor import PLAIN, WATCHDOG, batches, loaded_in_process
from pairmill.cluster.run_actor import RunLine
from pairmill.cluster.session import RaySession, set_context
from pairmill.cluster.worker_start import safe_errors
from pairmill.fates.survey import ShardPopulation
from pairmill.work.block import Job
from pairmill.work.deadline import end_with_parent
from pairmill.work.partition import PartitionWorker, commit, narrow_rows


def run_global(
    session: RaySession, job: Job, seen: Mapping[int, ShardPopulation], partitions: int
) -> int:
    """Computes a stage over all rows, the only one of `job`, and commits it; gives the number of
    rows.  `seen`: what it looks at, of shards where it looks at some.  Raises RunError.
    """
    ray = session.ensure()
    set_context(ray)
    # arrays, which tasks share: a million shards as objects would be unpacked by each of them
    shards, counts = (np.array(v) for v in (list(seen), [p.count for p in seen.values()]))
    digests = np.frombuffer(b"".join(p.digest for p in seen.values()), "V8")

    @safe_errors
    def read(batch: pa.Table) -> pa.Table:
        i = batch.column("id")[0].as_py()
        return narrow_rows(
            job, int(shards[i]), ShardPopulation(int(counts[i]), digests[i].tobytes())
        )

    stage = job.chain.stages[job.first].stage
    keys = list(getattr(stage, "keys", list)())
    line = RunLine(session.progress)
    data = ray.data.range(len(shards), override_num_blocks=len(shards)).map_batches(read, **PLAIN)
    data = data.repartition(partitions, keys=keys) if keys else data.repartition(1)
    data = data.map_batches(answered, fn_kwargs={"job": job, "line": line}, **PLAIN)
    data = data.repartition(partitions, keys=["__shard"])
    data = data.map_batches(committed, fn_kwargs={"job": job}, **PLAIN)
    return sum(sum(batch.column("rows").to_pylist()) for batch in batches(data))


@safe_errors
def answered(part: pa.Table, job: Job, line: RunLine) -> pa.Table:
    """In a worker of Ray, which a call that outlives its deadline ends."""
    end_with_parent()
    if not part.num_rows:
        return part.select([])
    return PartitionWorker(job, line, WATCHDOG, loaded_in_process(job, job.first)).answer(part)


@safe_errors
def committed(part: pa.Table, job: Job) -> pa.Table:
    """In a worker of Ray: whole shards' answers."""
    if part.num_rows:
        commit(job, part)
    return pa.table({"rows": [part.num_rows]})
