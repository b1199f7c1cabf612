"""Groups that a choice among all rows is to share a budget with, and of which no row came: a name
that is spelled otherwise than the data has it takes rows from a package without a word.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import polars as pl

from pairmill.fates.trace import trace
from pairmill.plan.chain import Chain
from pairmill.plan.choices import Choice, choices_of

Found = dict[str, set[str]]
Over = Callable[[Callable[[int], Found], Sequence[int]], Iterator[Found]]
"""`Engine.over`."""

Spent = dict[str, dict[str, tuple[int, int]]]
"""Column of a mixture → group → rows that are written, and rows that cost something."""

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


def free_groups(chain: Chain, over: Callable[..., Iterator[Spent]]) -> list[str]:
    """A line for each mixture in which some groups' rows cost nothing of its budget."""
    costly = [c for c in choices_of(chain.stages, chain.schema) if c.repeated and c.cost and c.per]
    if not costly:
        return []
    costing: dict[str, Counter[str]] = {choice.column: Counter() for choice in costly}
    rows: dict[str, Counter[str]] = {choice.column: Counter() for choice in costly}
    for found in over(partial(spent, chain, costly), chain.shards()):
        for name, groups in found.items():
            for group, (count, costs) in groups.items():
                rows[name][group] += count
                costing[name][group] += costs
    return [
        f"{choice.stage}: the rows of {group!r} ({count:,}) cost nothing by {choice.cost!r}: they "
        "are written once, and have no share of the budget"
        for choice in costly
        for group, count in sorted(rows[choice.column].items())
        if count and not costing[choice.column][group]
    ]


def spent(chain: Chain, choices: Sequence[Choice], shard: int) -> Spent:
    """Column of a mixture → its groups, with the rows of one shard that are written, and how many
    of all that came cost something.
    """
    columns = dict.fromkeys(name for c in choices for name in (c.column, *c.per, c.cost))
    frame = trace(chain, shard, want=list(columns)).frame
    found = {}
    for choice in choices:
        came = frame.filter(pl.col(choice.column).is_not_null())
        each = (
            came.with_columns(choice.groups(came))
            .group_by(choice.group)
            .agg((pl.col(choice.column) > 0).sum(), (pl.col(choice.cost) > 0).sum().alias("#costs"))
        )
        found[choice.column] = {name: (rows, costs) for name, rows, costs in each.iter_rows()}
    return found


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
