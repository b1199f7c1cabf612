"""How probably a pair is noise, where what mismatched pairs score is measured and not assumed."""

import numpy as np

SHIFTS = 16
"""Other texts that each picture is compared with at most."""
PAIRS = 200_000
"""Mismatched pairs that are enough; each picture has one in any case."""


def shuffled(image: np.ndarray, text: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Cosines of pictures with the texts of other rows, float32, (m,): in `order`, a row's next
    ones.  Pairs of equal pictures or of equal texts are left out, since they may match.
    """
    image, text = image[order], text[order]
    found = [np.zeros(0, np.float32)]
    shifts = max(1, min(SHIFTS, PAIRS // max(len(image), 1)))
    for shift in range(1, min(shifts, len(image) - 1) + 1):
        other, seen = np.roll(text, shift, 0), np.roll(image, shift, 0)
        apart = (other != text).any(1) & (seen != image).any(1)
        found.append((image[apart] * other[apart]).sum(1))
    return np.concatenate(found)


class MeasuredNoise:
    """The share of mismatched pairs at each score, from the scores of all pairs and of mismatched
    ones.

    Of the pairs with a score about s, π · f₀(s) / f(s) are mismatched, where f₀ is the density of
    mismatched pairs and f that of all; π, the share of mismatched ones among all, is how much
    oftener pairs lie below the median of the mismatched than matched ones could make it: hardly
    any of these do.  The ratio is an isotonic regression, which falls as the score rises.
    """

    def __init__(self, at: np.ndarray, noise: np.ndarray, share: float) -> None:
        self.at, self.values, self.share = at, noise, share

    @classmethod
    def fitted(cls, scores: np.ndarray, mismatched: np.ndarray) -> "MeasuredNoise":
        """From the finite scores of all pairs and of mismatched ones, in any order."""
        from scipy.optimize import isotonic_regression

        if not len(scores) or not len(mismatched):
            return cls(np.zeros(1), np.zeros(1), 0.0)
        share = min(1.0, float((scores <= np.median(mismatched)).mean()) / 0.5)
        both = np.concatenate([scores, mismatched]).astype(np.float64)
        weight = np.repeat([1.0, share * len(scores) / len(mismatched)],
                           [len(scores), len(mismatched)])  # fmt: skip
        wrong = np.repeat([0.0, 1.0], [len(scores), len(mismatched)])
        values, place = np.unique(both, return_inverse=True)
        total = np.bincount(place, weight)
        if share == 0:
            return cls(values[:1], np.zeros(1), 0.0)
        rate = np.bincount(place, weight * wrong) / total
        fitted = isotonic_regression(rate, weights=total, increasing=False)
        level, block = np.unique(-fitted.x, return_inverse=True)
        middle = np.bincount(block, total * values) / np.bincount(block, total)
        rate = np.minimum(-level, 0.5)  # a share of 1 is the most
        return cls(middle, rate / (1 - rate), share)

    def noise(self, values: np.ndarray) -> np.ndarray:
        """Probability of mismatch at some scores, never falling as the score falls."""
        return np.interp(values, self.at, self.values)
