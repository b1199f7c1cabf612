"""Distributions of scores, and what every threshold would let through: counted, not estimated."""

from functools import lru_cache
from typing import Any, Literal

import numpy as np
import polars as pl
import sqlglot
from sqlglot import exp

from pairmill.report.gather import ReportRows, Score

BINS = 60
QUANTILES = (5, 25, 50, 75, 95)
STOPS = 200
SIGNS = {exp.GTE: ">=", exp.GT: ">", exp.LTE: "<=", exp.LT: "<"}


def distributions(rows: ReportRows) -> list[dict[str, Any]]:
    """For each score with more than one value: histogram of kept and stopped rows, gates, and
    counts at every stop.  Those of gates come first, by the rows that their thresholds stop; facts
    come last.
    """
    charts = [c for score in rows.scores if (c := distribution(rows, score))]
    return sorted(
        charts, key=lambda c: (not c["gates"], not c["gates"] and c["fact"], -c["beyond"])
    )


def distribution(rows: ReportRows, score: Score) -> dict[str, Any] | None:
    """How the values of a score are spread."""
    column = rows.frame[score.name]
    known = column.is_not_null()
    if column.dtype.is_float():
        known &= column.is_finite()  # a source may hold what no stage would store
    there = rows.frame.select(score.name, "kept", "fate", "at")
    there = there if known.all() else there.filter(known)
    values, kept = there[score.name].to_numpy(), there["kept"].to_numpy()
    if not len(values) or values.min() == values.max():
        return None
    low, high = float(values.min()), float(values.max())
    gates: list[dict[str, Any]] = [
        {"stage": name, "text": text, "sign": sign, "threshold": number}
        for name, text in zip(rows.stages, rows.gates, strict=True)
        if text
        for sign, number in thresholds(text, score.name)
    ]
    whole = np.issubdtype(values.dtype, np.integer)
    stops = stops_of(low, high, whole, [float(g["threshold"]) for g in gates])
    edges = np.linspace(low, high, BINS + 1)
    sign = gates[0]["sign"] if gates else ">="
    side: Literal["left", "right"] = "left" if sign in (">=", "<") else "right"
    at = np.array(stops, values.dtype) if not whole else np.array(stops)
    regained = {"dropped_reach": None, "exact": False}
    if gates:
        index = rows.stages.index(gates[0]["stage"])
        dropped = (pl.col("fate") == "dropped") & (pl.col("at") == index)
        lost = np.sort(there.filter(dropped)[score.name].to_numpy())
        regained = would_keep(rows, gates[0], above(lost, at, side))
    # numbers alone are sorted in a tenth of the time that lines of a table take
    stopped, kept, values = np.sort(values[~kept]), np.sort(values[kept]), np.sort(values)
    return {
        "name": score.name,
        "stage": score.stage,
        "meaning": score.meaning,
        "unit": score.unit,
        "whole": whole,
        "rows": len(values),
        "low": low,
        "high": high,
        "gates": gates,
        "stops": stops,
        "kept": in_bins(kept, edges),
        "stopped": in_bins(stopped, edges),
        "quantiles": dict(zip(QUANTILES, quantiles(values), strict=True)),
        "sign": sign,
        "beyond": max(
            (beyond(values, str(g["sign"]), float(str(g["threshold"]))) for g in gates), default=0
        ),
        "reach": above(values, at, side),
        "reach_kept": above(kept, at, side),
        "rows_kept": len(kept),
        "fact": score.fact,
        **regained,
    }


def beyond(values: np.ndarray, sign: str, threshold: float) -> int:
    """How many values a comparison with the threshold stops."""
    side: Literal["left", "right"] = "left" if sign in (">=", "<") else "right"
    whole = np.issubdtype(values.dtype, np.integer)
    at = np.array([threshold], float if whole else values.dtype)
    upper = above(values, at, side)[0]
    return len(values) - upper if sign[0] == ">" else upper


def would_keep(rows: ReportRows, gate: dict[str, Any], reach: list[int]) -> dict[str, Any]:
    """`dropped_reach`: for each stop, the rows that the score's gate dropped and that are on the
    upper side of it; `exact`: whether a looser gate would keep just those in the end.

    It would where the gate is this one comparison and nothing comes after it; else it keeps at
    most those.
    """
    alone = len(comparisons(gate["text"])) == 1 and is_comparison(gate["text"])
    last = rows.stages.index(gate["stage"]) == len(rows.stages) - 1
    return {"dropped_reach": reach, "exact": alone and last}


def in_bins(values: np.ndarray, edges: np.ndarray) -> list[int]:
    """How many of the sorted `values` lie between each edge and the next; those at the last edge
    count as before it.
    """
    last = np.searchsorted(values, edges[-1:], "right")
    ends = np.concatenate([np.searchsorted(values, edges[:-1], "left"), last])
    return np.diff(ends).tolist()


def above(values: np.ndarray, stops: np.ndarray, side: Literal["left", "right"]) -> list[int]:
    """For each stop, how many of the sorted `values` are `>=` it (left) or `>` it (right); compared
    in the column's own type, as a gate does.
    """
    return (len(values) - np.searchsorted(values, stops, side)).tolist()


def quantiles(values: np.ndarray) -> list[float]:
    """Between the two sorted values that lie next to each quantile, in proportion."""
    at = np.array(QUANTILES) / 100 * (len(values) - 1)
    below = np.floor(at).astype(int)
    low, high = values[below], values[np.ceil(at).astype(int)]
    found: list[float] = (low + (at - below) * (high.astype(float) - low)).astype(float).tolist()
    return found


def stops_of(low: float, high: float, whole: bool, needed: list[float]) -> list[float]:
    """About 200 round numbers over the range, and the gates' own thresholds."""
    if not high - low > 1e-300:
        return sorted({low, high, *needed})
    step = 10 ** np.floor(np.log10((high - low) / STOPS))
    step = next((step * m for m in (1, 2, 5, 10) if (high - low) / (step * m) <= STOPS), step * 10)
    step = max(1.0, step) if whole else step
    digits = max(0, int(-np.floor(np.log10(step))))
    numbers = np.arange(np.floor(low / step), np.ceil(high / step) + 1) * step
    return sorted({round(float(n), digits) for n in numbers} | set(needed))


def thresholds(gate: str, column: str) -> list[tuple[str, float]]:
    """(sign, number) of every comparison of the column with a number in a gate's text, such as
    (">=", 0.3).
    """
    return [(sign, number) for name, sign, number in comparisons(gate) if name == column]


@lru_cache(256)
def is_comparison(gate: str) -> bool:
    """Whether a gate is a single comparison and nothing else."""
    return type(sqlglot.parse_one(gate, dialect="postgres")) in SIGNS


@lru_cache(256)
def comparisons(gate: str) -> tuple[tuple[str, str, float], ...]:
    """(column, sign, number) of every comparison of a column with a number in a gate's text."""
    found = []
    for node in sqlglot.parse_one(gate, dialect="postgres").find_all(
        exp.GTE, exp.GT, exp.LTE, exp.LT
    ):
        left, right, sign = node.left, node.right, SIGNS[type(node)]
        if isinstance(right, exp.Column):
            left, right = right, left
            sign = {">=": "<=", ">": "<", "<=": ">=", "<": ">"}[sign]
        if isinstance(left, exp.Column):
            try:
                found.append((left.name, sign, float(right.sql())))
            except ValueError:
                continue  # compared with another column or a computed value
    return tuple(found)
