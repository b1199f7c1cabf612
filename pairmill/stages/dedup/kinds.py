"""What every kind of duplicate answers, and which class does."""

import importlib
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from pairmill.stages.dedup.config import DedupConfig

CLASSES = {
    "exact": "pairmill.stages.dedup.exact:Exact",
    "perceptual": "pairmill.stages.dedup.perceptual:Perceptual",
    "text": "pairmill.stages.dedup.text:Text",
    "semantic": "pairmill.stages.dedup.semantic:Semantic",
}


class KindOfDuplicate(Protocol):
    """Compares rows; `seen` is what `load` made of them, and rows are named by their positions."""

    similarity: bool
    """Whether `scores` are similarities (1: the same) and not distances."""

    def __init__(self, config: DedupConfig) -> None: ...

    def reads(self, have: list[str]) -> list[str]:
        """Columns it compares, of those there are."""

    def check(self, schema: pa.Schema) -> None:
        """Raises ValueError where a column is of another type."""

    def notes(self) -> list[str]:
        """For the plan: how duplicates are found, and which are not."""

    def load(self, rows: pa.Table) -> Any:
        """The rows as arrays."""

    def unfit(self, seen: Any) -> tuple[np.ndarray, str]:
        """(which rows hold nothing to compare, bool, (n,); why)."""

    def labels(self, seen: Any, known: pa.Table | None) -> np.ndarray:
        """For each row a number, int64, that it shares with what it is connected to alone."""

    def scores(self, seen: Any, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Distance or similarity of pairs, float64."""

    def diameter(self, seen: Any) -> float | None:
        """`max_diameter` where the pipeline gives none; None for no limit."""

    def nearest(self, seen: Any, others: Any) -> tuple[np.ndarray, np.ndarray]:
        """For each row the position of its nearest duplicate among `others`, -1 for none; its
        score.
        """

    def sample(self, rows: pa.Table, total: int) -> pa.Table | None:
        """A small part of some rows, for `learn`; None where nothing has to be learnt."""

    def learn(self, samples: pa.Table, total: int) -> pa.Table | None:
        """What all partitions have to know."""

    def spread(self, rows: pa.Table, known: pa.Table | None) -> list[np.ndarray]:
        """Keys, each uint64, (n,): rows that are duplicates share one of them, or of another pair
        in
        between.
        """


def kind_of(config: DedupConfig) -> KindOfDuplicate:
    """The kind that a config names."""
    module, _, name = CLASSES[config.kind].partition(":")
    made: KindOfDuplicate = getattr(importlib.import_module(module), name)(config)
    return made


def is_text(kind: pa.DataType) -> bool:
    """Whether a column holds text; Polars and DuckDB write other layouts of it than pyarrow."""
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )
