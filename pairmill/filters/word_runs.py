"""Which runs of words of a list stand in texts: by hashes of all runs, a whole batch at a time.

A text is words between single spaces, so that a form of a concept is a run of n of them, and its
place in a text is known once the hash of every run of n words is.  With H the sums of byte × pʲ up
to each place j, modulo 2⁶⁴ and p odd, the hash of a run is (H[end] − H[start]) · p⁻ˢᵗᵃʳᵗ: two
subtractions and a product for a run of any length, in NumPy, without a step of Python for each
match.  Runs are equal where hash and length are: of a million captions and a hundred thousand
forms, one in ten million such sets would hold a false match.
"""

from collections.abc import Sequence

import numpy as np

BASE = 0x9E3779B97F4A7C15 | 1
"""p, odd, so that it has an inverse modulo 2⁶⁴."""
BITS = 22
"""Of a hash, by which most runs are refused: a table of so many places says which are taken."""
SPACE = 32
PIECE = 2**20
"""Bytes that are looked at together."""


class WordRuns:
    """Forms, each of words between single spaces, that are found in texts at once."""

    def __init__(self, forms: Sequence[bytes]) -> None:
        self.piece = PIECE
        self.powers = Powers()
        every = [np.frombuffer(form, np.uint8) for form in forms]
        hashes = np.array([self.powers.hash_of(form) for form in every], np.uint64)
        self.order = np.argsort(hashes, kind="stable")
        """Number of the form at each place of `hashes`."""
        self.hashes = hashes[self.order]
        self.sizes = np.array([len(form) for form in forms], np.int64)[self.order]
        self.words = sorted({form.count(b" ") + 1 for form in forms})
        held = np.bincount(drawer(self.hashes), minlength=2**BITS)
        self.taken = held > 0
        self.drawers = np.concatenate([[0], np.cumsum(held)]).astype(np.int32)
        """Where the hashes begin that share their first bits."""

    def __call__(self, data: bytes) -> tuple[np.ndarray, np.ndarray]:
        """(place, form) of every run found, int64 each, a piece at a time: a long text needs no
        more memory than many short ones.
        """
        longest = int(self.sizes.max()) + 2
        places, numbers = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        for first in range(0, len(data), self.piece):
            place, number = self.within(data[first : first + self.piece + longest])
            here = place <= self.piece  # the space before it is the piece's own
            places.append(place[here] + first)
            numbers.append(number[here])
        return np.concatenate(places), np.concatenate(numbers)

    def within(self, data: bytes) -> tuple[np.ndarray, np.ndarray]:
        """(place, form) of the runs between spaces of a piece."""
        bytes_ = np.frombuffer(data, np.uint8)
        spaces = np.flatnonzero(bytes_ == SPACE)
        power, inverse = self.powers(len(data))
        sums = np.multiply(bytes_, power, dtype=np.uint64)
        np.cumsum(sums, out=sums)
        # up to and with the space before a run; up to the last byte before the space behind it
        before, undone, behind = sums[spaces], inverse[spaces + 1], sums[spaces - 1]
        places, numbers = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        for words in self.words:
            runs = (behind[words:] - before[:-words]) * undone[:-words]
            drawers = drawer(runs)
            likely = np.flatnonzero(self.taken[drawers])
            first = self.drawers[drawers[likely]]
            times = self.drawers[drawers[likely] + 1] - first
            at = np.repeat(likely, times)
            nth = np.arange(len(at)) - np.repeat(np.cumsum(times) - times, times)
            form = np.repeat(first, times) + nth
            starts = spaces[at] + 1
            same = (self.hashes[form] == runs[at]) & (
                self.sizes[form] == spaces[at + words] - starts
            )
            places.append(starts[same])
            numbers.append(self.order[form[same]])
        return np.concatenate(places), np.concatenate(numbers)


def drawer(hashes: np.ndarray) -> np.ndarray:
    """The first bits of hashes, int64."""
    return (hashes >> np.uint64(64 - BITS)).astype(np.int64)


class Powers:
    """pʲ and p⁻ʲ modulo 2⁶⁴ for the first places j, as many as were asked for."""

    def __init__(self) -> None:
        self.power = self.inverse = np.ones(1, np.uint64)

    def __call__(self, places: int) -> tuple[np.ndarray, np.ndarray]:
        """pʲ of so many places, and p⁻ʲ of one more."""
        if len(self.power) <= places:
            size = 2 * places + 1
            self.power, self.inverse = running(BASE, size), running(pow(BASE, -1, 2**64), size)
        return self.power[:places], self.inverse[: places + 1]

    def hash_of(self, form: np.ndarray) -> int:
        """The hash of a form by itself."""
        power, _ = self(len(form))
        return int((form * power).sum(dtype=np.uint64))


def running(base: int, size: int) -> np.ndarray:
    """baseʲ modulo 2⁶⁴ for j below `size`."""
    each = np.full(size, base, np.uint64)
    each[0] = 1
    return np.multiply.accumulate(each)
