"""How many rows stand in other sets, set by set: told at the end of a run."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from pairmill.plan.chain import Chain
from pairmill.schemas.arrow import of_role

Counts = Counter[tuple[str, str]]
Over = Callable[[Callable[[int], Counts], Sequence[int]], Iterator[Counts]]
"""`Engine.over`."""


def matches(chain: Chain, over: Over) -> list[str]:
    """A line for each stage that looks in other sets, with what it found of each."""
    lookers = {s.name: of_role(s.writes, "other_set") for s in chain.stages}
    if not any(lookers.values()):
        return []
    counts: Counts = Counter()
    for found in over(partial(in_shard, chain), chain.shards()):
        counts.update(found)
    lines = []
    for name in (name for name, columns in lookers.items() if columns):
        sets = sorted((-n, other) for (stage, other), n in counts.items() if stage == name)
        counted = ", ".join(f"{other} ×{-n:,}" for n, other in sets) or "none"
        lines.append(f"{name}: rows that stand in other sets: {counted}")
    return lines


def in_shard(chain: Chain, shard: int) -> Counts:
    """(stage, set) → rows of a shard."""
    counts: Counts = Counter()
    for stage in chain.stages:
        for column in of_role(stage.writes, "other_set") if stage.identity else []:
            stored = chain.columns_of(stage, shard).load([column])
            values = stored.column(column).to_pylist() if stored is not None else []
            counts.update((stage.name, value) for value in values if value is not None)
    return counts
