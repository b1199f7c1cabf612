"""Connected components of more pairs than one process holds, in steps that each look at a part of
the pairs, or at a part of the rows.

Every row of a pair has a parent, at first itself, kept by the part that owns the row.  In a round,
each part of the pairs replaces rows by their roots and drops pairs that have become one; of the
pairs that are left each root is hung below its smallest neighbour, and trees are made flat by
asking for the parent's parent until nothing changes (hooking and pointer jumping, after Shiloach
and Vishkin, "An O(log n) Parallel Connectivity Algorithm", 1982).  A part sends each row but once,
so a row with a hundred million duplicates is no burden to its owner.  Rounds grow with the
logarithm of the longest chain.

Rows are numbers below `total`; part i of n owns a range of them.  A set of rows with their parents
or roots is int64, (2, m), the rows ascending.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

Part = Any
"""An array, or what stands for one that is elsewhere."""


class StepHands(Protocol):
    """Who does the steps."""

    def each(
        self, work: Callable[..., list[Any]], arguments: Sequence[Sequence[Any]], results: int
    ) -> list[list[Part]]:
        """`work` of each set of arguments, which may be results of earlier steps; so many results
        each.
        """

    def value(self, part: Part) -> Any:
        """A result itself."""


def far_components(
    pairs: Sequence[Sequence[Part]], total: int, hands: StepHands
) -> tuple[list[Part], int]:
    """For each part of the rows those that stand in a pair, with the smallest row of their
    component; and the number of rounds.  `pairs`: blocks of each part, tables of two columns.
    """
    n = len(pairs)
    begun = hands.each(begin, [[total, n, *blocks] for blocks in pairs], n + 1)
    edges = [one[0] for one in begun]
    trees = single(hands.each(own, [column(begun, 1 + part) for part in range(n)], 1))
    rounds = 0
    while True:
        asked = hands.each(ask, [[total, n, part] for part in edges], n)
        roots = hands.each(answer, [[trees[i], *column(asked, i)] for i in range(n)], n)
        met = hands.each(
            contract,
            [[total, n, edges[i], *asked[i], *column(roots, i)] for i in range(n)],
            n + 2,
        )
        edges = [one[0] for one in met]
        if not any(hands.value(one[1]) for one in met):
            return trees, rounds
        rounds += 1
        trees = single(hands.each(hook, [[trees[i], *column(met, 2 + i)] for i in range(n)], 1))
        trees = flattened(trees, total, hands)


def flattened(trees: list[Part], total: int, hands: StepHands) -> list[Part]:
    """Trees in which every parent is a root."""
    n = len(trees)
    while True:
        asked = hands.each(ask_parents, [[total, n, tree] for tree in trees], n)
        roots = hands.each(answer, [[trees[i], *column(asked, i)] for i in range(n)], n)
        jumped = hands.each(
            jump, [[n, trees[i], *asked[i], *column(roots, i)] for i in range(n)], 2
        )
        trees = [one[0] for one in jumped]
        if not any(hands.value(one[1]) for one in jumped):
            return trees


def near_components(blocks: Iterable[pa.Table]) -> np.ndarray:
    """As `far_components` of one part, by SciPy, where all pairs are here."""
    from scipy.sparse import coo_matrix  # a third of a second that few commands need
    from scipy.sparse.csgraph import connected_components

    pairs = array_of(blocks)
    rows, place = np.unique(pairs, return_inverse=True)
    ends = place.reshape(2, -1)
    edges = coo_matrix((np.ones(ends.shape[1], bool), (ends[0], ends[1])), [len(rows)] * 2)
    _, part = connected_components(edges, directed=False)
    _, first = np.unique(part, return_index=True)  # rows ascend: the first is the least
    return np.stack([rows, rows[first][part]])


def array_of(blocks: Iterable[pa.Table]) -> np.ndarray:
    """Pairs of all blocks, int64, (2, k)."""
    whole = [np.stack([c.to_numpy() for c in b.columns]) for b in blocks if b.num_rows]
    return np.concatenate([np.zeros((2, 0), np.int64), *whole], axis=1)


def begin(total: int, parts: int, *blocks: pa.Table) -> list[np.ndarray]:
    """A part's pairs as one, and its rows for each owner."""
    edges = array_of(blocks)
    return [edges, *dealt(np.unique(edges)[None], total, parts)]


def own(*rows: np.ndarray) -> list[np.ndarray]:
    """The rows of an owner, each its own parent."""
    every = np.unique(np.concatenate(rows, axis=1))
    return [np.stack([every, every])]


def ask(total: int, parts: int, edges: np.ndarray) -> list[np.ndarray]:
    """Rows of a part's pairs, for each owner."""
    return dealt(np.unique(edges)[None], total, parts)


def ask_parents(total: int, parts: int, tree: np.ndarray) -> list[np.ndarray]:
    """Parents of an owner's rows, for each owner of these."""
    return dealt(np.unique(tree[1])[None], total, parts)


def answer(tree: np.ndarray, *asked: np.ndarray) -> list[np.ndarray]:
    """The parents of rows that were asked for."""
    return [parents_of(tree, rows[0])[None] for rows in asked]


def contract(
    total: int, parts: int, edges: np.ndarray, *told: np.ndarray
) -> list[np.ndarray | int]:
    """A part's pairs between roots, without those that have become one, and their number; then,
    for each owner, its roots with their smallest neighbours.  `told`: rows that were asked for, by
    owner, then their roots.
    """
    ends = renamed(edges, parts, told)
    low, high = ends.min(axis=0), ends.max(axis=0)
    at = np.lexsort((low, high))
    at = at[low[at] != high[at]]
    left = np.stack([high[at], low[at]])
    left = left[:, changes(left[0]) | changes(left[1])]
    return [left, left.shape[1], *dealt(left[:, changes(left[0])], total, parts)]


def hook(tree: np.ndarray, *below: np.ndarray) -> list[np.ndarray]:
    """An owner's roots, each below the smallest of its neighbours."""
    rows, under = np.concatenate(below, axis=1)
    parents = tree[1].copy()
    np.minimum.at(parents, np.searchsorted(tree[0], rows), under)
    return [np.stack([tree[0], parents])]


def jump(parts: int, tree: np.ndarray, *told: np.ndarray) -> list[np.ndarray | bool]:
    """An owner's rows below their parents' parents, and whether that changed anything."""
    parents = renamed(tree[1], parts, told)
    return [np.stack([tree[0], parents]), bool((parents != tree[1]).any())]


def renamed(rows: np.ndarray, parts: int, told: Sequence[np.ndarray]) -> np.ndarray:
    """Rows by what their owners answered."""
    asked = np.concatenate(told[:parts], axis=1)[0]
    answers = np.concatenate(told[parts:], axis=1)[0]
    return answers[np.searchsorted(asked, rows)] if len(asked) else rows


def parents_of(tree: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The parent of each row; a row that stands in no pair is its own."""
    if not tree.shape[1]:
        return rows
    at = np.minimum(np.searchsorted(tree[0], rows), tree.shape[1] - 1)
    return np.where(tree[0][at] == rows, tree[1][at], rows)


def owners(rows: np.ndarray, total: int, parts: int) -> np.ndarray:
    """The part that owns each row."""
    return rows * parts // max(1, total)


def dealt(rows: np.ndarray, total: int, parts: int) -> list[np.ndarray]:
    """Rows, ascending, with what stands beside them, cut for each owner; (k, m)."""
    cuts = [-(-part * total // parts) for part in range(1, parts)]
    return np.split(rows, np.searchsorted(rows[0], cuts), axis=1)


def changes(values: np.ndarray) -> np.ndarray:
    """Whether each value differs from the one before it."""
    return np.diff(values, prepend=-1) != 0


def column(results: Sequence[Sequence[Part]], number: int) -> list[Part]:
    """The same result of each."""
    return [one[number] for one in results]


def single(results: list[list[Part]]) -> list[Part]:
    """The only result of each."""
    return column(results, 0)
