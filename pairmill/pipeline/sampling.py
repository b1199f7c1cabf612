"""What a run will cost: a drawn sample of its rows goes through the stages, and what they took is
scaled up.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from pairmill.errors import BadRequest
from pairmill.pipeline.drawn_rows import drawn
from pairmill.pipeline.estimated_cost import DRAWS, Cost, cost_of
from pairmill.pipeline.folder import describe
from pairmill.pipeline.sampled_elements import (
    LIMITED,
    Drawn,
    OpenBlock,
    carried,
    open_elements,
    part_read,
)
from pairmill.pipeline.stored_tables import StoredTable, stored_table
from pairmill.pipeline.totals import StageTotals
from pairmill.plan.chain import Chain, PlannedStage
from pairmill.plan.plan import Plan
from pairmill.work.block import Job, RowBlock
from pairmill.work.costs import Costs
from pairmill.work.deadline import ThreadWatchdog
from pairmill.work.line import Line
from pairmill.work.messages import StageStats
from pairmill.work.shard_work import ShardWork
from pairmill.workspace.contents import open_workspace
from pairmill.workspace.lease import announced
from pairmill.workspace.storage import Storage
from pairmill.workspace.tables import Table


def estimate(
    plan: Plan, rows: int, limit: int | None, table_of: Callable[[Storage], Table]
) -> Cost:
    """Takes `rows` rows, drawn by the pipeline's seed of those that are undecided, through the
    stages in this process, stores what they compute, and scales up.

    Raises BadRequest for no row, and what the stages raise, with a note of what was paid by then.
    """
    if rows < 1:
        raise BadRequest(f"a sample of {rows} rows: it needs at least one")
    line = Line()
    line.costs = Costs()
    try:
        return estimated(plan, rows, limit, table_of, line)
    except BaseException as error:
        totals = StageTotals()
        totals.settle(line.costs.told())
        told = [f"{t.replace('this run', 'this sample')}; that is stored" for t in totals.spent()]
        vars(error).setdefault("__notes__", []).extend(told)  # `add_note` of Python 3.11
        raise


def estimated(
    plan: Plan, rows: int, limit: int | None, table_of: Callable[[Storage], Table], line: Line
) -> Cost:
    """As `estimate`; `line` hears what is stored."""
    storage = open_workspace(plan.config.workspace)
    with announced(storage):
        stored = stored_table(plan.chain(table_of(storage), limit))
        chain, waiting = stored.chain, stored.waiting
        first = 1 + max((s.index for s in chain.stages if is_answered(s, waiting)), default=-1)
        whole, (chain, left_out, blocks) = chain, without_open_globals(chain, first)
        job = Job(chain, first, len(chain.stages))
        shards, read = waiting_in(stored, first), job.read
        if blocks:
            shards, read = blocks[0].waiting(first), partial(blocks[0].read, job)
        total = sum(shards.values())
        if not (job.stages() or blocks) or not total:
            return Cost(total, 0, 0, [], left_out)
        opened: dict[str | None, Chain] = {None: whole}
        tell = partial(describe, storage, opened, f"runs/{plan.run_id(whole)}", plan.redact)
        tell()
        found = run_sample(job, drawn(job, rows, plan.config.seed, shards, read), line)
        sampled = list(of_stages(job, found))
        for block in blocks:
            parts = [(chunk.shard, chunk.numbers) for chunk in found.chunks]
            sampled += sample_inside(block, parts, opened, left_out, tell, line)
    taken = np.array([len(chunk.numbers) for chunk in found.chunks])
    rng = np.random.default_rng(plan.config.seed)
    draws = rng.integers(0, len(taken), (DRAWS, len(taken)))
    stages = [cost_of(stage, stats, taken, draws, total, note) for stage, stats, note in sampled]
    return Cost(total, int(taken.sum()), len(taken), stages, left_out)


def waiting_in(stored: StoredTable, first: int) -> dict[int, int]:
    """Shard → rows that wait for stages from index `first` on."""
    return {
        shard: sum(count for index, count in counts.items() if index >= first)
        for shard, counts in stored.shards.items()
    }


def sample_inside(
    block: OpenBlock,
    drawn: Drawn,
    opened: dict[str | None, Chain],
    left_out: dict[str, str],
    tell: Callable[[], Any],
    line: Line,
) -> list["SampledStage"]:
    """Takes the elements of the drawn rows through a block's stages.  Adds the block's elements to
    what is `opened`, which `tell` announces, and stages that it did not go through to `left_out`.
    """
    child, parts = open_elements(block, drawn)
    opened[block.block] = child
    tell()
    chain, without, inner = without_open_globals(child, 0)
    left_out |= without
    carried(chain, parts)
    job = Job(chain, 0, len(chain.stages))
    found = run_sample(job, (part_read(job, shard, rows) for shard, rows in parts), line)
    sampled = list(of_stages(job, found))
    for one in inner:
        sampled += sample_inside(one, parts, opened, left_out, tell, line)
    return sampled


def is_answered(stage: PlannedStage, waiting: dict[int, int]) -> bool:
    """Whether a stage over all rows, or a block, has its values."""
    return stage.is_alone and stage.identity is not None and not waiting.get(stage.index)


def without_open_globals(chain: Chain, first: int) -> tuple[Chain, dict[str, str], list[OpenBlock]]:
    """The chain without stages over all rows that wait for rows, and without what reads, or is
    gated by, their columns; why each is left out; and the blocks on the way, which are not stages
    of the chain either, and whose columns are not known.
    """
    blocks: list[OpenBlock] = []
    kept: list[PlannedStage] = list(chain.stages[:first])
    unknown: dict[str, str] = {}
    left_out: dict[str, str] = {}
    for stage in chain.stages[first:]:
        missing = sorted({unknown[c] for c in stage.touches() if c in unknown})
        if stage.is_global:
            left_out[stage.name] = "looks at all rows; taken as if it stopped none"
        elif missing:
            left_out[stage.name] = f"needs the answer of {', '.join(missing)}"
        elif stage.block is not None and stage.block.limit is not None:
            left_out[stage.name] = LIMITED
        elif stage.block is not None:
            blocks.append(OpenBlock.behind(chain, kept, stage))
        else:
            kept.append(replace(stage, index=len(kept)))
            continue
        unknown |= dict.fromkeys(stage.writes.names, stage.name)
    return replace(chain, stages=tuple(kept)), left_out, blocks


@dataclass(frozen=True)
class SampleChunk:
    """Rows of one shard that went through the stages together, by their numbers."""

    shard: int
    numbers: np.ndarray
    stats: tuple[StageStats, ...]


@dataclass(frozen=True)
class Sampled:
    """The chunks of a sample, and how each stage was loaded."""

    chunks: list[SampleChunk]
    notes: list[str]


SampledStage = tuple[PlannedStage, list[StageStats], str]
"""A stage, what it did with each chunk of the sample, and how it was loaded."""


def of_stages(job: Job, found: Sampled) -> Iterator[SampledStage]:
    """What each stage of a job did."""
    for i, stage in enumerate(job.stages()):
        yield stage, [chunk.stats[i] for chunk in found.chunks], found.notes[i]


def run_sample(job: Job, blocks: Iterable[RowBlock], line: Line) -> Sampled:
    """Takes blocks of rows through a job's stages."""
    watchdog = ThreadWatchdog()
    work = ShardWork(job, line, watchdog)
    found: list[SampleChunk] = []
    try:
        for block in blocks:
            numbers = block.numbers
            if not len(numbers):
                idle = tuple(StageStats(s.name, block.shard, "", 0.0) for s in job.stages())
                found.append(SampleChunk(block.shard, numbers, idle))
                continue
            for worker in work.workers:
                block = worker(block)
            found.append(SampleChunk(block.shard, numbers, block.finish(job)))
    except BaseException:
        work.abandon()
        raise
    else:
        work.close()
    finally:
        watchdog.close()
    return Sampled(found, [one.stage.note if one.stage else "" for one in work.loaded])
