"""Stages over all rows on Ray: narrow columns of all living rows, partitioned by key, answered, and
written back by shard.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from pairmill.cluster.components import PAIRS_AT_ONCE, Components, components
from pairmill.cluster.datasets import PLAIN, batches, set_context
from pairmill.cluster.operators import WATCHDOG, loaded_in_process
from pairmill.cluster.phase_guard import Progress
from pairmill.cluster.run_actor import RunLine
from pairmill.cluster.session import RaySession
from pairmill.cluster.worker_start import safe_errors
from pairmill.fates.fate_memory import ShardPopulation
from pairmill.schemas.arrow import ORDER
from pairmill.work.block import Job
from pairmill.work.deadline import end_with_parent
from pairmill.work.linking import (
    COMPONENT,
    KEY,
    combining_of,
    linking_of,
    spread_rows,
)
from pairmill.work.partition import PartitionWorker, commit, narrow_rows

LEAST_SHUFFLED = 8 * 2**20
"""Bytes of rows that a task of the shuffle cuts at a time, at least: of less, its start would be
most of it.
"""
COMMITTED = pa.schema([("shard", pa.int32()), ("digest", pa.uint64())])
"""What workers tell of what they committed."""


def run_global(
    session: RaySession,
    job: Job,
    seen: Mapping[int, ShardPopulation],
    partitions: int,
) -> dict[int, int]:
    """Computes a stage over all rows, the only one of `job`, and commits it; gives the digest of
    the answers in each shard.  `seen`: what it looks at, of shards where it looks at some.  Raises
    RunError.
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

    first = read(pa.table({"id": [0]}))
    part_bytes = int(counts.sum()) * first.nbytes // max(1, first.num_rows) // partitions
    # else a task takes a gigabyte of shards at a time, whatever a partition's size
    context = ray.data.DataContext.get_current()
    context.shuffle_input_batch_bytes = max(LEAST_SHUFFLED, part_bytes)
    stage = job.chain.stages[job.first].stage
    keys = list(getattr(stage, "keys", list)())
    line, guard = RunLine(session.progress), Progress(session.watched())
    data = ray.data.range(len(shards), override_num_blocks=len(shards)).map_batches(read, **PLAIN)
    if combining_of(stage):
        merged = ray.put(combined(ray, data, job, int(counts.sum()), guard))
        about = {"job": job, "line": line, "merged": merged}
        data = data.map_batches(answered_and_committed, fn_kwargs=about, **PLAIN)
        return digests_in(data, guard)
    if linking_of(stage):
        pairs = linked_pairs(session, data, job, partitions, int(counts.sum()), first.slice(0, 1))
        connected = components(session, pairs, job.chain.rows(), PAIRS_AT_ONCE)
        data = data.map_batches(labelled, fn_kwargs={"components": connected}, **PLAIN)
        keys = [COMPONENT]
    data = data.repartition(partitions, keys=keys) if keys else data.repartition(1)
    data = data.map_batches(answered, fn_kwargs={"job": job, "line": line}, **PLAIN)
    data = data.repartition(partitions, keys=["__shard"])
    data = data.map_batches(committed, fn_kwargs={"job": job}, **PLAIN)
    return digests_in(data, guard)


def digests_in(data: Any, guard: Progress) -> dict[int, int]:
    """Shard → digest of its answers, as workers tell them."""
    found: dict[int, int] = {}
    for batch in batches(data, guard):
        if batch.num_rows:
            shards, digests = (batch.column(c).to_pylist() for c in COMMITTED.names)
            found |= zip(shards, digests, strict=True)
    return found


def digests_table(digests: Mapping[int, int]) -> pa.Table:
    """What `digests_in` reads."""
    return pa.table([[*digests.keys()], [*digests.values()]], schema=COMMITTED)


def linked_pairs(
    session: RaySession, data: Any, job: Job, partitions: int, total: int, one: pa.Table
) -> Any:
    """A dataset of pairs of places in the pool that are connected.  `one`: a row, which tells how
    many keys rows have: under each of them a row is in some partition, and partitions are as many
    more, so that one holds no more than it does where rows have one key.  Partitions give no more
    pairs than they have rows.
    """
    ray, guard = session.ensure(), Progress(session.watched())
    samples = samples_of(data, job, total, guard)
    known = linking(job).learn(pa.concat_tables(samples), total) if samples else None
    where = {"job": job, "known": ray.put(known)}
    partitions *= len(linking(job).spread(one.drop_columns(["__shard", "__row"]), known))
    pairs = data.map_batches(spread, fn_kwargs=where, **PLAIN).repartition(partitions, keys=[KEY])
    about = {**where, "line": RunLine(session.progress)}
    return pairs.map_batches(linked, fn_kwargs=about, **PLAIN)


def samples_of(data: Any, job: Job, total: int, guard: Progress) -> list[pa.Table]:
    """What all partitions have to know, shard by shard."""
    about = {"job": job, "total": total}
    return [
        s for s in batches(data.map_batches(sampled, fn_kwargs=about, **PLAIN), guard) if s.num_rows
    ]


def combined(ray: Any, data: Any, job: Job, total: int, guard: Progress) -> pa.Table:
    """What all rows come to, for a stage that answers each from a summary of all."""
    samples = samples_of(data, job, total, guard)
    stage = linking(job)
    known = ray.put(stage.learn(pa.concat_tables(samples) if samples else None, total))
    where = {"job": job, "known": known}
    summaries = batches(data.map_batches(summarised, fn_kwargs=where, **PLAIN), guard)
    merged: pa.Table = stage.merged(
        pa.concat_tables(s for s in summaries if s.num_rows or s.num_columns)
    )
    return merged


def linking(job: Job) -> Any:
    """The stage of the job, for what needs no loading."""
    return job.chain.stages[job.first].stage


@safe_errors
def sampled(rows: pa.Table, job: Job, total: int) -> pa.Table:
    """In a worker of Ray: what all partitions have to know of a shard."""
    sample = linking(job).sample(rows, total)
    return rows.select([]).slice(0, 0) if sample is None else sample


@safe_errors
def summarised(rows: pa.Table, job: Job, known: Any) -> pa.Table:
    """In a worker of Ray: what a shard contributes."""
    import ray

    seen = rows.sort_by(ORDER).drop_columns(["__shard", "__row"])
    return (
        linking(job).summary(seen, ray.get(known)) if rows.num_rows else rows.select([]).slice(0, 0)
    )


@safe_errors
def answered_and_committed(rows: pa.Table, job: Job, line: RunLine, merged: Any) -> pa.Table:
    """In a worker of Ray: a shard's answers from what all rows come to."""
    import ray

    end_with_parent()
    if not rows.num_rows:
        return digests_table({})
    worker = PartitionWorker(job, line, WATCHDOG, loaded_in_process(job, job.first))
    return digests_table(commit(job, worker.answer(rows, ray.get(merged))))


@safe_errors
def spread(rows: pa.Table, job: Job, known: Any) -> pa.Table:
    """In a worker of Ray: a shard's rows under each of their keys."""
    import ray

    return spread_rows(linking(job), rows, ray.get(known))


@safe_errors
def linked(part: pa.Table, job: Job, known: Any, line: RunLine) -> pa.Table:
    """In a worker of Ray: what is connected among the rows of a partition."""
    import ray

    end_with_parent()
    if not part.num_rows:
        return pa.table({"one": pa.array([], pa.int64()), "two": pa.array([], pa.int64())})
    worker = PartitionWorker(job, line, WATCHDOG, loaded_in_process(job, job.first))
    return worker.links(part, ray.get(known))


@safe_errors
def labelled(rows: pa.Table, components: Components) -> pa.Table:
    """In a worker of Ray: a shard's rows beside the component of each."""
    return components.of(rows)


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
    return digests_table(commit(job, part) if part.num_rows else {})
