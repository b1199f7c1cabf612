"""Clusters of rows: who stands for each, who is too far from it, what is gathered of all."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl
import pyarrow as pa

from pairmill.schemas.expressions import compile_expression, frame_of

TooFar = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(members, who stands for them) → whether they lie too far apart, bool."""


@dataclass(frozen=True)
class Clusters:
    """`stands_for`: position of the row that stands for each row, int64, its own for that one.
    `order`: members of clusters, those that stand for one first, then as they are preferred; None
    where nothing is gathered.
    """

    stands_for: np.ndarray
    sizes: np.ndarray
    order: np.ndarray | None

    @property
    def repeats(self) -> np.ndarray:
        """Positions of rows that another stands for."""
        return np.flatnonzero(self.stands_for != np.arange(len(self.stands_for)))

    def others(self) -> pa.Array:
        """`stands_for`, null for rows that stand for themselves."""
        own = self.stands_for == np.arange(len(self.stands_for))
        return pa.array(self.stands_for, mask=own)

    def gathered(self, values: pa.ChunkedArray) -> pa.Array:
        """For each row that stands for a cluster the values of all its rows; null for the
        others.
        """
        assert self.order is not None
        alone = np.flatnonzero(self.sizes == 1)
        members = np.concatenate([self.order[self.sizes[self.order] > 1], alone])
        heads = self.stands_for[members]
        by = np.argsort(heads, kind="stable")
        own = self.stands_for == np.arange(len(self.stands_for))
        offsets = np.concatenate([[0], np.cumsum(np.where(own, self.sizes, 0))]).astype(np.int32)
        flat = values.combine_chunks().take(pa.array(members[by]))
        lists = pa.ListArray.from_arrays(pa.array(offsets), flat)
        return lists.take(pa.array(np.arange(len(own)), mask=~own))


def clusters_of(
    rows: pa.Table,
    labels: np.ndarray,
    prefer: str | None,
    too_far: TooFar | None,
    gathers: bool = False,
) -> Clusters:
    """`labels`: for each row a number that its component shares; `rows` hold uid and what `prefer`
    reads.  `gathers`: whether members are wanted in order.
    """
    count = len(labels)
    label, sizes = counted(labels)
    stands_for = np.arange(count)
    members = np.flatnonzero(sizes > 1)
    if not len(members):
        return Clusters(stands_for, sizes, members)
    part, order = rows.take(pa.array(members)) if prefer is not None else None, None
    if part is None and not gathers:
        uids = frame_of(rows.select(["uid"]))["uid"].gather(members)
        first = members[least_of_each(label[members], uids)]
    else:
        part = part if part is not None else rows.select(["uid"]).take(pa.array(members))
        order = members[preferred(part, label[members], prefer)]
        first = order[np.r_[True, np.diff(label[order]) != 0]]
    head_of = np.zeros(label.max() + 1, np.int64)
    head_of[label[first]] = first
    stands_for[members] = head_of[label[members]]
    if too_far is not None:
        at = members[stands_for[members] != members]
        far = at[too_far(at, stands_for[at])]
        left = np.bincount(stands_for[far], minlength=count)
        sizes = sizes - left[stands_for]
        stands_for[far], sizes[far] = far, 1
    return Clusters(stands_for, sizes, order)


def counted(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(labels in a narrow range, how many rows share each row's)."""
    if len(labels) and labels.min() >= 0 and labels.max() < 4 * len(labels):
        return labels, np.bincount(labels)[labels]
    _, label, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    return label, sizes[label]


def least_of_each(label: np.ndarray, uids: pl.Series) -> np.ndarray:
    """Which rows have the least uid of their label, bool."""
    frame = pl.DataFrame({"label": label, "uid": uids})
    least = frame.select(pl.col("uid") == pl.col("uid").min().over("label"))
    return least["uid"].to_numpy()


def preferred(rows: pa.Table, label: np.ndarray, prefer: str | None) -> np.ndarray:
    """The order of rows by label, then by what `prefer` says, the largest first, then by uid."""
    frame = pl.DataFrame({"label": label, "uid": frame_of(rows.select(["uid"]))["uid"]})
    by, descending = ["label", "uid"], [False, False]
    if prefer is not None:
        expression, _ = compile_expression(prefer, rows.schema)
        value = expression.evaluate(frame_of(rows))
        if value.dtype.is_float():
            value = value.fill_nan(None)
        frame = frame.with_columns(value.alias("value"))
        by, descending = ["label", "value", "uid"], [False, True, False]
    at = frame.with_row_index("__at")
    return at.sort(by, descending=descending, nulls_last=True)["__at"].to_numpy().astype(np.int64)
