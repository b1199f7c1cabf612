"""Texts as sets of shingles: hashes of runs of words or characters, for whole columns at once."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import polars as pl
import pyarrow as pa

from pairmill.stages.components import cores
from pairmill.stages.dedup.normal import normal_texts

AT_ONCE = 50_000
"""Texts that are cut in one go; fewer than 2 to the power of 16."""
SPACELESS = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}"
"""Scripts that put no space between words: each character counts as a word."""
FACTOR = np.uint64(0x9E3779B97F4A7C15)
INVERSE = np.uint64(pow(0x9E3779B97F4A7C15, -1, 2**64))
"""FACTOR · INVERSE = 1 modulo 2^64."""
_RNG = np.random.default_rng(0x5417)
OF_BYTE = _RNG.integers(1, 2**64, 256, np.uint64)
"""What each byte counts in a hash."""


@dataclass
class Shingles:
    """`values`: uint64 below 2^48, those of each text sorted and each once.  `starts`: int64,
    (n + 1,), where each text's begin.  `whole`: uint64, (n,), the hash of the whole text.
    """

    values: np.ndarray
    starts: np.ndarray
    whole: np.ndarray

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def sizes(self) -> np.ndarray:
        """Different shingles of each text."""
        return np.diff(self.starts)


def shingles(texts: pl.Series, words: bool, size: int) -> Shingles:
    """Of texts, made alike first (normal.py).  A text of fewer than `size` words (or characters)
    has
    none, so that only equal ones are duplicates.
    """
    pieces = [texts[i : i + AT_ONCE] for i in range(0, len(texts), AT_ONCE)]
    with ThreadPoolExecutor(cores()) as threads:
        parts = list(threads.map(lambda piece: cut(normal_texts(piece), words, size), pieces))
    if not parts:
        none = np.zeros(0, np.uint64)
        return Shingles(none, np.zeros(1, np.int64), none)
    counts = np.concatenate([p.sizes for p in parts])
    return Shingles(
        np.concatenate([p.values for p in parts]),
        np.concatenate([[0], np.cumsum(counts)]),
        np.concatenate([p.whole for p in parts]),
    )


def cut(texts: pl.Series, words: bool, size: int) -> Shingles:
    """The shingles of one piece of a column."""
    if words and texts.str.contains(f"[{SPACELESS}]").any():
        texts = texts.str.replace_all(f"([{SPACELESS}])", " $1 ").str.replace_all(" +", " ")
        texts = texts.str.strip_chars()
    array = texts.to_arrow().cast(pa.large_string())
    offsets = np.frombuffer(array.buffers()[1], np.int64)[array.offset :][: len(array) + 1]
    data = np.frombuffer(array.buffers()[2] or b"", np.uint8)[offsets[0] : offsets[-1]]
    offsets = offsets - offsets[0]
    # unit: a word with the space after it, or a character; both begin where it does
    begins = data & 0xC0 != 0x80
    if words:
        begins = np.r_[True, data[:-1] == ord(" ")][: len(data)]
        begins[offsets[:-1][np.diff(offsets) > 0]] = True
    first = np.flatnonzero(begins)
    text_of = np.searchsorted(offsets, first, side="right") - 1
    units = np.bincount(text_of, minlength=len(array))
    ends = np.append(first[1:], len(data))
    if words:  # the space that parts words counts in no hash
        data_end = offsets[text_of + 1]
        ends = np.where(ends < data_end, ends - 1, data_end)
    total = prefix_sums(data)
    inverse = powers(INVERSE, len(data) + 1)
    last = np.arange(len(first)) + size - 1
    fits = last < np.cumsum(units)[text_of]
    begin, end = first[fits], ends[last[fits]]
    values = mixed((total[end] - total[begin]) * inverse[begin])
    whole = mixed((total[offsets[1:]] - total[offsets[:-1]]) * inverse[offsets[:-1]])
    # one number to sort by: the text, and of its hash the upper 48 bits, of which a pair of
    # captions shares one by chance once in 10^12
    both = np.sort(text_of[fits].astype(np.uint64) << np.uint64(48) | values >> np.uint64(16))
    both = both[np.r_[True, both[1:] != both[:-1]][: len(both)]]
    counts = np.bincount((both >> np.uint64(48)).astype(np.int64), minlength=len(array))
    values = both & np.uint64((1 << 48) - 1)
    return Shingles(values, np.concatenate([[0], np.cumsum(counts)]), whole)


def prefix_sums(data: np.ndarray) -> np.ndarray:
    """Sum over the first i bytes of what each counts times FACTOR ^ its place, modulo 2^64."""
    return np.concatenate(
        [np.zeros(1, np.uint64), np.cumsum(OF_BYTE[data] * powers(FACTOR, len(data)))]
    )


def powers(base: np.uint64, count: int) -> np.ndarray:
    """base ^ 0 … base ^ (count - 1), modulo 2^64."""
    return _powers(int(base), 1 << max(16, (count - 1).bit_length()))[:count]


@lru_cache(maxsize=8)
def _powers(base: int, count: int) -> np.ndarray:
    found = np.full(count, base, np.uint64)
    found[0] = 1
    return np.multiply.accumulate(found)


def mixed(values: np.ndarray) -> np.ndarray:
    """Every bit of a hash made to depend on all (the finaliser of MurmurHash3)."""
    for shift, factor in ((33, 0xFF51AFD7ED558CCD), (33, 0xC4CEB9FE1A85EC53)):
        values = (values ^ (values >> np.uint64(shift))) * np.uint64(factor)
    return values ^ (values >> np.uint64(33))


def jaccard(one: Shingles, two: Shingles, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Jaccard similarity of pairs of texts, float64; texts without shingles are 1 or 0."""
    from scipy.sparse import csr_matrix

    found = np.empty(len(left))
    for start in range(0, len(left), AT_ONCE):
        part = slice(start, start + AT_ONCE)
        i, j = left[part], right[part]
        names, which = np.unique(
            np.concatenate([gathered(one, i), gathered(two, j)]), return_inverse=True
        )
        sizes = (one.sizes[i], two.sizes[j])
        sides, at = [], 0
        for size in sizes:
            columns = which[at : at + size.sum()]
            at += int(size.sum())
            starts = np.concatenate([[0], np.cumsum(size)])
            ones = np.ones(len(columns), np.int32)
            sides.append(csr_matrix((ones, columns, starts), (len(i), max(len(names), 1))))
        both = np.asarray(sides[0].multiply(sides[1]).sum(1)).ravel()
        every = sizes[0] + sizes[1] - both
        equal = one.whole[i] == two.whole[j]
        found[part] = np.where(equal, 1.0, both / np.maximum(every, 1))
    return found


def gathered(of: Shingles, rows: np.ndarray) -> np.ndarray:
    """The shingles of some texts, one after the other."""
    sizes = of.sizes[rows]
    ends = np.cumsum(sizes)
    return of.values[np.arange(ends[-1] if len(ends) else 0) + np.repeat(
        of.starts[rows] - (ends - sizes), sizes)]  # fmt: skip
