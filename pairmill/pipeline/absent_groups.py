"""Groups that a choice among all rows is to share a budget with, and of which no row came: a name
that is spelled otherwise than the data has it takes rows from a package without a word.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import polars as pl

from pairmill.fates.trace import trace
from pairmill.plan.chain import Chain
from pairmill.plan.choices import Choice, choices_of

Found = dict[str, set[str]]
Over = Callable[[Callable[[int], Found], Sequence[int]], Iterator[Found]]
"""`Engine.over`."""

MOST_NAMES = 8
"""Of the groups that are there, as many are named."""


def absent_groups(chain: Chain, over: Over) -> list[str]:
    """A line for each choice that asks for groups which no row has."""
    choices = [c for c in choices_of(chain.stages, chain.schema) if c.requested and c.per]
    if not choices:
        return []
    there: Found = {choice.column: set() for choice in choices}
    for found in over(partial(in_shard, chain, choices), chain.shards()):
        for name, groups in found.items():
            there[name] |= groups
    return [line for c in choices if (line := absent(c, there[c.column]))]


def absent(choice: Choice, there: set[str]) -> str | None:
    """What to say of one choice; None where each of its groups has rows, or no row came at all."""
    names = [name for name, share in (choice.requested or {}).items() if share]
    missing = [repr(name) for name in names if name not in there]
    if not missing or not there:
        return None
    have = sorted(there)
    more = f" and {len(have) - MOST_NAMES:,} more" if len(have) > MOST_NAMES else ""
    return (
        f"{choice.stage}: asks for {', '.join(missing)} of {' / '.join(choice.per)}, which no row "
        f"that came has (there are: {', '.join(map(repr, have[:MOST_NAMES]))}{more})"
    )


def in_shard(chain: Chain, choices: Sequence[Choice], shard: int) -> Found:
    """Column of a choice → the groups of the rows that came to it, in one shard."""
    columns = dict.fromkeys(name for c in choices for name in (c.column, *c.per))
    frame = trace(chain, shard, want=list(columns)).frame
    return {
        choice.column: set(
            choice.groups(frame.filter(pl.col(choice.column).is_not_null())).unique()
        )
        for choice in choices
    }
