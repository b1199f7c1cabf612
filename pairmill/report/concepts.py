"""Which concepts the rows name, before the first step and in what is kept: the long tail."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from pairmill.fates.run_table import Run
from pairmill.plan.chain import Chain
from pairmill.schemas.arrow import is_list, of_role

MOST_CONCEPTS = 14
RANKS = (1, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000)
TAIL = 0.8
"""The tail: concepts behind those, most frequent first, that have so much of all mentions."""


def concepts(chain: Chain, shards: Sequence[int]) -> list[dict[str, Any]]:
    """For each column of concepts: how often the commonest are named by all rows that were looked
    at and by kept rows, and the counts by rank (the long-tail curve).
    """
    names = [n for n in of_role(chain.schema, "concepts") if is_list(chain.schema.field(n).type)]
    found = (told(name, counted(chain, name, shards)) for name in names)
    return [one for one in found if one]


def counted(chain: Chain, name: str, shards: Sequence[int]) -> pl.DataFrame:
    """`concept`, `came`, `kept`: rows that name it, most frequent first."""
    parts = [
        part.select(pl.col(name).alias("concept"), pl.col("fate").eq("kept").alias("kept"))
        .explode("concept", empty_as_null=True)
        .drop_nulls("concept")
        .group_by("concept")
        .agg(pl.len().alias("came"), pl.col("kept").sum())
        for part in Run(chain).parts([name], list(shards))
    ]
    if not parts:
        return pl.DataFrame()
    every = pl.concat(parts).group_by("concept").agg(pl.col("came", "kept").sum())
    return every.sort("came", "concept", descending=[True, False])


def told(name: str, counts: pl.DataFrame) -> dict[str, Any] | None:
    """As the page shows it; None where no row names a concept.  `counts`: `concept`, `came`,
    `kept`, and `control` where rows were drawn beside.
    """
    if not counts.height:
        return None
    columns = [c for c in counts.columns if c != "concept"]
    came, kept = (counts[c].to_numpy().astype(np.int64) for c in ("came", "kept"))
    after = np.sort(kept)[::-1]
    head = int(np.searchsorted(np.cumsum(came), TAIL * came.sum())) + 1
    return {
        "column": name,
        "concepts": counts.height,
        "concepts_kept": int((kept > 0).sum()),
        "head": head,
        "tail_came": float(came[head:].sum() / came.sum()),
        "tail_kept": float(kept[head:].sum() / kept.sum()) if kept.sum() else 0.0,
        "values": [
            {"concept": v["concept"], **{c: int(v[c]) for c in columns}}
            for v in counts.head(MOST_CONCEPTS).to_dicts()
        ],
        "totals": {c: int(counts[c].sum()) for c in columns},
        "curve": [
            {"rank": rank, "came": int(came[rank - 1]), "kept": int(after[rank - 1])}
            for rank in (*(r for r in RANKS if r < counts.height), counts.height)
        ],
    }
