"""What a run will cost: a drawn sample of its rows goes through the stages, and what they took is
scaled up.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pairmill.cluster.worker_shares import cpus_of
from pairmill.errors import BadRequest
from pairmill.pipeline.drawn_rows import drawn
from pairmill.pipeline.folder import describe
from pairmill.pipeline.stored_tables import stored_table
from pairmill.plan.chain import Chain, PlannedStage
from pairmill.plan.plan import Plan
from pairmill.work.block import Job, RowBlock
from pairmill.work.deadline import ThreadWatchdog
from pairmill.work.line import Line
from pairmill.work.messages import StageStats
from pairmill.work.shard_work import ShardWork
from pairmill.workspace.contents import open_workspace
from pairmill.workspace.lease import announced
from pairmill.workspace.storage import Storage
from pairmill.workspace.tables import Table

DRAWS = 1000
INTERVAL = (5.0, 95.0)
"""Percentiles of the bootstrap."""
COUNTED = ("rows", "computed", "seconds", "tokens_asked", "tokens", "dollars", "bytes")


@dataclass(frozen=True)
class Figure:
    """An estimate, and where 90 of 100 such samples would put it."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class StageCost:
    """What a stage has yet to do: `rows` that will reach it, `computed` of them by it, over all
    workers; `note`: how the sample's worker loaded it.
    """

    name: str
    figures: dict[str, Figure]
    seconds_per_row: Figure | None
    """Of one worker; None where no row of the sample was computed."""
    setup_s: float
    cpus: float
    gpus: float
    sampled: int
    """Rows of the sample that it computed; `failed` of them failed, and of `uncounted` answers the
    server did not count the tokens.
    """
    note: str = ""
    failed: int = 0
    uncounted: int = 0

    def hours(self, each: float) -> Figure:
        """Hours of cores (or GPUs), `each` of a worker."""
        seconds = self.figures["seconds"]
        return Figure(*(v * each / 3600 for v in (seconds.value, seconds.low, seconds.high)))

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        figures = {k: [f.value, f.low, f.high] for k, f in self.figures.items()}
        hours = {"cpu_hours": self.hours(self.cpus), "gpu_hours": self.hours(self.gpus)}
        figures |= {k: [f.value, f.low, f.high] for k, f in hours.items()}
        each = self.seconds_per_row
        facts = {"seconds_per_row": [each.value, each.low, each.high] if each else None}
        own = ("name", "setup_s", "cpus", "gpus", "sampled", "failed", "uncounted", "note")
        return {**{k: getattr(self, k) for k in own}, **facts, **figures}


@dataclass(frozen=True)
class Cost:
    """What a run has yet to do, by stage, by a sample of `sampled` of `undecided` rows."""

    undecided: int
    sampled: int
    chunks: int
    stages: list[StageCost]
    left_out: dict[str, str]
    """Stages that the sample did not go through → why."""

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "undecided_rows": self.undecided,
            "sampled_rows": self.sampled,
            "stages": [stage.to_json() for stage in self.stages],
            "left_out": self.left_out,
        }


def estimate(
    plan: Plan, rows: int, limit: int | None, table_of: Callable[[Storage], Table]
) -> Cost:
    """Takes `rows` rows, drawn by the pipeline's seed of those that are undecided, through the
    stages in this process, stores what they compute, and scales up.

    Raises BadRequest for no row, and what the stages raise.
    """
    if rows < 1:
        raise BadRequest(f"a sample of {rows} rows: it needs at least one")
    storage = open_workspace(plan.config.workspace)
    with announced(storage):
        stored = stored_table(plan.chain(table_of(storage), limit))
        chain, waiting = stored.chain, stored.waiting
        first = 1 + max((s.index for s in chain.stages if is_answered(s, waiting)), default=-1)
        whole, (chain, left_out) = chain, without_open_globals(chain, first)
        job = Job(chain, first, len(chain.stages))
        shards = {
            shard: sum(count for index, count in counts.items() if index >= first)
            for shard, counts in stored.shards.items()
        }
        total = sum(shards.values())
        if not job.stages() or not total:
            return Cost(total, 0, 0, [], left_out)
        describe(storage, {None: whole}, f"runs/{plan.run_id(whole)}", plan.redact)
    found, notes = run_sample(job, drawn(job, rows, plan.config.seed, shards))
    taken = np.array([chunk.taken for chunk in found])
    rng = np.random.default_rng(plan.config.seed)
    draws = rng.integers(0, len(found), (DRAWS, len(found)))
    stages = [
        cost_of(stage, [c.stats[i] for c in found], taken, draws, total, notes[i])
        for i, stage in enumerate(job.stages())
    ]
    return Cost(total, int(taken.sum()), len(found), stages, left_out)


def is_answered(stage: PlannedStage, waiting: dict[int, int]) -> bool:
    """Whether a stage over all rows, or a block, has its values."""
    return stage.is_alone and stage.identity is not None and not waiting.get(stage.index)


def without_open_globals(chain: Chain, first: int) -> tuple[Chain, dict[str, str]]:
    """The chain without stages over all rows that wait for rows, and without what reads, or is
    gated by, their columns; and why each is left out.
    """
    kept: list[PlannedStage] = list(chain.stages[:first])
    unknown: dict[str, str] = {}
    left_out: dict[str, str] = {}
    for stage in chain.stages[first:]:
        missing = sorted({unknown[c] for c in stage.touches() if c in unknown})
        if stage.block is not None:
            left_out[stage.name] = "works on rows of its own, of which no sample is taken"
        elif stage.is_global:
            left_out[stage.name] = "looks at all rows; taken as if it stopped none"
        elif missing:
            left_out[stage.name] = f"needs the answer of {', '.join(missing)}"
        else:
            kept.append(replace(stage, index=len(kept)))
            continue
        unknown |= dict.fromkeys(stage.writes.names, stage.name)
    return replace(chain, stages=tuple(kept)), left_out


@dataclass(frozen=True)
class SampleChunk:
    """Rows of one shard that went through the stages together."""

    taken: int
    stats: tuple[StageStats, ...]


def run_sample(job: Job, blocks: Iterable[RowBlock]) -> tuple[list[SampleChunk], list[str]]:
    """The chunks of a sample, and how each stage was loaded."""
    watchdog = ThreadWatchdog()
    work = ShardWork(job, Line(), watchdog)
    found: list[SampleChunk] = []
    try:
        for block in blocks:
            taken = len(block.numbers)
            for worker in work.workers:
                block = worker(block)
            found.append(SampleChunk(taken, block.finish(job)))
    except BaseException:
        work.abandon()
        raise
    else:
        work.close()
    finally:
        watchdog.close()
    return found, [one.stage.note if one.stage else "" for one in work.loaded]


def cost_of(
    stage: PlannedStage,
    stats: list[StageStats],
    taken: np.ndarray,
    draws: np.ndarray,
    total: int,
    note: str,
) -> StageCost:
    """Scales a stage's counts from the sample to all rows: each count by row that was drawn."""
    counts = {name: np.array([count_of(s, name) for s in stats], float) for name in COUNTED}
    sampled = taken[draws].sum(1)
    figures = {
        name: figure(total * values.sum() / taken.sum(), total * values[draws].sum(1) / sampled)
        for name, values in counts.items()
    }
    computed, seconds = counts["computed"], counts["seconds"]
    each = None
    if computed.sum():
        drawn_rows = np.maximum(computed[draws].sum(1), 1)
        each = figure(seconds.sum() / computed.sum(), seconds[draws].sum(1) / drawn_rows)
    return StageCost(
        stage.name,
        figures,
        each,
        round(sum(s.setup_s for s in stats), 3),
        cpus_of(stage),
        stage.config.resources.gpus,
        int(computed.sum()),
        note,
        sum(s.errors for s in stats),
        sum(s.uncounted for s in stats),
    )


def count_of(stats: StageStats, name: str) -> float:
    """One count of a chunk; seconds without those of loading the stage, and none where nothing was
    computed.
    """
    if name == "seconds":
        return max(0.0, stats.seconds - stats.setup_s) if stats.computed else 0.0
    return float(getattr(stats, name))


def figure(value: float, draws: np.ndarray) -> Figure:
    """A value with its bootstrapped interval."""
    low, high = np.percentile(draws, INTERVAL)
    return Figure(float(value), float(min(low, value)), float(max(high, value)))
