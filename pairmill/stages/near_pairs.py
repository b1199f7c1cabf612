"""Components of pictures that look alike: hashes within a Hamming radius whose thumbnails agree.

Exact: two hashes that differ in at most r bits agree in one of r + 1 bands, so only pictures of one
band's value are compared.  Pictures that are connected already are not compared again, so a look
that comes ten thousand times costs its number, not the square of it.
"""

import itertools
from dataclasses import dataclass

import numpy as np

PAIRS_AT_ONCE = 4_000_000
THUMBNAILS_AT_ONCE = 50_000
PARTS = 12
"""Into so many parts a thumbnail is summed up, to tell different ones apart at once."""
PIVOTS = 32
"""Pictures of a bucket that are compared with all others of it before pairs are enumerated."""


@dataclass
class Looks:
    """Different pictures; `parent` links those that are connected, as a forest."""

    hashes: np.ndarray
    """uint64, (n,)."""
    pixels: np.ndarray
    """uint8, (n, values of a thumbnail)."""
    radius: int
    max_difference: float

    compared: int = 0
    """Pairs of thumbnails that were compared."""

    def __post_init__(self) -> None:
        self.parent = np.arange(len(self.hashes))
        ends = np.linspace(0, self.pixels.shape[1], PARTS + 1).astype(int)[:-1]
        self.parts = np.add.reduceat(self.pixels, np.unique(ends), axis=1, dtype=np.int32)
        edges = np.linspace(0, 64, self.radius + 2).astype(int)
        self.bands = [
            (np.uint64(low), np.uint64((1 << int(high - low)) - 1))
            for low, high in itertools.pairwise(edges)
        ]

    def components(self) -> np.ndarray:
        """For each picture the number of one that stands for its component."""
        for number, (shift, mask) in enumerate(self.bands):
            key = (self.hashes >> shift) & mask
            order = np.argsort(key, kind="stable")
            starts = np.flatnonzero(np.r_[True, np.diff(key[order]) != 0, True])
            for first, end in itertools.pairwise(starts):
                if end - first > 1:
                    self.join(order[first:end], number)
        return self.roots(np.arange(len(self.hashes)))

    def roots(self, members: np.ndarray) -> np.ndarray:
        found = self.parent[members]
        while True:
            above = self.parent[found]
            if np.array_equal(above, found):
                self.parent[members] = found
                return found
            found = above

    def join(self, members: np.ndarray, band: int) -> None:
        """Connects what is alike among the pictures of one bucket."""
        for pivot in members[:PIVOTS]:  # a look that is there many times falls together here
            roots = self.roots(members)
            others = members[roots != self.parent[pivot]]
            if not len(others):
                return
            near = others[np.bitwise_count(self.hashes[others] ^ self.hashes[pivot]) <= self.radius]
            self.connect(np.full(len(near), pivot), near)
        roots = self.roots(members)
        names, counts = np.unique(roots, return_counts=True)
        largest = roots == names[counts.argmax()]
        outside = members[~largest]
        step = max(1, PAIRS_AT_ONCE // len(members))
        for start in range(0, len(outside), step):
            block = outside[start : start + step]
            differing = self.hashes[block][:, None] ^ self.hashes[members][None, :]
            i, j = np.nonzero(np.bitwise_count(differing) <= self.radius)
            xor = differing[i, j]
            fresh = largest[j] | (block[i] < members[j])  # of two that are outside, once
            for shift, mask in self.bands[:band]:  # a pair is looked at in the first band it shares
                fresh &= (xor >> shift) & mask != 0
            self.connect(block[i[fresh]], members[j[fresh]])

    def connect(self, left: np.ndarray, right: np.ndarray) -> None:
        """Connects pairs whose thumbnails agree, piece by piece."""
        for start in range(0, len(left), THUMBNAILS_AT_ONCE):
            one, two = (side[start : start + THUMBNAILS_AT_ONCE] for side in (left, right))
            apart = self.roots(one) != self.roots(two)
            one, two = one[apart], two[apart]
            # sums over parts differ by no more than the values do: what they tell apart is apart
            least = np.abs(self.parts[one] - self.parts[two]).sum(1) / self.pixels.shape[1]
            one, two = one[least <= self.max_difference], two[least <= self.max_difference]
            self.compared += len(one)
            difference = np.abs(self.pixels[one].astype(np.int16) - self.pixels[two]).mean(1)
            self.union(
                one[difference <= self.max_difference], two[difference <= self.max_difference]
            )

    def union(self, left: np.ndarray, right: np.ndarray) -> None:
        while len(left):
            a, b = self.roots(left), self.roots(right)
            apart = a != b
            left, right, a, b = left[apart], right[apart], a[apart], b[apart]
            self.parent[np.maximum(a, b)] = np.minimum(a, b)  # of several, one is taken: go on


def components(
    hashes: np.ndarray, pixels: np.ndarray, radius: int, max_difference: float
) -> np.ndarray:
    """The component of each row, as any number that its rows share; equal pictures are one."""
    rows = np.ascontiguousarray(
        np.concatenate(
            [hashes.astype("<u8").view(np.uint8).reshape(len(hashes), 8), pixels], axis=1
        )
    )
    keys = rows.view(np.dtype((np.void, rows.shape[1]))).ravel()
    _, first, which = np.unique(keys, return_index=True, return_inverse=True)
    looks = Looks(hashes[first], pixels[first], radius, max_difference)
    return looks.components()[which]
