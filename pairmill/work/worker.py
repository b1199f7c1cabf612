"""One stage over one shard: masks dead rows, takes what is stored, computes the rest in fixed
batches, commits.

A block holds the rows of one shard that the phase has yet to decide: `__shard`, `__row`, `__alive`,
`__fresh` (rows whose payload was fetched by this run), `__stats` (JSON in the first row) and the
columns that later stages need.
"""

import os
import socket
import time
from dataclasses import asdict, dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pairmill.fates.trace import (
    ALIVE,
    FAILED,
    Trace,
    apply_missing,
    flags,
    gate,
    inputs,
    positions,
    taken_columns,
)
from pairmill.plan.chain import PlannedStage
from pairmill.schemas.arrow import SIZE_SUFFIX, is_payload
from pairmill.schemas.expressions import frame_of
from pairmill.work.ahead import give_back
from pairmill.work.attempt import LEAST_FAILURES, Attempt
from pairmill.work.block import HIDDEN, Job, narrow_frame, with_stats
from pairmill.work.deadline import Watchdog
from pairmill.work.line import Line
from pairmill.work.loaded import Loaded
from pairmill.work.stats import StageStats
from pairmill.workspace.columns import stored_schema


@dataclass
class StageWorker:
    """Runs one stage on blocks; loads what the stage needs when the first row has to be computed,
    not before.
    """

    job: Job
    index: int
    line: Line = field(default_factory=Line)
    watchdog: Watchdog = field(default_factory=Watchdog)
    loaded: Loaded = field(default_factory=Loaded)
    stats: StageStats = field(default_factory=lambda: StageStats(""))

    @property
    def planned(self) -> PlannedStage:
        return self.job.chain.stages[self.index]

    def __call__(self, block: pa.Table) -> pa.Table:
        if block.num_rows == 0:
            return block
        planned, start = self.planned, time.monotonic()
        alive = np.asarray(block.column("__alive").combine_chunks())
        who = f"{socket.gethostname()}:{os.getpid()}"
        self.stats = StageStats(
            planned.name,
            rows=int(alive.sum()),
            shard=block.column("__shard")[0].as_py(),
            worker=who,
            began=time.time(),
        )
        found = Trace(
            np.where(alive, ALIVE, FAILED).astype(np.int8),
            np.zeros(len(alive), np.int16),
            frame=narrow_frame(block),
        )
        run, missing, column = inputs(planned, found.frame, alive, self.job.chain)
        apply_missing(planned, found, missing, column)
        if planned.computes:
            block = self.fill(block, np.flatnonzero(run), found)
        if planned.gate:
            gate(planned, found, gate_flags(planned, block))
        self.count(alive, found)
        block = self.after(block, found.alive)
        if planned.payload():
            give_back()
        self.stats.seconds = time.monotonic() - start
        return with_stats(block, asdict(self.stats))

    def fill(self, block: pa.Table, run: np.ndarray, found: Trace) -> pa.Table:
        """Adds the stage's columns: stored ones, and computed ones for the rows that lack them."""
        planned, chain = self.planned, self.job.chain
        shard = block.column("__shard")[0].as_py()
        numbers = np.asarray(block.column("__row").combine_chunks())
        keep = (
            self.job.needed_after(self.index) | set(planned.gate.columns if planned.gate else ())
        ) & set(planned.writes.names)
        sizes = {n + SIZE_SUFFIX for n in planned.payload() if n in keep}
        stored = chain.store.load(planned.column_set, shard, keep | sizes)
        at = positions(stored, int(numbers.max()) + 1)[numbers]
        if stored is not None:
            for row in run[at[run] >= 0]:
                place = int(at[row])
                error = stored.column("error")[place].as_py()
                lost = any((stored.column(s)[place].as_py() or 0) < 0 for s in sizes)
                if lost or (error and error["class"] in self.job.retry):
                    at[row] = -1
        todo = run[at[run] < 0]
        sound = 0 if stored is None else stored.column("error").null_count
        self.stats.cached, self.stats.computed = len(run) - len(todo), len(todo)
        pieces = (
            [stored.select(sorted(set(stored.schema.names) - sizes))] if stored is not None else []
        )
        for committed in self.compute(block, todo, numbers, shard, sound):
            pieces.append(
                committed.select(
                    pieces[0].schema.names if pieces else ["row", "error", *sorted(keep)]
                )
            )
        if not pieces:
            pieces = [
                stored_schema(planned.writes).empty_table().select(["row", "error", *sorted(keep)])
            ]
        every = pa.concat_tables(pieces).combine_chunks()
        at = np.full(len(numbers), -1, np.int64)
        where = dict(
            zip(np.asarray(every.column("row")).tolist(), range(every.num_rows), strict=True)
        )  # later pieces win
        for row in run:
            at[row] = where[int(numbers[row])]
        self.mark_failed(every, at, run, found)
        at[~found.alive] = -1
        taken = taken_columns(every, at, sorted(keep), planned.writes)
        for name in sorted(keep):
            block = block.append_column(planned.writes.field(name), taken.column(name))
        if planned.payload() and planned.config.store == "kept" and len(todo):
            fresh = np.asarray(block.column("__fresh").combine_chunks()).copy()
            fresh[todo] = True
            block = block.set_column(
                block.schema.get_field_index("__fresh"), "__fresh", pa.array(fresh)
            )
        return block

    def mark_failed(self, every: pa.Table, at: np.ndarray, run: np.ndarray, found: Trace) -> None:
        errors = every.column("error").combine_chunks()
        bad = np.asarray(pc.is_valid(errors))
        failed = np.zeros(len(at), bool)
        failed[run] = bad[at[run]] if len(bad) else False
        found.stop(failed, FAILED, self.index)

    def compute(
        self, block: pa.Table, todo: np.ndarray, numbers: np.ndarray, shard: int, sound: int
    ) -> list[pa.Table]:
        """Computes `todo` in order, in batches cut from its beginning, so that an interruption
        moves no boundary.
        """
        if not len(todo):
            return []
        planned = self.planned
        past = self.line.begin(planned.column_set, shard)
        stage, self.stats.setup_s = self.loaded.take(planned, shard, self.line, self.watchdog, past)
        attempt = Attempt(planned, stage, self.line, self.watchdog, shard, sound, past)
        waiting: list[pa.Table] = []
        committed: list[pa.Table] = []
        flushed = time.monotonic()
        size = planned.config.batch_size
        rows = block.select([*planned.reads])
        for first in range(0, len(todo), size):
            chunk = todo[first : first + size]
            batch = (
                rows.take(pa.array(chunk)) if planned.reads else pa.table({"__n": pa.array(chunk)})
            )
            began = time.monotonic()
            answer = attempt.compute(batch.combine_chunks(), numbers[chunk])
            self.stats.busy_s += time.monotonic() - began
            self.stats.errors += answer.num_rows - answer.column("error").null_count
            if attempt.raised >= LEAST_FAILURES and not self.job.retry:
                attempt.judge()
            waiting.append(answer.add_column(0, "row", pa.array(numbers[chunk].astype(np.int32))))
            pause = stage.flush_s
            if pause is not None and attempt.fine and time.monotonic() - flushed > pause:
                committed.append(self.commit(shard, waiting))
                waiting, flushed = [], time.monotonic()
        if not self.job.retry:
            attempt.judge()
        if waiting:
            committed.append(self.commit(shard, waiting))
        self.line.end(planned.column_set, shard)
        return committed

    def commit(self, shard: int, pieces: list[pa.Table]) -> pa.Table:
        planned = self.planned
        self.stats.bytes += sum(p.nbytes for p in pieces)
        for name in planned.columns_in("tokens"):
            self.stats.tokens += sum(pc.sum(p.column(name)).as_py() or 0 for p in pieces)
        return self.job.chain.store.commit(
            planned.column_set, shard, pa.concat_tables(pieces), planned.writes
        )

    def count(self, alive: np.ndarray, found: Trace) -> None:
        fates = found.fate[alive]
        self.stats.dropped, self.stats.missing, self.stats.failed = (
            int((fates == f).sum()) for f in (1, 2, 3)
        )

    def after(self, block: pa.Table, alive: np.ndarray) -> pa.Table:
        """Drops the columns nobody needs any more, and the payload of rows that died."""
        keep = self.job.needed_after(self.index)
        columns = {"__alive": pa.array(alive)}
        for name in block.schema.names:
            if name in HIDDEN:
                columns.setdefault(name, block.column(name))
            elif name in keep:
                values = block.column(name)
                dead = is_payload(values.type) and not alive.all()
                columns[name] = (
                    pc.if_else(pa.array(alive), values, pa.scalar(None, values.type))
                    if dead
                    else values
                )
        return pa.table(columns)


def gate_flags(planned: PlannedStage, block: pa.Table) -> np.ndarray:
    assert planned.gate is not None
    names = list(planned.gate.columns) or ["__row"]
    return flags(planned.gate, frame_of(block.select(names)))
