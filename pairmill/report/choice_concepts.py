"""The long tail of concepts before and after each choice."""

from collections.abc import Sequence
from typing import Any

import polars as pl

from pairmill.fates.run_table import Run
from pairmill.plan.chain import Chain
from pairmill.plan.choices import Choice
from pairmill.report.choice_columns import arrived
from pairmill.report.concepts import told
from pairmill.schemas.arrow import is_list, of_role


def concepts_of_choices(
    chain: Chain, choices: Sequence[Choice], shards: Sequence[int]
) -> dict[str, list[dict[str, Any]]]:
    """By choice: how often its rows name each concept, before and after it; of every column of
    concepts that was there before.
    """
    order = [stage.name for stage in chain.stages]
    listed = [
        name for name in of_role(chain.schema, "concepts") if is_list(chain.schema.field(name).type)
    ]
    found: dict[str, list[dict[str, Any]]] = {}
    for name in listed:
        writer = chain.writer_of(name)
        after = [c for c in choices if writer is None or order.index(c.stage) > writer.index]
        for choice, counts in mentions(chain, name, after, shards):
            if one := told(name, counts):
                found.setdefault(choice.column, []).append(one)
    return found


def mentions(
    chain: Chain, name: str, choices: Sequence[Choice], shards: Sequence[int]
) -> list[tuple[Choice, pl.DataFrame]]:
    """`concept`, `came`, `kept` (chosen, as often as written), `control`: rows that name it."""
    parts: dict[str, list[pl.DataFrame]] = {c.column: [] for c in choices}
    read = [name, *(mark for c in choices for mark in c.marks())]
    for part in Run(chain).parts(list(dict.fromkeys(read)), list(shards)) if choices else ():
        for choice in choices:
            named = arrived(part, choice).select(
                pl.col(name).alias("concept"), "#times", "#control"
            )
            parts[choice.column].append(
                named.explode("concept", empty_as_null=True)
                .drop_nulls("concept")
                .group_by("concept")
                .agg(pl.len().alias("came"), pl.col("#times").sum().alias("kept"),
                     pl.col("#control").sum().alias("control"))
            )  # fmt: skip
    found = []
    for choice in choices:
        drawn = ["control"] if choice.control else []
        sums = pl.col("came", "kept", *drawn).sum()
        if parts[choice.column]:
            every = pl.concat(parts[choice.column]).group_by("concept").agg(sums)
            found.append((choice, every.sort("came", "concept", descending=[True, False])))
    return found
