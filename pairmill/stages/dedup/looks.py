"""Pictures that look alike: hashes within a Hamming radius whose thumbnails agree."""

from collections.abc import Iterator

import numpy as np

from pairmill.stages.components import Forest
from pairmill.stages.dedup.hamming import bands_for, join_within, nearest_within

AT_ONCE = 20_000
SIDE = 512
"""Pictures that are multiplied with all others in one go."""
PARTS = 12
"""Into so many parts a thumbnail is summed up, to tell different ones apart at once."""


class Looks:
    """Different pictures: hashes, and thumbnails where there are any.

    `words`: uint64, (n, bits / 64).  `pixels`: uint8, (n, values of a thumbnail), or None.
    """

    def __init__(
        self,
        words: np.ndarray,
        pixels: np.ndarray | None,
        max_difference: float,
        max_cell: float = 255,
    ) -> None:
        self.words, self.pixels = words, pixels
        self.max_difference, self.max_cell = max_difference, max_cell
        self.compared = 0
        """Pairs of thumbnails that were compared whole."""
        self.multiplied = 0
        """Pairs of thumbnails whose difference was told by a product."""
        if pixels is not None:
            ends = np.unique(np.linspace(0, pixels.shape[1], PARTS + 1).astype(int)[:-1])
            self.sizes = np.diff(np.append(ends, pixels.shape[1]))
            sums = np.add.reduceat(pixels, ends, axis=1, dtype=np.int32)
            self.parts = np.ascontiguousarray(sums.T)

    def agree(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Whether the thumbnails of pairs agree, bool."""
        return agreement(self, self, left, right)

    def components(self, radius: int, count: int | None = None) -> np.ndarray:
        """For each picture the number of one that stands for its component.  `count`: bands."""
        forest = Forest(len(self.words))
        bands = bands_for(self.words.shape[1] * 64, radius, len(self.words), count)
        if self.pixels is None:
            join_within(forest, self.words, radius, None, bands)
        else:
            join_within(forest, self.words, radius, self.agree, bands, self.alike)
        return forest.labels()

    def alike(self, members: np.ndarray, first: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """All pairs of the first pictures with any whose thumbnails may agree, block by block.

        Where values differ by c at most and by m in the mean, their squared differences sum up to
        no more than n · c · m; these sums are one matrix product, exact in float32.
        """
        assert self.pixels is not None
        values = self.pixels[members].astype(np.float32)
        limit = self.max_cell * self.max_difference * values.shape[1]
        squares = np.einsum("nv,nv->n", values, values)
        for start in range(0, first, SIDE):
            block = slice(start, min(start + SIDE, first))
            apart = values[block] @ values[start:].T
            self.multiplied += apart.size
            apart *= -2
            apart += squares[start:]
            close = apart <= (limit + 1 - squares[block])[:, None]
            left, right = np.nonzero(close)
            once = right > left
            yield members[left[once] + start], members[right[once] + start]

    def nearest(self, others: "Looks", radius: int) -> tuple[np.ndarray, np.ndarray]:
        """For each picture the nearest of `others` that looks like it, or -1; and its distance."""

        def agree(left: np.ndarray, right: np.ndarray) -> np.ndarray:
            return agreement(self, others, left, right)

        pictured = self.pixels is not None and others.pixels is not None
        return nearest_within(self.words, others.words, radius, agree if pictured else None)


def agreement(one: Looks, two: Looks, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Whether thumbnails in pairs differ by no more than `one` allows, in the mean and in each
    value.
    """
    found = np.zeros(len(left), bool)
    assert one.pixels is not None
    assert two.pixels is not None
    values = one.pixels.shape[1]
    for start in range(0, len(left), AT_ONCE):
        i, j = left[start : start + AT_ONCE], right[start : start + AT_ONCE]
        # sums over parts differ by no more than the values do: what they tell apart is apart
        at = np.arange(len(i))
        total = np.zeros(len(i), np.int32)
        for size, ours, theirs in zip(one.sizes, one.parts, two.parts, strict=True):
            apart = np.abs(ours[i[at]] - theirs[j[at]])
            total += apart
            close = (total <= one.max_difference * values) & (apart <= one.max_cell * size)
            at, total = at[close], total[close]
        one.compared += len(at)
        apart = np.abs(one.pixels[i[at]].astype(np.int16) - two.pixels[j[at]])
        near = (apart.mean(1) <= one.max_difference) & (apart.max(1) <= one.max_cell)
        found[start + at[near]] = True
    return found


def distinct(words: np.ndarray, pixels: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """(positions of one row of each different look, for each row the number of its look)."""
    parts = [words]
    if pixels is not None:
        padded = np.pad(pixels, ((0, 0), (0, -pixels.shape[1] % 8)))
        parts.append(np.ascontiguousarray(padded).view(np.uint64))
    rows = np.concatenate(parts, axis=1)
    rng = np.random.default_rng(0)
    factors = rng.integers(0, 2**64, (2, rows.shape[1]), np.uint64) | np.uint64(1)
    mixed = [((rows ^ (rows >> np.uint64(29))) * f).sum(1, dtype=np.uint64) for f in factors]
    # two sums of 64 bits: rows that differ share both by chance once in 10^38 pairs
    keys = np.stack(mixed, 1).view(np.dtype((np.void, 16))).ravel()
    _, first, which = np.unique(keys, return_index=True, return_inverse=True)
    return first, which


def components(
    words: np.ndarray,
    pixels: np.ndarray | None,
    radius: int,
    max_difference: float = 255,
    max_cell: float = 255,
) -> np.ndarray:
    """The component of each row, as any number that its rows share; equal pictures are one."""
    if not len(words):
        return np.zeros(0, np.int64)
    first, which = distinct(words, pixels)
    looks = Looks(words[first], None if pixels is None else pixels[first], max_difference, max_cell)
    return looks.components(radius)[which]
