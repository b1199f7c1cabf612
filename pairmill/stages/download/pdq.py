"""PDQ, the perceptual hash of shared lists of known pictures (Meta, "The TMK+PDQF Video-Hashing
Algorithm and the PDQ Image-Hashing Algorithm", 2019): luminance, two box filters, 64 × 64 samples,
16 × 16 DCT coefficients against their median.
"""

import numpy as np
from PIL import Image

SIDE = 64
LARGEST_PX = 512
_K, _N = np.arange(1, 17)[:, None], np.arange(SIDE)[None]
DCT = np.sqrt(2 / SIDE) * np.cos(np.pi / (2 * SIDE) * _K * (2 * _N + 1))


def pdq(image: Image.Image) -> tuple[bytes, int]:
    """(32 bytes of hash, quality 0 to 100) of an RGB image; below a quality of about 50 a picture
    is too flat to be told.
    """
    if max(image.size) > LARGEST_PX:
        image = image.copy()
        image.thumbnail((LARGEST_PX, LARGEST_PX), Image.Resampling.BILINEAR)
    grey = np.asarray(image, np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    for _ in range(2):
        for axis in (1, 0):
            grey = box(grey, -(-grey.shape[axis] // (2 * SIDE)), axis)
    rows, columns = (((np.arange(SIDE) + 0.5) * n / SIDE).astype(int) for n in grey.shape)
    small = grey[np.ix_(rows, columns)].astype(np.float64)
    coefficients = DCT @ small @ DCT.T
    bits = (coefficients > np.median(coefficients)).ravel()
    steps = [np.trunc(np.diff(small, axis=a) * 100 / 255) for a in (0, 1)]
    quality = min(100, int(sum(np.abs(s).sum() for s in steps) / 90))
    return np.packbits(bits[::-1]).tobytes(), quality


def box(values: np.ndarray, window: int, axis: int) -> np.ndarray:
    """Mean over a window of pixels along one axis, edges repeated; same shape."""
    from scipy.ndimage import (
        uniform_filter1d,  # a quarter of a second that only who asks for hashes waits for
    )

    return (
        uniform_filter1d(values, window, axis=axis, mode="nearest", origin=window % 2 - 1)
        if window > 1
        else values
    )
