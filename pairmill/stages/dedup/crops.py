"""Pictures that are a part of another: pHashes of its windows, and windows laid over each other.

Both are computed from a thumbnail of 32 × 32 pixels, of which a pHash looks at the lowest
frequencies alone.
"""

import math
from collections.abc import Iterator

import numpy as np

from pairmill.stages.dedup.pictures import GROUND_SPREAD, LARGE_PX

STEP = 0.05
"""Of a side, by which windows differ: a pHash within 8 bits stands about half of that."""
WHOLE = (0.0, 0.0, 1.0, 1.0)
LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)
COARSE, FINE = 8, 16
"""Cells a side that windows are compared by before and after they are laid over each other."""
LOOSER, STRICTER = 4 / 3, 0.8
"""Of `max_cell`, what one cell may differ by before and after: a window is up to half a step off,
and cells a quarter the size show small things (docs/lab-notes.md has the measurements).
"""
LEAST_CORRELATION = 0.93
"""Of the cells: pictures of little contrast differ by little, whatever they show."""
MOVES = (0.03, 0.015, 0.008, 0.004)
"""Of a side, by which edges move while a window is laid over a picture."""
AT_ONCE = 2048

Window = tuple[float, float, float, float]
"""Left, top, right, bottom, as shares of the sides."""


def windows(most: float) -> list[Window]:
    """What is left where up to `most` of a side is cut off: of both sides alike, or of one."""
    found = [WHOLE]
    sizes = [STEP * i for i in range(1, math.ceil(most / STEP - 1e-9) + 1)]
    for number, size in enumerate(sizes, 1):
        places = sorted({*(i / number for i in range(number + 1)), 0.5})
        both = [(x, y) for x in places for y in places]
        found += [(size * x, size * y, 1 - size * (1 - x), 1 - size * (1 - y)) for x, y in both]
        found += [(size * x, 0.0, 1 - size * (1 - x), 1.0) for x in places]
        found += [(0.0, size * y, 1.0, 1 - size * (1 - y)) for y in places]
    return found[1:]


def hashes_of(larges: np.ndarray, some: list[Window]) -> np.ndarray:
    """pHashes of windows, uint64, (n, windows); `larges`: uint8, (n, 32, 32, 3)."""
    from scipy.fft import dct

    lowest = dct(np.eye(LARGE_PX), axis=0, norm="ortho")[:8]
    rows = {(t, b): lowest @ between(t, b) for _, t, _, b in some}
    columns = {(lo, r): (lowest @ between(lo, r)).T.astype(np.float32) for lo, _, r, _ in some}
    found = np.zeros((len(larges), len(some)), np.uint64)
    for start in range(0, len(larges), AT_ONCE):
        part = slice(start, start + AT_ONCE)
        grey = larges[part].astype(np.float32) @ LUMINANCE
        high = {key: weights.astype(np.float32) @ grey for key, weights in rows.items()}
        for number, (left, top, right, bottom) in enumerate(some):
            low = (high[top, bottom] @ columns[left, right]).reshape(len(grey), 64)
            bits = low > np.median(low[:, 1:], axis=1)[:, None]
            found[part, number] = np.packbits(bits, axis=1).view(">u8").ravel()
    return found


def between(low: float, high: float) -> np.ndarray:
    """Weights, (32, 32), of as many samples of a part of a line, between its pixels' centres."""
    at = (low + (high - low) * (np.arange(LARGE_PX) + 0.5) / LARGE_PX) * LARGE_PX - 0.5
    at = np.clip(at, 0, LARGE_PX - 1)
    first = np.minimum(at.astype(int), LARGE_PX - 2)
    weights = np.zeros((LARGE_PX, LARGE_PX))
    weights[np.arange(LARGE_PX), first] = 1 - (at - first)
    weights[np.arange(LARGE_PX), first + 1] += at - first
    return weights


def areas(low: np.ndarray, high: np.ndarray, cells: int) -> np.ndarray:
    """Weights, float32, (n, cells, 32), of the means over cells of parts of lines."""
    edges = (low[:, None] + (high - low)[:, None] * np.arange(cells + 1) / cells) * LARGE_PX
    filled = np.clip(edges[:, :, None] - np.arange(LARGE_PX), 0, 1)
    share = np.diff(filled, axis=1)
    return np.asarray(share / np.maximum(share.sum(2, keepdims=True), 1e-9), np.float32)


def cut(larges: np.ndarray, some: np.ndarray, cells: int) -> np.ndarray:
    """A window of each thumbnail, (n, cells, cells, 3); `some`: (n, 4)."""
    high = areas(some[:, 1], some[:, 3], cells)
    across = areas(some[:, 0], some[:, 2], cells)
    n, side = len(larges), LARGE_PX
    rows = (high @ larges.reshape(n, side, side * 3)).reshape(n, cells, side, 3)
    return np.asarray(across[:, None] @ rows)


def one_colour(larges: np.ndarray) -> np.ndarray:
    """Which pictures have nothing in them that a window could show, bool, (n,)."""
    flat = larges.reshape(len(larges), -1, 3)
    return np.asarray((np.ptp(flat, axis=1) <= GROUND_SPREAD).all(1))


def shows(
    whole: np.ndarray, part: np.ndarray, window: Window, max_difference: float, max_cell: float
) -> np.ndarray:
    """Whether `part` shows about that window of `whole`, bool, (n,); thumbnails uint8,
    (n, 32, 32, 3).
    """
    found = np.zeros(len(whole), bool)
    for start in range(0, len(whole), AT_ONCE):
        rows = slice(start, start + AT_ONCE)
        a, b = (side[rows].astype(np.float32) for side in (whole, part))
        some, every = (np.repeat(np.array([w]), len(a), 0) for w in (window, WHOLE))
        apart = np.abs(cut(a, some, COARSE) - cut(b, every, COARSE))
        near = apart.mean((1, 2, 3)) <= max_difference
        at = np.flatnonzero(near & (apart.max((1, 2, 3)) <= LOOSER * max_cell))
        if len(at):
            target = cut(b[at], every[at], FINE)
            cells = laid_over(a[at], target, some[at])
            apart = np.abs(cells - target)
            fine = apart.mean((1, 2, 3)) <= max_difference
            fine &= apart.max((1, 2, 3)) <= STRICTER * max_cell
            found[start + at[fine & (correlation(cells, target) >= LEAST_CORRELATION)]] = True
    return found


def correlation(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """Of cells in pairs, (n,); 0 where there is no contrast."""
    one, two = (part.reshape(len(part), -1) for part in (one, two))
    one, two = (part - part.mean(1, keepdims=True) for part in (one, two))
    length = np.sqrt((one * one).sum(1) * (two * two).sum(1))
    return np.asarray((one * two).sum(1) / np.maximum(length, 1e-6))


def laid_over(whole: np.ndarray, target: np.ndarray, some: np.ndarray) -> np.ndarray:
    """The cells of each window, its edges moved to where it is most like its target."""

    def apart(at: np.ndarray) -> np.ndarray:
        return np.asarray(np.abs(cut(whole, at, FINE) - target).mean((1, 2, 3)))

    best, least = some.copy(), apart(some)
    for step, move in directions():
        moved = best + step * move
        inside = ((moved >= 0) & (moved <= 1)).all(1)
        moved = np.clip(moved, 0, 1)
        difference = apart(moved)
        better = inside & (difference < least)
        best[better], least[better] = moved[better], difference[better]
    return cut(whole, best, FINE)


def directions() -> Iterator[tuple[float, np.ndarray]]:
    """Steps, and which edges move by them: each by itself, then both of a side together."""
    pairs = [np.array([1.0, 0, 1, 0]), np.array([0.0, 1, 0, 1])]
    for step in MOVES:
        for _ in range(2):
            for move in (*np.eye(4), *pairs):
                yield step, move
                yield step, -move
