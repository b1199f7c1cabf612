"""What the gates do to the mix: languages, sources, domains, sizes before and after each step."""

from typing import Any

import polars as pl

from pairmill.report.gather import ReportRows

MOST_VALUES = 14
LEAST_SHARE = 0.002
"""Of the rows that came; what is rarer is counted with the others, but for the two commonest."""
LEAST_ROWS = 20
"""Rows that a value must have for its change to be named."""


def effects(rows: ReportRows) -> list[dict[str, Any]]:
    """For each group: values, rows that had them after each step that stopped any, and the largest
    changes of share.
    """
    return [found for group in rows.groups() if (found := effect(rows, group))]


def effect(rows: ReportRows, group: str) -> dict[str, Any] | None:
    """What each step did to the mix of one group."""
    known = rows.frame.select(pl.col(group).alias("value"), "at").drop_nulls()
    if known["value"].n_unique() < 2:
        return None
    first = int(known["at"].min())  # type: ignore[arg-type]
    steps = [i for i in range(first, len(rows.stages)) if known.filter(pl.col("at") == i).height]
    counts = known.group_by("value").agg(
        pl.len().alias("came"), *((pl.col("at") > i).sum().alias(str(i)) for i in steps)
    )
    counts = counts.sort("came", "value", descending=[True, False])
    common = counts.filter(pl.col("came") >= LEAST_SHARE * pl.col("came").sum()).height
    shown = max(2, min(MOST_VALUES, common))
    shown += counts.height == shown + 1  # a line of others for one alone says less than its name
    top = counts.head(shown)
    names = ["came", *map(str, steps)]
    others = counts.slice(shown).select(names).sum().row(0) if counts.height > shown else None
    values = [{"value": r[0], "rows": list(r[1:])} for r in top.select("value", *names).rows()]
    if others:
        values.append({"value": f"{counts.height - shown:,} others", "rows": list(others)})
    return {
        "group": group,
        "steps": [rows.stages[i] for i in steps],
        "values": values,
        "totals": list(counts.select(names).sum().row(0)),
        "changes": changes(counts, steps, rows.stages),
    }


def changes(counts: pl.DataFrame, steps: list[int], stages: list[str]) -> list[dict[str, Any]]:
    """The changes of share by a single step that matter most: by how many percentage points, and by
    what factor.
    """
    found, before = [], "came"
    for step in steps:
        after = str(step)
        total_before, total_after = int(counts[before].sum()), int(counts[after].sum())
        for value, n, left in counts.select("value", before, after).rows():
            if n < LEAST_ROWS or not total_after:
                continue
            share, new = n / total_before, left / total_after
            if abs(new - share) >= 0.01 or new < share / 2:
                found.append(
                    {"value": value, "step": stages[step], "before": share, "after": new, "rows": n}
                )
        before = after
    return sorted(found, key=lambda c: -abs(c["after"] - c["before"]))[:6]
