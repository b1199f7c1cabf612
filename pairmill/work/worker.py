"""One stage over one shard: masks dead rows, takes what is stored, computes the rest in fixed
batches, commits.
"""

import contextlib
import os
import socket
import time
from dataclasses import dataclass, field, replace
from functools import partial, reduce

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pairmill.errors import PairmillError, StageBroken
from pairmill.fates.decide import DROPPED, FAILED, MISSING, Answers, Trace, decide
from pairmill.fates.trace import stored_answers
from pairmill.plan.chain import PlannedStage
from pairmill.schemas.arrow import is_payload
from pairmill.schemas.companions import forgotten, mark_of
from pairmill.stages.asynchronous import AsyncStage
from pairmill.work.ahead import give_back
from pairmill.work.attempt import LEAST_FAILURES, Attempt, batched
from pairmill.work.block import Job, RowBlock
from pairmill.work.claims import WorkPlace
from pairmill.work.costs import COUNTED, Spent
from pairmill.work.deadline import ThreadWatchdog, Watchdog
from pairmill.work.line import Line
from pairmill.work.loaded import LoadedStage
from pairmill.work.messages import StageStats
from pairmill.work.stream import streamed
from pairmill.workspace.columns import stored_schema


@dataclass
class StageWorker:
    """Runs one stage on blocks; loads what the stage needs when the first row has to be computed,
    not before.
    """

    job: Job
    index: int
    line: Line = field(default_factory=Line)
    watchdog: Watchdog = field(default_factory=ThreadWatchdog)
    loaded: LoadedStage = field(default_factory=LoadedStage)

    @property
    def planned(self) -> PlannedStage:
        """The stage as planned."""
        return self.job.chain.stages[self.index]

    def __call__(self, block: RowBlock) -> RowBlock:
        """The block after the stage; its rows stay, with what became of them."""
        planned, start = self.planned, time.monotonic()
        alone = all(stage.stage.overlap == 1 for stage in self.job.stages())
        clock = time.process_time if alone else time.thread_time
        cpu = clock()
        stats = StageStats(
            planned.name,
            block.shard,
            worker=f"{socket.gethostname()}:{os.getpid()}",
            began=time.time(),
            rows=int(block.alive.sum()),
        )
        found = Trace.start(block.narrow_frame(planned.compared()), block.alive)
        computed = np.zeros(len(block.numbers), bool)
        gated = set(planned.gate.columns if planned.gate else ())
        columns = (self.job.needed_after(self.index) | gated) & set(planned.writes.names)

        def answers(run: np.ndarray) -> Answers:
            return self.fill(block, run, columns, stats, computed)

        taken = decide(planned, found, self.job.chain, answers, sorted(columns))
        fates = found.fate[block.alive]
        stats.dropped, stats.missing, stats.failed = (
            int((fates == fate).sum()) for fate in (DROPPED, MISSING, FAILED)
        )
        block = self.after(block, found.alive, taken, computed)
        if planned.payload():
            give_back()
        stats.seconds, stats.cpu_s = time.monotonic() - start, clock() - cpu
        return replace(block, stats=(*block.stats, stats))

    def fill(
        self,
        block: RowBlock,
        run: np.ndarray,
        columns: set[str],
        stats: StageStats,
        computed: np.ndarray,
    ) -> Answers:
        """Values of the rows of a mask: stored ones, and computed ones for the rows that lack them,
        which `computed` marks.
        """
        planned, chain = self.planned, self.job.chain
        payload = [n for n in planned.payload() if n in columns]
        asked = columns | {mark_of(n) for n in payload}
        stored = stored_answers(chain, block.shard, planned, asked, block.numbers, self.job.retry)
        lacking = stored.at < 0
        for name in payload if stored.table is not None else ():
            lacking |= (stored.at >= 0) & forgotten(stored.table, name)[stored.at]
        computed |= run & lacking
        stats.computed = int(computed.sum())
        stats.cached = int(run.sum()) - stats.computed
        names = ["row", "error", *sorted(columns)]
        pieces = [] if stored.table is None else [stored.table]
        sound = sum(piece.column("error").null_count for piece in pieces)
        pieces += self.compute(block, np.flatnonzero(computed), sound, stats)
        if not pieces:
            pieces = [stored_schema(planned.writes).empty_table()]
        table = pa.concat_tables([piece.select(names) for piece in pieces]).combine_chunks()
        where = np.full(int(block.numbers.max()) + 1, -1, np.int64)
        rows = np.asarray(table.column("row"))
        inside = rows < len(where)
        where[rows[inside]] = np.flatnonzero(inside)  # later pieces win
        return Answers(table, np.where(run, where[block.numbers], -1))

    def compute(
        self, block: RowBlock, todo: np.ndarray, sound: int, stats: StageStats
    ) -> list[pa.Table]:
        """Computes rows of the block, and commits them at the end and every `flush_s` seconds."""
        if not len(todo):
            return []
        planned, place = self.planned, WorkPlace(self.planned.label, block.shard)
        past = self.line.begin(place)
        planned.stage.run_folder = self.job.run_folder
        stage, stats.setup_s = self.loaded.take(planned, place, self.line, self.watchdog, past)
        attempt = Attempt(planned, stage, place, self.line, self.watchdog, past, sound)
        with contextlib.nullcontext() if stage.flush_s is None else self.loaded.stores():
            committed = self.store(block, todo, attempt, stats)
        self.line.end(place)
        stats.note, stats.altered = stage.note, stage.altered()
        return committed

    def store(
        self, block: RowBlock, todo: np.ndarray, attempt: Attempt, stats: StageStats
    ) -> list[pa.Table]:
        """Answers as they come, committed."""
        stage, rows = attempt.stage, partial(self.rows, block)
        alone = attempt.past.attempts > 1  # so that a death has one suspect
        streams = isinstance(stage, AsyncStage) and not alone
        answers = (streamed if streams else batched)(attempt, rows, todo, block.numbers)
        waiting: list[pa.Table] = []
        committed: list[pa.Table] = []
        flushed = began = time.monotonic()
        try:
            for numbers, answer in answers:
                stats.busy_s += time.monotonic() - began
                stats.errors += answer.num_rows - answer.column("error").null_count
                if attempt.raised >= LEAST_FAILURES and not self.job.retry:
                    attempt.judge()
                waiting.append(answer.add_column(0, "row", pa.array(numbers)))
                if stage.flush_s is not None:
                    self.loaded.check_halted()
                pause = stage.flush_s
                if pause is not None and attempt.fine and time.monotonic() - flushed >= pause:
                    committed.append(self.commit(block.shard, waiting, stats))
                    waiting, flushed = [], time.monotonic()
                began = time.monotonic()
            if not self.job.retry:
                attempt.judge()
        except (PairmillError, KeyboardInterrupt):
            if (
                waiting and attempt.fine and stage.flush_s is not None
            ):  # paid, whatever ends the run
                with contextlib.suppress(StageBroken):
                    self.commit(block.shard, waiting, stats)
            raise
        if waiting:
            committed.append(self.commit(block.shard, waiting, stats))
        return committed

    def rows(self, block: RowBlock, at: np.ndarray) -> pa.Table:
        """Some rows of a block, as the stage reads them."""
        reads = self.planned.reads
        if not reads:
            return pa.table({"__n": pa.array(at)})
        return block.rows.select([*reads]).take(pa.array(at)).combine_chunks()

    def commit(self, shard: int, pieces: list[pa.Table], stats: StageStats) -> pa.Table:
        """Stores answers; gives what is stored of these rows now."""
        planned = self.planned
        self.loaded.check()
        stats.bytes += sum(p.nbytes for p in pieces)
        spent = spent_for(planned, pieces)
        new = pa.concat_tables(pieces)
        numbers = np.asarray(new.column("row"))
        if not (numbers[1:] > numbers[:-1]).all():
            new = new.take(pa.array(np.argsort(numbers)))
        stored = self.job.chain.columns_of(planned, shard).commit(new)
        for name in COUNTED:
            setattr(stats, name, getattr(stats, name) + getattr(spent, name))
        if any(getattr(spent, name) for name in COUNTED):
            self.line.report(spent)
        return stored

    def after(
        self, block: RowBlock, alive: np.ndarray, taken: pa.Table | None, computed: np.ndarray
    ) -> RowBlock:
        """The block with the stage's columns, without those that nobody needs any more, and without
        the payload of rows that died.
        """
        planned, keep = self.planned, self.job.needed_after(self.index)
        columns = {}
        for table in (block.rows, *((taken,) if taken is not None else ())):
            for name in set(table.schema.names) & keep:
                values = table.column(name)
                if is_payload(values.type) and not alive.all():
                    values = pc.if_else(pa.array(alive), values, pa.scalar(None, values.type))
                columns[name] = values
        fresh = block.fresh
        if planned.payload() and planned.config.store == "kept":
            fresh = fresh | computed
        if planned.taken:  # an output takes them, whatever later gates say
            fresh = fresh & ~alive
        return replace(
            block, alive=alive, fresh=fresh, rows=pa.table(dict(sorted(columns.items())))
        )


def spent_for(planned: PlannedStage, pieces: list[pa.Table]) -> Spent:
    """What answers took, by the columns that count it."""
    tokens, asked = (tokens_in(planned, pieces, unit) for unit in ("tokens", "tokens asked"))
    prices = getattr(planned.config, "prices", None)
    if prices is None:
        return Spent(planned.name, asked, tokens, 0.0, 0)
    unknown = sum(uncounted(planned, piece) for piece in pieces)
    return Spent(planned.name, asked, tokens, prices.dollars(asked, tokens), unknown)


def tokens_in(planned: PlannedStage, pieces: list[pa.Table], unit: str) -> int:
    """Sum of the columns that are counted in a unit."""
    names = planned.columns_in(unit)
    return sum(pc.sum(p.column(name)).as_py() or 0 for name in names for p in pieces)


def uncounted(planned: PlannedStage, answers: pa.Table) -> int:
    """Rows without a failure of which a count of tokens is not known."""
    names = [name for unit in ("tokens", "tokens asked") for name in planned.columns_in(unit)]
    fine = pc.is_null(answers.column("error"))
    unknown = [pc.and_(fine, pc.is_null(answers.column(name))) for name in names]
    return pc.sum(reduce(pc.or_, unknown)).as_py() or 0 if unknown else 0
