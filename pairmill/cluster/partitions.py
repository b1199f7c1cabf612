"""Global stages: narrow columns of all living rows, partitioned by key, answered, and written back
by shard.
"""

import math
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from pairmill.cluster.executor import PLAIN, WATCHDOG, loaded_in_process
from pairmill.cluster.run_actor import RunLine
from pairmill.cluster.session import RaySession, own_error, set_context
from pairmill.errors import RunError, StageBroken, StageHung
from pairmill.fates.survey import ShardPopulation, living, looked_at
from pairmill.fates.trace import trace
from pairmill.plan.chain import PlannedStage
from pairmill.work.attempt import checked
from pairmill.work.block import Job
from pairmill.work.claims import SETUP, Line
from pairmill.work.deadline import Watchdog, end_with_parent
from pairmill.work.here import LineHere
from pairmill.work.worker import Loaded, StageWorker

ROWS_PER_PARTITION = 1_000_000
"""Rows that one process looks at; a smaller dataset is answered in the driver, without Ray."""
ATTEMPTS = 3
"""Processes that may end at one partition before that is the stage's fault (Ray gives up after
four, without saying so); a killed node takes one of them.
"""


@dataclass
class PartitionWorker:
    """Where a partition is answered: this process, with its line to the run, its deadlines and the
    stage it has loaded.
    """

    job: Job
    line: Line = field(default_factory=Line)
    watchdog: Watchdog = field(default_factory=Watchdog)
    loaded: Loaded = field(default_factory=Loaded)

    def close(self) -> None:
        if self.loaded.stage is not None:
            self.loaded.stage.close()

    @property
    def stage(self) -> PlannedStage:
        return self.job.chain.stages[self.job.first]

    def answer(self, rows: pa.Table) -> pa.Table:
        """The stage's columns for one partition, beside `__shard` and `__row`.

        Raises StageHung where an earlier process outlived its deadline, StageBroken where too many
        of them died.
        """
        planned, rows = self.stage, rows.sort_by("order")
        number, every = (
            -1 - int(rows.column("order")[0].as_py()),
            (0, rows.num_rows - 1, rows.num_rows),
        )  # no shard has such a number
        past, at = self.line.begin(planned.column_set, number), (planned.column_set, number)
        deadline_s = deadline_of(planned, rows.num_rows)
        if every in past.hung:
            raise StageHung(planned.name, None, every, deadline_s)
        if past.attempts > ATTEMPTS and not past.guilty(SETUP):
            raise StageBroken(
                f"stage {planned.name!r}: the process that looked at {rows.num_rows:,} rows ended {past.attempts - 1} times; "
                "is there enough memory for them on a node?"
            )
        stage, _ = StageWorker(
            self.job, planned.index, self.line, self.watchdog, self.loaded
        ).loaded_stage(past, number)
        with self.watchdog.call(
            deadline_s, lambda: self.line.hang(*at, every), lambda: self.line.spare(*at)
        ):
            values = checked(planned, stage(rows.drop_columns(["__shard", "__row"])), rows.num_rows)
        self.line.end(*at)
        return values.append_column("__shard", rows.column("__shard")).append_column(
            "__row", rows.column("__row")
        )


def deadline_of(planned: PlannedStage, rows: int) -> float | None:
    """`deadline_s` is meant for each million rows that the stage looks at in one call."""
    each: float | None = planned.config.deadline_s
    return None if each is None else each * math.ceil(rows / ROWS_PER_PARTITION)


def narrow_rows(job: Job, shard: int, count: int, digest: bytes) -> pa.Table:
    """What the stage sees of a shard: its inputs, uid, order; and where the rows stand.

    `count`, `digest`: of the rows that the stage's identity names.  Raises RunError where another
    run has changed them.
    """
    chain, stage = job.chain, job.chain.stages[job.first]
    wanted = list(dict.fromkeys([*stage.reads, "uid"]))
    found = trace(chain, shard, stage.index, want=[*wanted, *looked_at(stage)])
    rows = living(chain, stage.index, found)
    if ShardPopulation.at(rows) != ShardPopulation(count, digest):
        raise RunError(
            f"another run changed what stage {stage.name!r} looks at in shard {shard}; run the same command again"
        )
    table = pa.table({c: found.frame[c].to_arrow() for c in wanted}).take(pa.array(rows))
    table = table.append_column("order", pa.array(rows.astype(np.int64) + chain.first_row(shard)))
    table = table.append_column("__shard", pa.array(np.full(len(rows), shard, np.int32)))
    return table.append_column("__row", pa.array(rows))


def commit(job: Job, values: pa.Table) -> pa.Table:
    """Writes a partition's answers into the files of the shards it holds, whole shards only."""
    stage = job.chain.stages[job.first]
    shards = np.asarray(values.column("__shard").combine_chunks())
    for shard in np.unique(shards):
        part = values.take(pa.array(np.flatnonzero(shards == shard))).sort_by("__row")
        part = part.drop_columns(["__shard"]).rename_columns(
            ["row" if n == "__row" else n for n in part.schema.names if n != "__shard"]
        )
        job.chain.store.commit(stage.column_set, int(shard), part, stage.writes)
    return pa.table({"rows": [values.num_rows]})


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


def answered_here(job: Job, table: pa.Table) -> pa.Table:
    worker = PartitionWorker(job, line := LineHere())
    try:
        values = worker.answer(table)
    except KeyboardInterrupt:  # the stage is not closed: it may be at work still
        line.raise_if_hung(job.stages(), deadline_of(worker.stage, table.num_rows))
        raise
    except Exception:
        worker.close()
        raise
    worker.close()
    return values


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
