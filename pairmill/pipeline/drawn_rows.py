"""Rows drawn by chance out of all that wait, in pieces of a few shards."""

import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from pairmill.work.block import Job, RowBlock

CHUNKS = 10
"""Pieces in which the sample is taken, of different shards where there are several; how much they
differ gives the intervals.
"""


def drawn(
    job: Job,
    rows: int,
    seed: int,
    waiting: Mapping[int, int],
    read: Callable[[int], RowBlock] | None = None,
) -> Iterator[RowBlock]:
    """Blocks of a few rows each, `rows` of them together or all that wait.  `waiting`: shard → rows
    that wait there; every row has the same chance, so no small shard weighs more than its rows.
    `read`: gives a shard's rows that wait, where they are not those that the job has to decide.
    """
    read = read or job.read
    rng = random.Random(f"{seed}|{job.chain.pool}|sample")
    size = max(1, -(-rows // CHUNKS))
    for shard, count in shares_of(waiting, rows, size, rng).items():
        block = read(shard)
        picked = rng.sample(range(len(block.numbers)), min(count, len(block.numbers)))
        for start in range(0, len(picked), size):
            yield part_of(block, sorted(picked[start : start + size]))


def shares_of(waiting: Mapping[int, int], rows: int, size: int, rng: random.Random) -> Counter[int]:
    """Shard → rows to take of it: `size` of a shard that is drawn by the rows that it has left,
    again and again.
    """
    left, found = dict(waiting), Counter[int]()
    wanted = min(rows, sum(waiting.values()))
    while found.total() < wanted:
        (shard,) = rng.choices(list(left), list(left.values()))
        count = min(size, left[shard], wanted - found.total())
        found[shard] += count
        left[shard] -= count
    return found


def part_of(block: RowBlock, places: Sequence[int]) -> RowBlock:
    """Some rows of a block."""
    at = np.array(places, np.int64)
    return replace(
        block,
        numbers=block.numbers[at],
        alive=block.alive[at],
        fresh=block.fresh[at],
        rows=block.rows.take(pa.array(at)) if block.rows.num_columns else block.rows,
    )
