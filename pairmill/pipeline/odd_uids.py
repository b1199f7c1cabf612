"""Uids of the input that an output cannot hold, found before anything is computed."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from pairmill.errors import RunError
from pairmill.plan.chain import Chain
from pairmill.plan.plan import Plan

Found = tuple[int, int, str]
"""(uids of a shard, those that cannot be held, one of these)."""
Over = Callable[[Callable[[int], Found], Sequence[int]], Iterator[Found]]
"""`Engine.over`."""


def check_uids(plan: Plan, chain: Chain, over: Over, note: Callable[[str], None]) -> None:
    """Raises RunError where an output can hold no uid of the input, whichever rows are kept, and
    tells where it cannot hold some.  Uids that pairmill makes itself are not looked at.
    """
    if "uid" not in plan.source.schema().names:
        return
    for writer in plan.writers:
        if writer.uid_form is None or writer.config.rows is not None:
            continue
        found = list(over(partial(odd_in_shard, chain, writer), chain.shards()))
        rows, odd = sum(f[0] for f in found), sum(f[1] for f in found)
        if not odd:
            continue
        why = writer.odd_uid(next(example for _, count, example in found if count))
        if odd == rows:
            raise RunError(f"{why} (so are all {rows:,} uids; nothing was computed)")
        note(f"{odd:,} of {rows:,} uids would end this run if their rows are kept: {why}")


def odd_in_shard(chain: Chain, writer: Any, shard: int) -> Found:
    """What of one shard's uids an output cannot hold."""
    uids = chain.read_pool(shard, ["uid"]).column("uid")
    sound = writer.sound_uids(uids)
    odd = np.flatnonzero(~sound)
    return len(sound), len(odd), uids[int(odd[0])].as_py() if len(odd) else ""
