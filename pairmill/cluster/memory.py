"""How many bytes of a phase are in flight: estimated from its shards, declared to Ray, printed by
`plan`.
"""

from pairmill.plan.chain import Chain, PlannedStage
from pairmill.schemas.arrow import is_payload

COPIES = 3
"""Times that a worker holds a shard at once: the block that comes, the one that goes, and the file
that is written.
"""
IMAGE_BYTES = 100_000
"""One image that is still to be downloaded; benchmarks/photo_web.py has 87 KB on average."""
ROW_BYTES = 1_000
"""All narrow columns of a row."""


def shard_bytes(chain: Chain, first: int, last: int) -> int:
    """A block of the phase of stages `first` to before `last`, at its largest: a guess before
    anything was read.
    """
    if not len(chain.shard_rows):
        return 0
    shards = chain.shards()
    rows = max(map(chain.rows_of, shards))
    stages = chain.stages[first:last]
    touched = {c for s in stages for c in s.touches()}
    total = rows * ROW_BYTES
    for stage in chain.stages[:last]:
        total += (
            rows * IMAGE_BYTES * sum(name in touched or stage in stages for name in stage.payload())
        )
    if any(is_payload(f.type) and f.name in touched for f in chain.pool_schema):
        total += int(chain.table.bytes[: len(shards)].max())
    return total


def worker_bytes(stage: PlannedStage, block_bytes: int) -> int:
    """Memory of one worker beside its model: what the user says, or what its shards need."""
    return stage.config.resources.memory_bytes() or COPIES * stage.stage.overlap * block_bytes


def in_flight(chain: Chain, first: int, last: int) -> int:
    """Bytes that a phase holds at once with the least number of workers of each stage."""
    block = shard_bytes(chain, first, last)
    return sum(
        worker_bytes(s, block) * (s.config.resources.bounds() or (1, 1))[0]
        for s in chain.stages[first:last]
    )
