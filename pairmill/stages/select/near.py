"""The rows nearest to each of some vectors: all products where they are few, k-means cells beyond.

The same rows and numbers for any cut and order of the rows: what a fast product may have wrong in
its last digits is only used to propose pairs, which are then multiplied one by one.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pairmill.models.vectors import units_of
from pairmill.stages.dedup.semantic import met

BLOCK, AT_ONCE = 8_192, 1_024
"""Rows and queries that are multiplied in one go."""
UNSURE = 1e-5
"""What a float32 product of two unit vectors may be off by."""
ENDS = 1e-6
"""What a cosine may be off by at its best: threshold 1 finds what is the same."""


@dataclass(frozen=True)
class Pairs:
    """`query`, `row`: positions, int64, (n,).  `cosine`: float32, (n,)."""

    query: np.ndarray
    row: np.ndarray
    cosine: np.ndarray

    def take(self, which: np.ndarray) -> "Pairs":
        """Those pairs alone, in this order."""
        return Pairs(self.query[which], self.row[which], self.cosine[which])

    @classmethod
    def joined(cls, parts: list["Pairs"]) -> "Pairs":
        """All pairs, one part behind the other."""
        if not parts:
            return cls(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))
        return cls(
            *(np.concatenate([getattr(p, n) for p in parts]) for n in ("query", "row", "cosine"))
        )


def nearest(queries: np.ndarray, rows: np.ndarray, top: int | None, least: float | None) -> Pairs:
    """Pairs among which are the `top` rows of each query (all of them where None) at or above
    `least`, and some more.  Cosines are as they are stored: float32 of a float64 sum.

    `queries`: float32 (q, d), `rows`: float32 (n, d), of unit length.
    """
    parts = [
        proposed(queries[first : first + AT_ONCE], rows, top, least, first)
        for first in range(0, len(queries), AT_ONCE)
    ]
    found = Pairs.joined(parts)
    exact = Pairs(found.query, found.row, cosines(queries, rows, found))
    return exact if least is None else exact.take(exact.cosine >= least - ENDS)


def proposed(
    queries: np.ndarray, rows: np.ndarray, top: int | None, least: float | None, first: int
) -> Pairs:
    """Pairs by fast products: whatever may be one of the `top` rows of its query; the first
    query's number is `first`.
    """
    bound = np.full(len(queries), -np.inf if least is None else least - UNSURE, np.float32)
    pool = Pairs.joined([])
    for start in range(0, len(rows), BLOCK):
        block = rows[start : start + BLOCK]
        products = queries @ block.T
        if top is not None and top < len(block) and not np.isfinite(bound).all():
            place = len(block) - top
            kth = np.partition(products, place, axis=1)[:, place] - UNSURE
            bound = np.maximum(bound, kth)
        query, row = np.nonzero(products >= bound[:, None])
        pool = Pairs.joined([pool, Pairs(query, row + start, products[query, row])])
        if top is not None and len(pool.query) > 4 * top * len(queries):
            pool, bound = tightened(pool, top, bound)
    if top is not None:
        pool, _ = tightened(pool, top, bound)
    return Pairs(pool.query + first, pool.row, pool.cosine)


def tightened(pool: Pairs, top: int, bound: np.ndarray) -> tuple[Pairs, np.ndarray]:
    """The pairs that may still be among the `top` of their query, and the least product of any
    other: by query, float32.
    """
    order = np.lexsort((-pool.cosine, pool.query))
    pool = pool.take(order)
    starts = np.searchsorted(pool.query, np.arange(len(bound) + 1))
    last = starts[:-1] + top - 1
    full = last < starts[1:]
    bound = bound.copy()
    bound[full] = np.maximum(bound[full], pool.cosine[last[full]] - UNSURE)
    return pool.take(pool.cosine >= bound[pool.query]), bound


def cosines(queries: np.ndarray, rows: np.ndarray, pairs: Pairs) -> np.ndarray:
    """The pairs' cosines one by one, float32 (n,)."""
    found = np.empty(len(pairs.query), np.float32)
    for first in range(0, len(found), BLOCK):
        which = slice(first, first + BLOCK)
        one = queries[pairs.query[which]].astype(np.float64)
        found[which] = np.einsum("nd,nd->n", one, rows[pairs.row[which]].astype(np.float64))
    return found


def homes(rows: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """The nearest centre of each row, int64 (n,), the first of equal ones."""
    found = np.empty(len(rows), np.int64)
    for first in range(0, len(rows), BLOCK):
        block = rows[first : first + BLOCK]
        products = block @ centres.T
        best = products.max(1)
        found[first : first + BLOCK] = products.argmax(1)
        close = products >= best[:, None] - UNSURE
        for at in np.flatnonzero(close.sum(1) > 1):
            rivals = np.flatnonzero(close[at])
            one = Pairs(np.zeros(len(rivals), np.int64), rivals, np.zeros(0))
            exact = cosines(block[at : at + 1], centres, one)
            found[first + at] = rivals[exact.argmax()]
    return found


def nearest_in_cells(
    queries: np.ndarray,
    probed: np.ndarray,
    rows: np.ndarray,
    home: np.ndarray,
    top: int | None,
    least: float | None,
) -> Pairs:
    """As `nearest`, of rows that live in a cell that the query looks at.

    `probed`: int64 (q, p), cells of each query.  `home`: int64 (n,), the cell of each row.
    """
    parts = []
    for members, visitors in met(home[:, None], probed):
        found = nearest(queries[visitors], rows[members], top, least)
        parts.append(Pairs(visitors[found.query], members[found.row], found.cosine))
    return Pairs.joined(parts)


def units(values: pa.ChunkedArray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """(unit vectors of the rows that have one of so many finite numbers, not all 0, float32 (m, d);
    which rows these are, bool (n,)).
    """
    found, sound = units_of(values, length)
    return found[sound], sound


def listed(vectors: np.ndarray) -> pa.Array:
    """float32 (n, d) as a column."""
    return pa.FixedSizeListArray.from_arrays(
        pa.array(vectors.astype(np.float32).ravel()), vectors.shape[1]
    )
