"""Samples that are written several times, and what mixture that makes: requested and achieved."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from pairmill.schemas.arrow import role_of

SPREAD = np.uint64(0x9E3779B97F4A7C15)
"""An odd number: what is added to the chance of a sample's next copy, so that copies lie apart."""


@dataclass(frozen=True)
class Mixture:
    """How a column says that samples repeat, and how the groups came out.

    `written`: group → (samples, times they are written, what they cost in all).
    """

    written: dict[str, tuple[int, int, float]] = field(default_factory=dict)

    @classmethod
    def joined(cls, parts: Iterable["Mixture"]) -> "Mixture":
        """The mixture of several parts: samples, times and costs summed by group."""
        total: dict[str, tuple[int, int, float]] = {}
        for part in parts:
            for group, (rows, times, cost) in part.written.items():
                before = total.get(group, (0, 0, 0.0))
                total[group] = (before[0] + rows, before[1] + times, before[2] + cost)
        return cls(dict(sorted(total.items())))

    def described(self, column: pa.Field) -> dict[str, Any]:
        """As the manifest holds it: for each group what was asked for and what came out."""
        facts = column.metadata or {}
        asked = json.loads(facts.get(b"requested", b"{}"))
        names = sorted({*self.written, *asked})
        total = sum(cost for _, _, cost in self.written.values())
        groups = {}
        for name in names:
            rows, times, cost = self.written.get(name, (0, 0, 0.0))
            wanted = asked.get(name, 0.0) if asked else 1 / len(names)
            groups[name] = {
                "requested": round(wanted, 6),
                "achieved": round(cost / total, 6) if total else 0.0,
                "rows": rows,
                "written": times,
            }
        return {"repeats": column.name, "cost": facts.get(b"cost", b"").decode(), "groups": groups}


def mixture_columns(schema: pa.Schema, repeats: str) -> list[str]:
    """The columns that tell of a mixture: repeats, group, cost, as far as there are such."""
    facts = schema.field(repeats).metadata or {}
    named = [facts.get(key, b"").decode() for key in (b"of", b"cost")]
    return [repeats, *(name for name in named if name in schema.names)]


def mixture_of(frame: pl.DataFrame, column: pa.Field) -> Mixture:
    """What the samples of a frame make, one row each; empty where no group is told."""
    facts = column.metadata or {}
    group, cost = (facts.get(key, b"").decode() for key in (b"of", b"cost"))
    if role_of(column) != "repeats" or group not in frame.columns:
        return Mixture()
    times = pl.col(column.name).fill_null(0).cast(pl.Int64)
    each = pl.col(cost).cast(pl.Float64).fill_null(0) if cost in frame.columns else pl.lit(1.0)
    counted = frame.group_by(pl.col(group).fill_null("").alias("group")).agg(
        (times > 0).sum().alias("rows"), times.sum().alias("times"), (times * each).sum().alias("c")
    )
    return Mixture({name: (rows, times, cost) for name, rows, times, cost in counted.rows()})


def copies(repeats: pl.Series) -> tuple[np.ndarray, np.ndarray]:
    """(number of the sample, number of its copy from 0) of everything that is written."""
    times = np.maximum(repeats.fill_null(0).to_numpy().astype(np.int64), 0)
    sample = np.repeat(np.arange(len(times)), times)
    first = np.cumsum(times) - times
    return sample, np.arange(len(sample)) - first[sample]
