"""Connected components that grow while pairs are found, as a forest over numbered rows."""

import itertools
import os
from collections.abc import Callable

import numpy as np

Agree = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(left, right) positions of pairs → whether each pair is a duplicate, bool."""

PAIRS_AT_ONCE = 1 << 18
"""Pairs that are looked at in one go, so that what is held of them stays in the cache."""
PIVOTS = 32
"""Members of a large bucket that are compared with all others of it before pairs are enumerated."""
LARGE = 256
"""Members from which a bucket is large."""


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


class Forest:
    """`parent`: int64, (n,); the root of a tree is its smallest member."""

    def __init__(self, rows: int) -> None:
        self.parent = np.arange(rows)

    def roots(self, members: np.ndarray) -> np.ndarray:
        """The root of each member."""
        found = self.parent[members]
        while True:
            above = self.parent[found]
            if np.array_equal(above, found):
                self.parent[members] = found
                return found
            found = above

    def labels(self) -> np.ndarray:
        """The root of every row."""
        return self.roots(np.arange(len(self.parent)))

    def join(self, left: np.ndarray, right: np.ndarray) -> None:
        """Connects pairs."""
        one, two = self.roots(left), self.roots(right)
        apart = one != two
        if not apart.any():
            return
        from scipy.sparse import coo_matrix  # a third of a second that few commands need
        from scipy.sparse.csgraph import connected_components

        names, place = np.unique(np.concatenate([one[apart], two[apart]]), return_inverse=True)
        ends = place.reshape(2, -1)
        edges = coo_matrix((np.ones(ends.shape[1], bool), (ends[0], ends[1])), [len(names)] * 2)
        _, part = connected_components(edges, directed=False)
        _, first = np.unique(part, return_index=True)  # names are sorted: the first is the least
        self.parent[names] = names[first][part]

    def join_agreeing(self, left: np.ndarray, right: np.ndarray, agree: Agree) -> None:
        """Connects those pairs of different components that agree, piece by piece."""
        for start in range(0, len(left), PAIRS_AT_ONCE):
            one, two = left[start : start + PAIRS_AT_ONCE], right[start : start + PAIRS_AT_ONCE]
            apart = self.parent[one] != self.parent[two]  # parents that are equal are connected
            one, two = one[apart], two[apart]
            near = agree(one, two)
            self.join(one[near], two[near])

    def join_pivots(self, members: np.ndarray, agree: Agree) -> None:
        """Connects members of a large bucket to a few of them, so that a look that comes many times
        falls together before pairs are enumerated; stops where that brings little.
        """
        for _ in range(PIVOTS):
            roots = self.roots(members)
            names, counts = np.unique(roots, return_counts=True)
            if len(names) == 1:
                return
            outside = members[roots != names[counts.argmax()]]
            pivot = outside[len(outside) // 2]
            others = members[roots != self.parent[pivot]]
            near = others[agree(np.full(len(others), pivot), others)]
            self.join(np.full(len(near), pivot), near)
            if len(near) < len(members) // 100:
                return


def spans(first: np.ndarray, last: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For ranges [first, last): the number of its range, and the position, of every element."""
    counts = last - first
    which = np.repeat(np.arange(len(first)), counts)
    ends = np.cumsum(counts)
    return which, np.arange(len(which)) - np.repeat(ends - counts - first, counts)


def pieces(counts: np.ndarray, most: int = PAIRS_AT_ONCE) -> list[slice]:
    """Slices of `counts` that sum up to about `most` each."""
    total = np.cumsum(counts)
    if not len(total) or total[-1] <= most:
        return [slice(0, len(counts))]
    cuts = np.searchsorted(total, np.arange(most, total[-1], most)) + 1
    edges = np.unique(np.concatenate([[0], cuts, [len(counts)]]))
    return [slice(int(a), int(b)) for a, b in itertools.pairwise(edges)]


def join_buckets(
    forest: Forest,
    keys: np.ndarray,
    agree: Agree,
    crowd: Callable[[np.ndarray, int], None] | None = None,
) -> None:
    """Connects rows of equal `keys` that agree; every pair of such rows that is not connected
    already is compared.  `keys`: any integers, (n,).  `crowd`: connects the first so many rows of
    a large bucket with all of it, where there is a faster way than pair by pair; the others are
    connected with one another already.
    """
    order = np.argsort(keys)  # any order of equal ones: components do not depend on it
    bounds = np.flatnonzero(np.r_[True, np.diff(keys[order]) != 0, True])
    sizes = np.diff(bounds)
    for at in np.flatnonzero(sizes > LARGE):
        members = order[bounds[at] : bounds[at + 1]]
        forest.join_pivots(members, agree)
        if crowd is not None:
            names, part, counts = np.unique(
                forest.roots(members), return_inverse=True, return_counts=True
            )
            one = part == counts.argmax()
            if len(names) > 1:
                crowd(np.concatenate([members[~one], members[one]]), int((~one).sum()))
    many = np.repeat((sizes > 1) & ((sizes <= LARGE) | (crowd is None)), sizes)
    rows, bucket = order[many], np.repeat(np.arange(len(sizes)), sizes)[many]
    label = forest.roots(rows)
    by = np.lexsort((label, bucket))
    rows, bucket, label = rows[by], bucket[by], label[by]
    if not len(rows):
        return
    new = np.r_[True, (np.diff(bucket) != 0) | (np.diff(label) != 0)]
    run_ends = np.append(np.flatnonzero(new)[1:], len(rows))[np.cumsum(new) - 1]
    bucket_ends = np.searchsorted(bucket, bucket, side="right")
    for piece in pieces(bucket_ends - run_ends):
        which, right = spans(run_ends[piece], bucket_ends[piece])
        forest.join_agreeing(rows[piece][which], rows[right], agree)
