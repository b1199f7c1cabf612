"""Two runs side by side: what differs in their pipelines, which rows one kept and the other did
not.
"""

import difflib
from typing import Any

import polars as pl

from pairmill.fates.decide import FATES
from pairmill.report.as_run import differing_settings
from pairmill.report.runs import RunFolder

MOST_ROWS = 20_000_000
"""Rows of a ledger that are read into memory; of larger runs the page compares figures alone."""
SHOWN = 40
"""Rows gained and lost that are shown with their texts, where a run has them among its samples."""
MOVES = 30


def comparison(folders: list[RunFolder], runs: list[dict[str, Any]]) -> dict[str, Any]:
    """`pipeline`: lines that only one has, as [sign, line]; `settings`: what else differs, as
    (what, first, second); `rows`: how many both kept, only one kept, only one has; `moves`: from
    which fate to which; `samples`: uid → whether it was gained or lost (`kind`), and what it
    `became` in both.
    """
    return {
        "pipeline": differing([text_of(r) for r in runs]),
        "settings": differing_settings(folders, runs),
        **rows_moved([fates(folder) for folder in folders], runs),
    }


def text_of(run: dict[str, Any]) -> str:
    """The pipeline of a run's report; empty where a damaged report holds none."""
    text = run.get("pipeline")
    return text if isinstance(text, str) else ""


def differing(texts: list[str]) -> list[list[str]]:
    """The lines of two texts that differ, with two lines around them."""
    first, second = (t.splitlines() for t in texts)
    lines = [*difflib.unified_diff(first, second, lineterm="", n=2)][2:]
    return [[line[:1] if line[:2] != "@@" else "@", line[1:]] for line in lines]


def fates(folder: RunFolder) -> pl.DataFrame | None:
    """uid, and what became of the row (`kept`, `dropped at clip`); None where there is no ledger,
    or too large a one.
    """
    place = folder.path("ledger")
    files = [n for n, _ in folder.storage.files(place) if n.endswith(".parquet")]
    if not files or sum(folder.storage.row_count(n) for n in files) > MOST_ROWS:
        return None
    parts = [pl.from_arrow(folder.storage.read_table(n, ["uid", "fate", "stage"])) for n in files]
    rows = pl.concat([p for p in parts if isinstance(p, pl.DataFrame)])
    kept = pl.col("fate") == FATES[0]
    lost = pl.concat_str("fate", pl.lit(" at "), pl.col("stage"))
    became = pl.when(kept).then(pl.col("fate")).otherwise(lost)
    return rows.select("uid", became.alias("became"))


def rows_moved(tables: list[pl.DataFrame | None], runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Rows by what became of them in the first and in the second run."""
    first, second = tables
    if first is None or second is None:
        return {"rows": None, "moves": [], "samples": {}}
    both = first.join(second, on="uid", how="full", suffix="_2", coalesce=True)
    kept, kept_2 = (pl.col(c) == FATES[0] for c in ("became", "became_2"))
    only_2, only_1 = pl.col("became").is_null(), pl.col("became_2").is_null()
    counted = both.select(
        kept_both=(kept & kept_2).sum(),
        gained=(kept_2 & ~kept.fill_null(False)).sum(),
        lost=(kept & ~kept_2.fill_null(False)).sum(),
        only_first=only_1.sum(),
        only_second=only_2.sum(),
    ).row(0, named=True)
    moved = both.filter(pl.col("became").ne_missing(pl.col("became_2")))
    moves = moved.group_by("became", "became_2").len("rows").sort("rows", "became", "became_2")
    samples_of = (s for run in runs for s in run["samples"] if isinstance(s, dict))
    there = {uid for s in samples_of if isinstance(uid := s.get("uid"), str)}
    shown = moved.filter(pl.col("uid").is_in(there))
    samples = {
        uid: {"kind": kind, "became": [became, became_2]}
        for kind, mine in (("gained", kept_2), ("lost", kept))
        for uid, became, became_2 in shown.filter(mine).head(SHOWN).rows()
    }
    return {
        "rows": counted,
        "moves": moves.reverse().head(MOVES).rows(),
        "samples": samples,
    }
