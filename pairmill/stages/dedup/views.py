"""Mirror images and parts of pictures, compared with whole pictures."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from pairmill.stages.components import Agree, Forest
from pairmill.stages.dedup.crops import Window, hashes_of, one_colour, shows, windows
from pairmill.stages.dedup.hamming import bands_for, distances, join_within, nearest_within
from pairmill.stages.dedup.looks import Looks, agreement, distinct
from pairmill.stages.dedup.pictures import THUMBNAIL_PX

AT_ONCE = 4096


@dataclass
class View:
    """What every picture shows in one way, such as mirrored.  `words`: its hashes, uint64,
    (n, bits / 64); `agree`: whether a view, by its row, and a whole picture look the same.
    """

    words: np.ndarray
    agree: Agree | None


@dataclass
class Views:
    """Pictures, with what else of them is compared with whole ones; arrays as `Hashes` has
    them.
    """

    words: np.ndarray
    pixels: np.ndarray | None
    mirrored: np.ndarray | None
    larges: np.ndarray | None
    crops: float
    max_difference: float
    max_cell: float

    @cached_property
    def whole(self) -> Looks:
        """The pictures as they are."""
        return self.looks(self.words, self.pixels)

    def looks(self, words: np.ndarray, pixels: np.ndarray | None) -> Looks:
        """Pictures for comparisons."""
        return Looks(words, pixels, self.max_difference, self.max_cell)

    def some(self, rows: np.ndarray) -> "Views":
        """Of these rows alone."""
        pixels, mirrored, larges = (
            None if part is None else part[rows]
            for part in (self.pixels, self.mirrored, self.larges)
        )
        return replace(
            self, words=self.words[rows], pixels=pixels, mirrored=mirrored, larges=larges
        )

    def each(self, others: "Views") -> Iterator[View]:
        """Every view of these pictures, to be compared with `others`."""
        if self.mirrored is not None:
            yield self.of_mirrors(self.mirrored, others)
        if self.crops and self.larges is not None and others.larges is not None:
            sides = [self.larges]
            if self.mirrored is not None:
                sides.append(self.larges[:, :, ::-1])
            for larges in sides:
                yield from self.of_crops(larges, others, others.larges)

    def of_mirrors(self, words: np.ndarray, others: "Views") -> View:
        """The mirror images."""
        if self.pixels is None or others.pixels is None:
            return View(words, None)
        side = THUMBNAIL_PX
        if self.pixels.shape[1] != side * side * 3:
            raise ValueError(
                f"`mirrored` turns thumbnails of {side} × {side} × 3 values; these have "
                f"{self.pixels.shape[1]}"
            )
        turned = self.pixels.reshape(-1, side, side, 3)[:, :, ::-1].reshape(len(words), -1)
        looks = self.looks(words, np.ascontiguousarray(turned))
        return View(words, lambda left, right: agreement(looks, others.whole, left, right))

    def of_crops(self, larges: np.ndarray, others: "Views", theirs: np.ndarray) -> Iterator[View]:
        """Parts of the pictures, window by window."""
        every = windows(self.crops)
        hashes = hashes_of(larges, every)
        plain = one_colour(larges)
        hashes[plain] = self.words[plain]

        def agree_in(window: Window) -> Agree:
            def agree(left: np.ndarray, right: np.ndarray) -> np.ndarray:
                found = np.zeros(len(left), bool)
                for start in range(0, len(left), AT_ONCE):
                    rows = slice(start, start + AT_ONCE)
                    found[rows] = shows(
                        larges[left[rows]], theirs[right[rows]], window, self.max_difference,
                        self.max_cell,
                    )  # fmt: skip
                return found

            return agree

        for number, window in enumerate(every):
            yield View(np.ascontiguousarray(hashes[:, number, None]), agree_in(window))

    def least(
        self, apart: np.ndarray, left: np.ndarray, right: np.ndarray, radius: int
    ) -> np.ndarray:
        """The fewest bits in which a view of one picture differs from the other, whole; `apart`:
        of both whole.
        """
        apart = apart.copy()
        for one, two in ((left, right), (right, left)):
            far = np.flatnonzero(apart > radius)
            for start in range(0, len(far), AT_ONCE):
                at = far[start : start + AT_ONCE]
                pictures, others = self.some(one[at]), self.some(two[at])
                for view in pictures.each(others):
                    apart[at] = np.minimum(apart[at], distances(view.words, others.words))
        return apart


def with_views(labels: np.ndarray, views: Views, radius: int) -> np.ndarray:
    """Components, given those of whole pictures: rows that a view connects are one, too."""
    columns = [views.words, *(w for w in (views.mirrored,) if w is not None)]
    shown = views.pixels if views.larges is None else views.larges.reshape(len(labels), -1)
    first, which = distinct(np.concatenate(columns, axis=1), shown)
    apart, rows = views.some(first), len(first)
    _, own = np.unique(labels[first], return_inverse=True)
    forest = Forest(rows)
    forest.join(np.arange(rows), np.unique(own, return_index=True)[1][own])
    for view in apart.each(apart):
        forest = joined(forest.labels(), apart.words, view, radius)
    return forest.labels()[which]


def joined(labels: np.ndarray, words: np.ndarray, view: View, radius: int) -> Forest:
    """Whole pictures and views of them as nodes of one forest, a view tied to its row; only a view
    and a whole picture may be connected anew, so that a crowd falls together at its first pair.
    """
    rows = len(words)
    both = Forest(2 * rows)
    both.parent = np.concatenate([labels, labels])
    agree = view.agree or (lambda left, right: np.ones(len(left), bool))

    def mixed(left: np.ndarray, right: np.ndarray) -> np.ndarray:
        found = (left >= rows) != (right >= rows)
        at = np.flatnonzero(found)
        seen = np.maximum(left[at], right[at]) - rows
        found[at] = agree(seen, np.minimum(left[at], right[at]))
        return found

    nodes = np.concatenate([words, view.words])
    join_within(both, nodes, radius, mixed, bands_for(words.shape[1] * 64, radius, 2 * rows))
    found = Forest(rows)
    found.parent = both.labels()[:rows]
    return found


def nearest_view(own: Views, theirs: Views, radius: int) -> tuple[np.ndarray, np.ndarray]:
    """For each picture the nearest of `theirs`, whole or one a view of the other (-1 for none), and
    the bits that differ; whole ones first where they are as near.
    """
    at, apart = own.whole.nearest(theirs.whole, radius)
    for view in own.each(theirs):
        other = nearest_within(view.words, theirs.words, radius, view.agree)
        at, apart = nearer((at, apart), other)
    if own.crops:
        for view in theirs.each(own):
            agree = turned(view.agree)
            at, apart = nearer((at, apart), nearest_within(own.words, view.words, radius, agree))
    return at, apart


def turned(agree: Agree | None) -> Callable[[np.ndarray, np.ndarray], np.ndarray] | None:
    """The same for pairs the other way round."""
    return None if agree is None else lambda left, right: agree(right, left)


def nearer(
    one: tuple[np.ndarray, np.ndarray], two: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Row by row the nearer of two answers, the first where they are as near."""
    better = two[1] < one[1]
    return np.where(better, two[0], one[0]), np.where(better, two[1], one[1])
