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
    wanted = (pl.col(score.name).alias("value"), "kept", "fate", "at")
    part = rows.frame.select(*wanted).drop_nulls("value")
    if part["value"].dtype.is_float():
        part = part.filter(
            pl.col("value").is_finite()
        )  # a source may hold what no stage would store
    if part.height == 0:
        return None
    low, high = part["value"].min(), part["value"].max()
    if low == high:
        return None
    gates: list[dict[str, Any]] = [
        {"stage": name, "text": text, "sign": sign, "threshold": number}
        for name, text in zip(rows.stages, rows.gates, strict=True)
        if text
        for sign, number in thresholds(text, score.name)
    ]
    whole = part["value"].dtype.is_integer()
    needed = [float(g["threshold"]) for g in gates]  # type: ignore[arg-type]
    stops = stops_of(float(low), float(high), whole, needed)  # type: ignore[arg-type]
    part = part.sort("value")  # once, for all that follows
    values, kept = part["value"].to_numpy(), part["kept"].to_numpy()
    edges = np.linspace(float(low), float(high), BINS + 1)  # type: ignore[arg-type]
    sign = gates[0]["sign"] if gates else ">="
    side: Literal["left", "right"] = "left" if sign in (">=", "<") else "right"
    at = np.array(stops, values.dtype) if not whole else np.array(stops)
    return {
        "name": score.name,
        "stage": score.stage,
        "meaning": score.meaning,
        "unit": score.unit,
        "whole": whole,
        "rows": part.height,
        "low": float(low),  # type: ignore[arg-type]
        "high": float(high),  # type: ignore[arg-type]
        "gates": gates,
        "stops": stops,
        "kept": np.histogram(values[kept], edges)[0].tolist(),
        "stopped": np.histogram(values[~kept], edges)[0].tolist(),
        "quantiles": dict(zip(QUANTILES, quantiles(values), strict=True)),
        "sign": sign,
        "beyond": max(
            (beyond(values, str(g["sign"]), float(str(g["threshold"]))) for g in gates), default=0
        ),
        "reach": above(values, at, side),
        "reach_kept": above(values[kept], at, side),
        "rows_kept": int(kept.sum()),
        "fact": score.fact,
        **regained(rows, part, gates, at, side),
    }


def beyond(values: np.ndarray, sign: str, threshold: float) -> int:
    """How many values a comparison with the threshold stops."""
    side: Literal["left", "right"] = "left" if sign in (">=", "<") else "right"
    whole = np.issubdtype(values.dtype, np.integer)
    at = np.array([threshold], float if whole else values.dtype)
    upper = above(values, at, side)[0]
    return len(values) - upper if sign[0] == ">" else upper


def regained(
    rows: ReportRows,
    part: pl.DataFrame,
    gates: list[dict[str, Any]],
    stops: np.ndarray,
    side: Literal["left", "right"],
) -> dict[str, Any]:
    """`dropped_reach`: for each stop, the rows that the score's gate dropped and that are on the
    upper side of it; `exact`: whether a looser gate would keep just those in the end.

    It would where the gate is this one comparison and nothing comes after it; else it keeps at
    most those.
    """
    if not gates:
        return {"dropped_reach": None, "exact": False}
    index = rows.stages.index(gates[0]["stage"])
    dropped = part.filter((pl.col("fate") == "dropped") & (pl.col("at") == index))
    alone = len(comparisons(gates[0]["text"])) == 1 and is_comparison(gates[0]["text"])
    return {
        "dropped_reach": above(dropped["value"].to_numpy(), stops, side),
        "exact": alone and index == len(rows.stages) - 1,
    }


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
