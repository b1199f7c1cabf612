"""All pairs of binary hashes within a Hamming radius, exactly, by multi-index hashing (Norouzi,
Punjani, Fleet, "Fast Search in Hamming Space with Multi-Index Hashing", 2012).

The bits are cut into bands.  Where two hashes differ in at most r bits, and the bands' flips + 1
sum up to r + 1, they differ in one band in no more than its flips; so it is enough to look, for
every hash and band, at those whose band is the same but for so many bits.
"""

import itertools
import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np

from pairmill.stages.components import LARGE, Agree, Forest, cores, join_buckets, pieces, spans

ROW_NS, PAIR_NS = 6.0, 9.0
"""Measured cost of a row and of a pair for each flip mask, for the choice of bands."""
WIDEST = 22
"""Bits of a band's key; a table of its starts has 2 to the power of that."""
DENSE = 32
"""Rows of a partner bucket from which it is worth knowing which are connected already."""


Alike = Callable[[np.ndarray, int], Iterator[tuple[np.ndarray, np.ndarray]]]
"""Positions of rows, and how many of the first are wanted with all → (left, right) of pairs among
which are all that agree, block by block.
"""


@dataclass(frozen=True)
class Band:
    """Bits [low, low + width) of the hashes, in which pairs differ in at most `flips`."""

    low: int
    width: int
    flips: int

    def keys(self, words: np.ndarray) -> np.ndarray:
        """int64, (n,): the band's bits of hashes given as uint64 words, (n, bits / 64)."""
        word, shift = divmod(self.low, 64)
        found = words[:, word] >> np.uint64(shift)
        if shift + self.width > 64:
            found = found | (words[:, word + 1] << np.uint64(64 - shift))
        return (found & np.uint64((1 << self.width) - 1)).astype(np.int64)

    def masks(self) -> Iterator[int]:
        """Every way to flip at most `flips` bits, fewest first; the first is 0."""
        for count in range(self.flips + 1):
            for bits in itertools.combinations(range(self.width), count):
                yield sum(1 << b for b in bits)


def bands_for(bits: int, radius: int, rows: int, count: int | None = None) -> list[Band]:
    """The bands that cost least for so many rows, or `count` of them."""
    best: tuple[float, list[Band]] = (math.inf, [])
    for m in [count] if count else range(1, min(radius + 1, bits // 4) + 1):
        edges = np.linspace(0, bits, m + 1).astype(int)
        each, more = divmod(radius + 1 - m, m)
        found, cost = [], 0.0
        for i, (low, high) in enumerate(itertools.pairwise(edges)):
            band = Band(int(low), min(int(high - low), WIDEST), each + (i < more))
            masks = sum(math.comb(band.width, k) for k in range(band.flips + 1))
            pair_ns = PAIR_NS * (1 + bits // 128)
            cost += masks * rows * (ROW_NS + rows / 2 ** (band.width + 1) * pair_ns)
            found.append(band)
        best = min(best, (cost, found), key=lambda choice: choice[0])
    return best[1]


def distances(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Hamming distances of hashes in pairs, int64; words as uint64, (n, bits / 64)."""
    if left.shape[1] == 1:
        return np.bitwise_count(left[:, 0] ^ right[:, 0]).astype(np.int64)
    return np.bitwise_count(left ^ right).sum(1, dtype=np.int64)


def join_within(
    forest: Forest,
    words: np.ndarray,
    radius: int,
    agree: Agree | None,
    bands: list[Band],
    alike: Alike | None = None,
) -> None:
    """Connects all hashes within the radius (whose pairs `agree`, where that is given).  `alike`:
    gives all pairs of many rows that may agree.
    """

    def near(left: np.ndarray, right: np.ndarray) -> np.ndarray:
        found = distances(words[left], words[right]) <= radius
        if agree is not None and found.any():
            at = np.flatnonzero(found)
            found[at] = agree(left[at], right[at])
        return found

    keys = [band.keys(words) for band in bands]
    for number in range(len(bands)):

        def fresh(left: np.ndarray, right: np.ndarray, number: int = number) -> np.ndarray:
            """Near pairs that no earlier band has brought together: those were compared there."""
            found = np.ones(len(left), bool)
            for earlier in keys[:number]:
                found &= earlier[left] != earlier[right]
            at = np.flatnonzero(found)
            found[at] = near(left[at], right[at])
            return found

        def crowd(members: np.ndarray, first: int, number: int = number) -> None:
            """Pairs of a large bucket, unless an earlier band has brought all together."""
            if any((earlier[members] == earlier[members[0]]).all() for earlier in keys[:number]):
                return
            assert alike is not None
            for left, right in alike(members, first):
                forest.join_agreeing(left, right, near)

        every = crowd if alike is not None else None
        join_buckets(forest, keys[number], fresh if agree is not None else near, every)
    for band in bands:
        if not band.flips:
            continue
        table = BandTable.of(band.keys(words), band.width, forest.labels())
        if table.join_balls(forest, list(band.masks()), near):
            table = BandTable.of(band.keys(words), band.width, forest.labels())
        masks = itertools.islice(band.masks(), 1, None)
        look = partial(table.partners, words[table.order], radius)
        with ThreadPoolExecutor(cores()) as threads:
            for found in threads.map(look, masks):
                for left, right in found:
                    forest.join_agreeing(left, right, agree or always)


def always(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Every pair agrees."""
    return np.ones(len(left), bool)


@dataclass
class BandTable:
    """Rows sorted by a band's key, and within a key by what they are connected with."""

    order: np.ndarray
    """Positions of rows, int64."""
    keys: np.ndarray
    """Sorted, int64."""
    starts: np.ndarray
    """Where each key begins, int32, (2 ** width + 1,)."""
    labels: np.ndarray
    together: np.ndarray | None
    """key << 40 | label, sorted, where some bucket is large."""
    whole: np.ndarray | None
    """For each key the label that all its rows share, or -1."""

    @classmethod
    def of(cls, keys: np.ndarray, width: int, labels: np.ndarray) -> "BandTable":
        """Sorts."""
        order = np.lexsort((labels, keys))
        counts = np.bincount(keys, minlength=1 << width)
        starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
        keys, labels, together, whole = keys[order], labels[order], None, None
        if counts.max(initial=0) > LARGE:
            together = keys << 40 | labels
            whole = np.full(1 << width, -1)
            there = np.flatnonzero(counts)
            first, last = labels[starts[there]], labels[starts[there + 1] - 1]
            whole[there] = np.where(first == last, first, -1)
        return cls(order, keys, starts, labels, together, whole)

    def join_balls(self, forest: Forest, masks: list[int], near: Agree) -> bool:
        """Connects what is alike around each large bucket to a few rows of it; whether there is
        a bucket that large.
        """
        large = np.flatnonzero(np.diff(self.starts) > LARGE)
        for key in large:
            around = key ^ np.array(masks)
            _, places = spans(self.starts[around], self.starts[around + 1])
            forest.join_pivots(self.order[places], near)
        return bool(len(large))

    def partners(
        self, sorted_words: np.ndarray, radius: int, mask: int
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """Pairs within the radius whose keys differ in exactly the bits of `mask`, each once."""
        high, pairs = mask.bit_length() - 1, []
        for start in range(0, len(self.keys), 1 << 16):
            keys = self.keys[start : start + (1 << 16)]
            rows = np.flatnonzero(keys >> high & 1 == 0)
            other = keys[rows] ^ mask
            first, last = self.starts[other], self.starts[other + 1]
            rows += start
            if self.whole is not None:
                last = np.where(self.whole[other] == self.labels[rows], first, last)
            some = np.flatnonzero(last > first)
            rows, first, last = rows[some], first[some], last[some]
            if self.together is not None:
                rows, first, last = self.without_own(rows, keys[rows - start] ^ mask, first, last)
            for piece in pieces(last - first):
                which, right = spans(first[piece], last[piece])
                left = rows[piece][which]
                near = distances(sorted_words[left], sorted_words[right]) <= radius
                if near.any():
                    pairs.append((self.order[left[near]], self.order[right[near]]))
        return pairs

    def without_own(
        self, rows: np.ndarray, other: np.ndarray, first: np.ndarray, last: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Ranges of large partner buckets, cut in two around the rows that are connected
        already.
        """
        assert self.together is not None
        large = last - first > DENSE
        if not large.any():
            return rows, first, last
        own = other[large] << 40 | self.labels[rows[large]]
        low = np.searchsorted(self.together, own)
        high = np.searchsorted(self.together, own, side="right")
        return (
            np.concatenate([rows[~large], rows[large], rows[large]]),
            np.concatenate([first[~large], first[large], high]),
            np.concatenate([last[~large], low, last[large]]),
        )


def nearest_within(
    words: np.ndarray, others: np.ndarray, radius: int, agree: Agree | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """For each hash the nearest of `others` within the radius (the first of equally near ones; -1
    for none), and its distance.
    """
    found, best = np.full(len(words), -1), np.full(len(words), radius + 1)
    bands = bands_for(words.shape[1] * 64, radius, max(len(words), len(others), 1))
    for band in bands:
        table = BandTable.of(band.keys(others), band.width, np.arange(len(others)))
        keys = band.keys(words)
        for mask in band.masks():
            other = keys ^ mask
            first, last = table.starts[other], table.starts[other + 1]
            rows = np.flatnonzero(last > first)
            for piece in pieces((last - first)[rows]):
                which, right = spans(first[rows[piece]], last[rows[piece]])
                left, right = rows[piece][which], table.order[right]
                apart = distances(words[left], others[right])
                near = apart <= best[left]
                left, right, apart = left[near], right[near], apart[near]
                if agree is not None:
                    fine = agree(left, right)
                    left, right, apart = left[fine], right[fine], apart[fine]
                by = np.lexsort((right, apart, left))
                left, right, apart = left[by], right[by], apart[by]
                once = np.r_[True, np.diff(left) != 0][: len(left)]
                left, right, apart = left[once], right[once], apart[once]
                better = (apart < best[left]) | ((apart == best[left]) & (right < found[left]))
                found[left[better]], best[left[better]] = right[better], apart[better]
    return found, best
