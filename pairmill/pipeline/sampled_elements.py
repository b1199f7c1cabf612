"""`plan --sample` inside an `each` block: the elements of the drawn rows go through its stages."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, partial

import numpy as np

from pairmill.fates.decide import PENDING
from pairmill.fates.trace import trace
from pairmill.pipeline.drawn_rows import part_of
from pairmill.pipeline.stored_tables import child_table
from pairmill.plan.blocks import child_chain, one_array
from pairmill.plan.chain import Chain, PlannedStage
from pairmill.work.ahead import looks
from pairmill.work.block import Job, RowBlock, block_columns
from pairmill.work.carry import carry_over
from pairmill.work.elements import opened_for
from pairmill.work.local import LocalEngine
from pairmill.workspace.elements import PARENT
from pairmill.workspace.shards import read_rows
from pairmill.workspace.storage import Storage
from pairmill.workspace.tables import open_table, save_table

LIMITED = "has a `limit`, of which a sample of its rows tells nothing"
NONE = np.zeros(0, np.int32)
"""Numbers of no row."""
Drawn = Sequence[tuple[int, np.ndarray]]
"""Of each part of a sample: shard, and numbers of the rows that were drawn of it."""


@dataclass(frozen=True)
class OpenBlock:
    """A block whose elements are not all known: the stages before it, then itself."""

    chain: Chain

    @classmethod
    def behind(
        cls, chain: Chain, before: Sequence[PlannedStage], stage: PlannedStage
    ) -> "OpenBlock":
        """The block behind some of the chain's stages."""
        return cls(replace(chain, stages=(*before, replace(stage, index=len(before)))))

    @property
    def index(self) -> int:
        """Of the block's stage."""
        return len(self.chain.stages) - 1

    @property
    def name(self) -> str:
        """The stage's."""
        return self.chain.stages[-1].name

    @property
    def block(self) -> str:
        """The block's."""
        block = self.chain.stages[-1].block
        assert block is not None
        return block.name

    def waiting(self, first: int) -> dict[int, int]:
        """Shard → rows that stages from index `first` on have yet to decide, or that come to the
        block.
        """
        over, shards = looks(Storage(self.chain.root).local), self.chain.shards()
        counts = over(partial(coming, self.chain, self.index, first), shards)
        return {s: len(found) for s, found in zip(shards, counts, strict=True) if len(found)}

    def read(self, job: Job, shard: int) -> RowBlock:
        """These rows of a shard, with what the stages of a job read."""
        numbers = coming(self.chain, self.index, job.first, shard).astype(np.int32)
        found = trace(job.chain, shard, job.last)
        rows = block_columns(job.chain, shard, numbers, job.read_columns(), found, job.first)
        alive = np.ones(len(numbers), bool)
        return RowBlock(shard, numbers, alive, ~alive, rows)


def coming(chain: Chain, index: int, first: int, shard: int) -> np.ndarray:
    """Numbers of a shard's rows that wait for a stage from `first` up to `index`, or for the latter
    itself.
    """
    found = trace(chain, shard, index)
    return np.flatnonzero(found.alive | ((found.fate == PENDING) & (found.at >= first)))


def open_elements(block: OpenBlock, drawn: Drawn) -> tuple[Chain, list[tuple[int, np.ndarray]]]:
    """(the block's stages over the elements of the drawn rows that come to it, which elements are
    whose part of the sample).
    """
    parent, index, storage = block.chain, block.index, Storage(block.chain.root)
    shards = parent.shards()
    of = {s: [rows for shard, rows in drawn if shard == s] for s in shards}
    rows = {s: np.concatenate(of[s]) if of[s] else NONE for s in shards}
    nothing = cache(lambda: opened_for(parent, index, shards[0], NONE))  # the same in every shard
    facts = [opened_for(parent, index, s, rows[s]) if len(rows[s]) else nothing() for s in shards]
    table = child_table(parent, index, facts)
    if open_table(storage, table.id) is None:
        save_table(storage, table, {"each": block.block, "of": parent.pool})
    child = child_chain(parent, index, table)
    parts = [(shard, elements_in(child, shard, numbers)) for shard, numbers in drawn]
    return child, parts


def elements_in(child: Chain, shard: int, rows: np.ndarray) -> np.ndarray:
    """Numbers of the elements of some of the parent's rows."""
    if not child.rows_of(shard):
        return NONE
    file = child.source_file(shard, "uid")
    of = one_array(read_rows(Storage(child.root), file, [PARENT]).column(PARENT))
    return np.flatnonzero(np.isin(np.asarray(of), rows)).astype(np.int32)


def part_read(job: Job, shard: int, numbers: np.ndarray) -> RowBlock:
    """The rows of a shard that a job has yet to decide, of some."""
    block = job.read(shard)
    return part_of(block, np.flatnonzero(np.isin(block.numbers, numbers)).tolist())


def carried(chain: Chain, parts: Drawn) -> None:
    """Carries over what was computed of the elements before, for another sample or run."""
    shards = sorted({shard for shard, numbers in parts if len(numbers)})
    carry_over(LocalEngine(Storage(chain.root).local), chain, chain.stages, shards)
