"""A stage over all rows: what it sees of each shard, its answer for a partition, and the commit."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, cast

import numpy as np
import pyarrow as pa

from pairmill.errors import (
    PairmillError,
    RunError,
    StageBroken,
    first_line,
    kind_of,
    raised_at,
)
from pairmill.fates.fate_memory import ShardPopulation
from pairmill.fates.survey import living, when_columns
from pairmill.fates.trace import trace
from pairmill.plan.chain import PlannedStage
from pairmill.schemas.arrow import ORDER
from pairmill.schemas.expressions import frame_of
from pairmill.stages.base import CombiningStage, LinkingStage, Stage
from pairmill.texts.amounts import amount
from pairmill.work.ahead import ahead
from pairmill.work.attempt import checked
from pairmill.work.block import Job
from pairmill.work.claims import SETUP, RowRange, WorkPlace
from pairmill.work.deadline import Limited, ThreadWatchdog, Watchdog
from pairmill.work.line import Line
from pairmill.work.linking import COMPONENT, edges_of
from pairmill.work.loaded import LoadedStage
from pairmill.workspace.digests import column_digests, digest_of

ROWS_PER_PARTITION = 1_000_000
"""Rows that one process looks at; a smaller dataset is answered in the driver, without Ray."""


COMMITS = 2
"""Shards that are committed at a time."""
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
    watchdog: Watchdog = field(default_factory=ThreadWatchdog)
    loaded: LoadedStage = field(default_factory=LoadedStage)

    def answer(self, rows: pa.Table, merged: pa.Table | None = None) -> pa.Table:
        """The stage's columns for one partition, beside `__shard` and `__row`.  Where components
        are known, rows of one are all here.  `merged`: what all rows came to, where the stage
        answers from that.

        Raises StageHung where an earlier process outlived its deadline, StageBroken where too many
        of them died.
        """
        rows = in_order(rows)
        seen = rows.drop_columns(["__shard", "__row"])

        def work(stage: Stage) -> pa.Table:
            if merged is not None:
                return cast(CombiningStage, stage).answer(seen, merged)
            if COMPONENT not in seen.schema.names:
                return stage(seen)
            labels = seen.column(COMPONENT).to_numpy()
            return cast(LinkingStage, stage).answer(seen.drop_columns([COMPONENT]), labels)

        planned = self.job.chain.stages[self.job.first]
        values = checked(planned, self.guarded(rows, work), rows.num_rows)
        return values.append_column("__shard", rows.column("__shard")).append_column(
            "__row", rows.column("__row")
        )

    def links(self, rows: pa.Table, known: pa.Table | None) -> pa.Table:
        """What a stage that connects rows connects of a partition; raises as `answer` does."""
        rows = in_order(rows)
        found: pa.Table = self.guarded(rows, lambda s: edges_of(cast(LinkingStage, s), rows, known))
        return found

    def guarded(self, rows: pa.Table, work: Callable[[Stage], pa.Table]) -> Any:
        """Work on rows in order, under the stage's deadline and with a count of attempts."""
        planned = self.job.chain.stages[self.job.first]
        place = WorkPlace(planned.label, first_row=int(rows.column(ORDER)[0].as_py()))
        every = RowRange(0, rows.num_rows - 1, rows.num_rows)
        call = Limited(self.line, planned, place, every, deadline_of(planned, rows.num_rows))
        past = self.line.begin(place)
        if every in past.hung:
            raise call.error()
        if past.attempts > ATTEMPTS and not past.guilty(SETUP):
            raise StageBroken(
                f"stage {planned.name!r}: the process that looked at "
                f"{amount(rows.num_rows, 'row')} ended {past.attempts - 1} times; "
                "is there enough memory for them on a node?"
            )
        stage, _ = self.loaded.take(planned, place, self.line, self.watchdog, past)
        try:
            found = self.watchdog.run(lambda: work(stage), call)
        except PairmillError:
            raise
        except Exception as error:  # a stage may raise anything
            raise StageBroken(
                f"stage {planned.name!r} failed on the "
                f"{amount(rows.num_rows, 'row')} that it looked at: "
                f"{kind_of(error)}: {first_line(error)}{raised_at(error)}"
            ) from error
        self.line.end(place)
        return found


def deadline_of(planned: PlannedStage, rows: int) -> float | None:
    """`deadline_s` is meant for each million rows that the stage looks at in one call."""
    each: float | None = planned.config.deadline_s
    return None if each is None else each * math.ceil(rows / ROWS_PER_PARTITION)


def narrow_rows(job: Job, shard: int, population: ShardPopulation) -> pa.Table:
    """What the stage sees of a shard: its inputs, uid, order; and where the rows stand.

    `population`: the rows that the stage's identity names.  Raises RunError where another run has
    changed them.
    """
    chain, stage = job.chain, job.chain.stages[job.first]
    wanted = list(dict.fromkeys([*stage.reads, "uid"]))
    # texts of the source go to the stage as they are stored, not by way of a frame
    stored = [c for c in wanted if c in chain.pool_schema.names and is_text(chain.dtype(c))]
    framed = [c for c in wanted if c not in stored]
    found = trace(chain, shard, stage.index, want=[*framed, *when_columns(stage)])
    pool = chain.read_pool(shard, stored) if stored else pa.table({})
    rows = np.flatnonzero(found.alive & with_values(pool)).astype(np.int32)
    if ShardPopulation.at(rows) != population:  # there is more to it than what most stages ask
        unread = [c for c in stored if c not in found.frame.columns]
        there = frame_of(pa.table({c: presence(pool.column(c)) for c in unread}))
        found.frame = found.frame.with_columns(there.get_columns())
        rows = living(chain, stage.index, found)
    if ShardPopulation.at(rows) != population:
        raise RunError(
            f"another run changed what stage {stage.name!r} looks at in shard {shard}; "
            "run the same command again"
        )
    columns = {c: found.frame[c].to_arrow() for c in framed}
    columns |= {c: pool.column(c).cast(pa.large_string()) for c in stored}
    if len(rows) < chain.rows_of(shard):
        columns = {c: values.take(pa.array(rows)) for c, values in columns.items()}
    own = {
        ORDER: rows.astype(np.int64) + chain.first_row(shard),
        "__shard": np.full(len(rows), shard, np.int32),
        "__row": rows,
    }
    return pa.table({c: columns[c] for c in wanted} | own)


def commit(job: Job, values: pa.Table) -> dict[int, int]:
    """Writes a partition's answers into the files of the shards it holds, whole shards only; gives
    the digest of each shard's answers.
    """
    shards = np.asarray(values.column("__shard").combine_chunks())
    rows = np.asarray(values.column("__row").combine_chunks())
    order = shards.astype(np.int64) << 32 | rows
    if not (order[1:] >= order[:-1]).all():
        at = np.argsort(order)
        values, shards = values.take(pa.array(at)), shards[at]
    starts = np.flatnonzero(np.diff(shards, prepend=-1)).tolist()
    values = values.drop_columns(["__shard"])
    names = ["row" if n == "__row" else n for n in values.schema.names]
    stage, first = job.chain.stages[job.first], int(shards[0])
    # a file of such a stage says the same of itself in every shard
    rows = job.chain.answers_at(stage, first, 0).as_stored(values.rename_columns(names))

    def store(piece: tuple[int, int]) -> tuple[int, int]:
        part = rows.slice(piece[0], piece[1] - piece[0]).combine_chunks()
        shard = int(shards[piece[0]])
        return shard, store_answers(job, shard, part)

    pieces = list(pairwise([*starts, len(shards)]))
    return dict(ahead(store, pieces, COMMITS))


def store_answers(job: Job, shard: int, rows: pa.Table) -> int:
    """Writes a shard's answers, as they are stored, under their digest, unless they are there, and
    gives that.
    """
    stage = job.chain.stages[job.first]
    digest = digest_of(*(d.to_bytes(8, "little") for d in column_digests(rows).values()))
    file = job.chain.answers_at(stage, shard, digest)
    if not file.storage.exists(file.name):
        file.store(rows)
    return digest


def with_values(columns: pa.Table) -> np.ndarray | bool:
    """Rows that have a value in each column."""
    missing = [c.is_null().combine_chunks() for c in columns.columns if c.null_count]
    return ~np.any([np.asarray(m) for m in missing], axis=0) if missing else True


def presence(values: pa.ChunkedArray) -> pa.Array:
    """True where there is a value, null elsewhere."""
    missing = np.asarray(values.is_null().combine_chunks()) if values.null_count else None
    return pa.array(np.ones(len(values), bool), mask=missing)


def is_text(kind: pa.DataType) -> bool:
    """Whether values are texts."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def in_order(rows: pa.Table) -> pa.Table:
    """Rows sorted by their places in the table, which they mostly are: no copy is made then."""
    order = np.asarray(rows.column(ORDER).combine_chunks())
    return rows if (order[1:] > order[:-1]).all() else rows.sort_by(ORDER)
