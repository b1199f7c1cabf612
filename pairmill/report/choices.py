"""What the choices among all rows did: why rows are in or out, beside a control drawn by chance,
requested and achieved shares, languages and concepts before and after.
"""

import json
from collections.abc import Sequence
from typing import Any

import polars as pl
import pyarrow as pa

from pairmill.packages.mixture import mixture_of
from pairmill.plan.chain import Chain
from pairmill.plan.choices import Choice
from pairmill.report.choice_columns import arrived
from pairmill.report.choice_concepts import concepts_of_choices
from pairmill.report.gather import ReportRows, language_column

MOST_VALUES = 14
MOST_GROUPS = 40


def choices(chain: Chain, rows: ReportRows, shards: Sequence[int]) -> list[dict[str, Any]]:
    """For each choice: rows that came to it and were chosen, and what that did to them."""
    long_tails = concepts_of_choices(chain, rows.choices, shards)
    found = []
    for choice in rows.choices:
        frame = arrived(rows.frame, choice)
        if not frame.height:
            continue
        chosen = frame.filter("#chosen")
        found.append(
            {
                "column": choice.column,
                "stage": choice.stage,
                "meaning": choice.meaning,
                "rows": frame.height,
                "chosen": chosen.height,
                "written": int(chosen["#times"].sum()) if choice.repeated else None,
                "control": int(frame["#control"].sum()) if choice.control else None,
                "outcomes": outcomes(frame, choice),
                "requested": requested(frame, choice),
                "scores": medians(frame, rows, choice),
                "shares": shares(frame, choice, language_column(chain.schema)),
                "concepts": long_tails.get(choice.column, []),
            }
        )
    return found


def outcomes(frame: pl.DataFrame, choice: Choice) -> list[dict[str, Any]]:
    """Rows by why they are in or out, each with the tag of their samples and the expression that
    gives all of them; those of the control last.
    """
    found = [
        {"name": name, **figures(frame.filter(mine)), "tag": tag, "where": where}
        for name, tag, where, mine in told_apart(frame, choice)
    ]
    if choice.reason and (rest := frame[choice.reason].n_unique() - MOST_VALUES) > 0:
        others = frame.filter(
            ~pl.col(choice.reason).is_in(commonest(frame, choice.reason), nulls_equal=True)
        )
        where = f'"{choice.column}" IS NOT NULL'
        found.append({"name": f"{rest:,} others", **figures(others), "tag": "", "where": where})
    return found


def figures(frame: pl.DataFrame) -> dict[str, int]:
    """Rows, and how many of them are chosen."""
    return {"rows": frame.height, "chosen": int(frame["#chosen"].sum())}


def commonest(frame: pl.DataFrame, column: str) -> list[str | None]:
    """The most frequent values of a column."""
    counted = frame[column].value_counts().sort("count", column, descending=[True, False])
    return counted[column].head(MOST_VALUES).to_list()


def told_apart(frame: pl.DataFrame, choice: Choice) -> list[tuple[str, str, str, pl.Expr]]:
    """(name, tag of samples, SQL expression, expression over `frame`) of each outcome."""
    column, found = f'"{choice.column}"', []
    if choice.reason:
        for name in commonest(frame, choice.reason):
            tag, reason = f"{choice.reason}: {name or ''}", pl.col(choice.reason)
            said = f'{column} IS NOT NULL AND "{choice.reason}"'
            if name is None:
                found.append(("(none)", tag, f"{said} IS NULL", reason.is_null()))
                continue
            quoted = name.replace("'", "''")
            found.append((name, tag, f"{said} = '{quoted}'", reason == name))
    else:
        yes, no = column, f"NOT {column}"
        if choice.repeated:
            yes, no = f"{column} > 0", f"{column} <= 0"
        chosen = pl.col("#chosen")
        found.append(("chosen", f"{choice.column}: chosen", yes, chosen))
        found.append(("not chosen", f"{choice.column}: not chosen", no, ~chosen))
    if choice.control:
        drawn = f'"{choice.control}"', pl.col("#control")
        found.append(("drawn by chance, to compare", f"{choice.control}: drawn", *drawn))
    return found


def tagged(frame: pl.DataFrame, choice: Choice) -> list[tuple[pl.DataFrame, str]]:
    """The rows of each outcome, and the tag of their samples."""
    there = arrived(frame, choice)
    return [(there.filter(mine), tag) for _, tag, _, mine in told_apart(there, choice)]


def requested(frame: pl.DataFrame, choice: Choice) -> dict[str, Any] | None:
    """By group: the share that was asked for, that of all rows that came, of what was chosen, and
    of what is kept in the end; None where nothing was asked for.
    """
    if choice.requested is None or not choice.per:
        return None
    cost = choice.cost_column if choice.cost else ""
    facts = {"role": "repeats", "of": choice.group, "cost": cost}
    field = pa.field(
        "#times", pa.int64(), metadata={**facts, "requested": json.dumps(choice.requested)}
    )
    every = frame.with_columns(pl.lit(1).alias("#times"))
    came, chosen, kept = (
        mixture_of(part, field).described(field)["groups"]
        for part in (every, frame, frame.filter("kept"))
    )
    names = sorted({*came, *chosen}, key=lambda n: (-came.get(n, {}).get("rows", 0), n))
    asked = choice.requested
    groups = [
        {
            "group": name,
            "requested": came[name]["requested"] if name in came else chosen[name]["requested"],
            "came": came.get(name, {}).get("achieved", 0.0),
            "achieved": chosen.get(name, {}).get("achieved", 0.0),
            "kept": kept.get(name, {}).get("achieved", 0.0),
            "rows": chosen.get(name, {}).get("rows", 0),
            "written": chosen.get(name, {}).get("written", 0),
        }
        for name in names[:MOST_GROUPS]
    ]
    return {
        "per": " / ".join(choice.per),
        "cost": choice.cost,
        "equal": not asked,
        "groups": groups,
        "others": max(0, len(names) - MOST_GROUPS),
    }


def medians(frame: pl.DataFrame, rows: ReportRows, choice: Choice) -> list[dict[str, Any]]:
    """The median of every score that was there before the choice: of all rows that came, of those
    chosen (each once), and of the control.
    """
    before = rows.stages[: rows.stages.index(choice.stage)]
    found = []
    for score in rows.scores:
        if score.fact or (score.stage is not None and score.stage not in before):
            continue
        values = pl.col(score.name).cast(pl.Float64)
        known = frame.filter(values.is_finite())
        if known[score.name].n_unique() < 2:
            continue
        parts = {"came": known, "chosen": known.filter("#chosen")}
        if choice.control:
            parts["control"] = known.filter("#control")
        middle = {n: p[score.name].cast(pl.Float64).median() for n, p in parts.items()}
        found.append({"name": score.name, **middle})
    return found


def shares(frame: pl.DataFrame, choice: Choice, language: str | None) -> list[dict[str, Any]]:
    """Rows by language and by the choice's own groups: all that came, what was chosen (as often as
    it is written), the control.
    """
    columns = {"language": "language"} if language else {}
    if choice.per and choice.requested is None and choice.per != (language,):
        columns[" / ".join(choice.per)] = choice.group
    found = []
    for group, column in columns.items():
        counted = (
            frame.group_by(pl.col(column).alias("value"))
            .agg(
                pl.len().alias("came"), pl.col("#times").sum().alias("chosen"),
                pl.col("#control").sum().alias("control"),
            )
            .drop_nulls("value")
            .sort("came", "value", descending=[True, False])
        )  # fmt: skip
        if counted.height < 2:
            continue
        names = ["came", "chosen", *(["control"] if choice.control else [])]
        found.append(
            {
                "group": group,
                "values": counted.select("value", *names).head(MOST_VALUES).to_dicts(),
                "totals": counted.select(names).sum().row(0, named=True),
                "others": max(0, counted.height - MOST_VALUES),
            }
        )
    return found
