"""Texts that share most of their shingles: MinHash (Broder 1997), bands of its values as keys."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pairmill.schemas.expressions import frame_of
from pairmill.stages.components import Forest, cores, join_buckets, pieces, spans
from pairmill.stages.dedup.config import DedupConfig
from pairmill.stages.dedup.kinds import is_text
from pairmill.stages.dedup.shingles import Shingles, gathered, jaccard, mixed, shingles

MISSED = 0.001
"""Share of pairs at or above the threshold that bands may miss, on average."""


def missed(threshold: float, bands: int, rows: int) -> float:
    """Expected share of missed pairs whose similarity lies evenly between threshold and 1."""
    at = np.linspace(threshold, 1, 200)
    return float(((1 - at**rows) ** bands).mean())


def banding(threshold: float, permutations: int) -> tuple[int, int]:
    """(bands, values of each): the longest that miss no more than MISSED, or the shortest."""
    for rows in range(permutations, 1, -1):
        bands = permutations // rows
        if missed(threshold, bands, rows) <= MISSED:
            return bands, rows
    return permutations, 1


def signatures(texts: Shingles, permutations: int) -> np.ndarray:
    """uint32, (permutations, n): the least value of each hash function over a text's shingles, by
    multiply-shift hashing; for a text without shingles it stands for the whole.
    """
    rng = np.random.default_rng(0x314159)
    factors = rng.integers(0, 2**64, permutations, np.uint64) | np.uint64(1)
    found = np.empty((permutations, len(texts)), np.uint32)
    full = np.flatnonzero(texts.sizes)
    empty = np.flatnonzero(texts.sizes == 0)

    def least(piece: slice) -> None:
        rows = full[piece]
        first, last = texts.starts[rows[0]], texts.starts[rows[-1] + 1]
        values = texts.values[first:last]
        starts = texts.starts[rows] - first
        for number, factor in enumerate(factors):
            hashes = ((values * factor) >> np.uint64(32)).astype(np.uint32)
            found[number, rows] = np.minimum.reduceat(hashes, starts)

    with ThreadPoolExecutor(cores()) as threads:
        list(threads.map(least, pieces(texts.sizes[full], 1 << 15) if len(full) else []))
    for number, factor in enumerate(factors):
        found[number, empty] = (mixed(texts.whole[empty] * factor) >> np.uint64(32)).astype(
            np.uint32
        )
    return found


def band_keys(values: np.ndarray, bands: int, rows: int) -> list[np.ndarray]:
    """One uint64 for each text and band of a signature."""
    found = []
    for band in range(bands):
        key = np.full(values.shape[1], band, np.uint64)
        for value in values[band * rows : (band + 1) * rows]:
            key = mixed(key * np.uint64(0x9E3779B97F4A7C15) + value)
        found.append(key)
    return found


@dataclass
class Texts:
    """Different texts: `which` of them each row has."""

    cut: Shingles
    which: np.ndarray


class Text:
    """MinHash proposes pairs; their true Jaccard similarity decides, unless `verify` is off."""

    similarity = True

    def __init__(self, config: DedupConfig) -> None:
        self.config = config
        self.bands, self.rows = banding(config.least, config.permutations)

    def reads(self, have: list[str]) -> list[str]:
        return list(self.config.on)

    def check(self, schema: pa.Schema) -> None:
        kind = schema.field(self.config.on[0]).type
        if not is_text(kind):
            raise ValueError(f"{self.config.on[0]!r} is {kind}, and `kind: text` compares texts")

    def notes(self) -> list[str]:
        """For the plan: how pairs are found, and how many are not."""
        share = missed(self.config.least, self.bands, self.rows)
        at = (1 - self.config.least**self.rows) ** self.bands
        return [
            f"MinHash: {self.bands} bands of {self.rows} values; of pairs at a similarity of "
            f"{self.config.least:g} or more {share:.2%} are expected to be missed, of those just "
            "at "
            f"it {at:.1%}"
        ]

    def load(self, rows: pa.Table) -> Texts:
        words = self.config.shingles == "words"
        size = self.config.shingle_size or (2 if words else 5)
        found = shingles(frame_of(rows.select(self.config.on))[self.config.on[0]], words, size)
        _, first, which = np.unique(found.whole, return_index=True, return_inverse=True)
        return Texts(taken(found, first), which)

    def unfit(self, seen: Texts) -> tuple[np.ndarray, str]:
        return np.zeros(len(seen.which), bool), ""

    def labels(self, seen: Texts, known: pa.Table | None) -> np.ndarray:
        forest = Forest(len(seen.cut))

        def agree(left: np.ndarray, right: np.ndarray) -> np.ndarray:
            if not self.config.verify:
                return np.ones(len(left), bool)
            return jaccard(seen.cut, seen.cut, left, right) >= self.config.least

        for keys in self.keys_of(seen.cut):
            join_buckets(forest, keys, agree)
        return forest.labels()[seen.which]

    def keys_of(self, texts: Shingles) -> list[np.ndarray]:
        """Band keys of texts."""
        return band_keys(signatures(texts, self.bands * self.rows), self.bands, self.rows)

    def scores(self, seen: Texts, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        return jaccard(seen.cut, seen.cut, seen.which[left], seen.which[right])

    def diameter(self, seen: Texts) -> float | None:
        return 2 * (1 - self.config.least)

    def nearest(self, seen: Texts, others: Texts) -> tuple[np.ndarray, np.ndarray]:
        member = np.full(len(others.cut), -1)
        member[others.which[::-1]] = np.arange(len(others.which))[::-1]  # the first of equal ones
        best = np.full(len(seen.cut), -np.inf)
        found = np.full(len(seen.cut), -1)
        for own, theirs in zip(self.keys_of(seen.cut), self.keys_of(others.cut), strict=True):
            order = np.argsort(theirs, kind="stable")
            first = np.searchsorted(theirs[order], own)
            last = np.searchsorted(theirs[order], own, side="right")
            for piece in pieces(last - first):
                which, right = spans(first[piece], last[piece])
                left, right = np.arange(len(own))[piece][which], order[right]
                score = jaccard(seen.cut, others.cut, left, right)
                near = (score >= self.config.least) | (not self.config.verify)
                left, place, score = left[near], member[right[near]], score[near]
                by = np.lexsort((place, -score, left))
                once = np.r_[True, np.diff(left[by]) != 0][: len(by)]
                left, place, score = left[by][once], place[by][once], score[by][once]
                better = (score > best[left]) | ((score == best[left]) & (place < found[left]))
                best[left[better]], found[left[better]] = score[better], place[better]
        return found[seen.which], np.where(found >= 0, best, np.nan)[seen.which]

    def sample(self, rows: pa.Table, total: int) -> pa.Table | None:
        return None

    def learn(self, samples: pa.Table, total: int) -> pa.Table | None:
        return None

    def spread(self, rows: pa.Table, known: pa.Table | None) -> list[np.ndarray]:
        seen = self.load(rows)
        return [keys[seen.which] for keys in self.keys_of(seen.cut)]


def taken(of: Shingles, rows: np.ndarray) -> Shingles:
    """Some of the texts."""
    starts = np.concatenate([[0], np.cumsum(of.sizes[rows])])
    return Shingles(gathered(of, rows), starts, of.whole[rows])
