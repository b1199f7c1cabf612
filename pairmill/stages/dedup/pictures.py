"""What is remembered of a picture to find those that look alike: hashes and a thumbnail."""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from pairmill.stages.download.pdq import pdq

THUMBNAIL_PX = 8
THUMBNAIL = THUMBNAIL_PX * THUMBNAIL_PX * 3
LOOK_PX = 64
"""Side at which a picture is searched for its ground."""
GROUND_SHARE = 0.8
"""Of a picture, in one colour: from there on the rest of it is what is hashed."""
GROUND_SPREAD = 24
"""Values by which a pixel of the ground may differ from its colour."""


def looked_at(image: Image.Image, hashes: Sequence[str]) -> dict[str, Any]:
    """`phash` and `pdq` of an RGB picture, as far as asked for; its `thumbnail`; whether it is
    `flat`.
    """
    content = content_of(image)
    shown = image if content is None else content
    small = shown.resize((THUMBNAIL_PX, THUMBNAIL_PX), Image.Resampling.BOX)
    digest = digest_of(image) if content is None else b""
    found: dict[str, Any] = {}
    if "phash" in hashes:
        found["phash"] = int.from_bytes(digest[:8], "big") if digest else phash(shown)
    if "pdq" in hashes:
        found["pdq"] = (digest or pdq(shown)[0]).hex()
    thumbnail = np.asarray(small).ravel().tolist()
    return found | {"thumbnail": thumbnail, "flat": content is not image}


def content_of(image: Image.Image) -> Image.Image | None:
    """What of an RGB picture says what it shows: the picture itself, or what stands on its ground
    where that is most of it; None where there is nothing but ground.
    """
    small = np.asarray(image.resize((LOOK_PX, LOOK_PX), Image.Resampling.BOX), np.int16)
    coarse = (small >> 4).reshape(-1, 3)
    names, counts = np.unique(coarse @ np.array([256, 16, 1]), return_counts=True)
    most = coarse @ np.array([256, 16, 1]) == names[counts.argmax()]
    colour = np.median(small.reshape(-1, 3)[most], axis=0)
    other = np.abs(small - colour).max(2) > GROUND_SPREAD
    if 1 - other.mean() < GROUND_SHARE:
        return image
    if not other.any():
        return None
    rows, columns = np.flatnonzero(other.any(1)), np.flatnonzero(other.any(0))
    x, y = image.width / LOOK_PX, image.height / LOOK_PX
    return image.crop(
        (
            int(columns[0] * x),
            int(rows[0] * y),
            max(int(columns[0] * x) + 1, round((columns[-1] + 1) * x)),
            max(int(rows[0] * y) + 1, round((rows[-1] + 1) * y)),
        )
    )


def digest_of(image: Image.Image) -> bytes:
    """32 bytes that stand for the very pixels of a flat picture, whatever its size."""
    small = image.resize((LOOK_PX, LOOK_PX), Image.Resampling.BOX)
    return hashlib.sha256(small.tobytes()).digest()


def phash(image: Image.Image) -> int:
    """The hash of an RGB image as an integer, most significant bit first."""
    from scipy.fft import dctn

    grey = np.asarray(image.convert("L").resize((32, 32), Image.Resampling.LANCZOS), np.float32)
    low = dctn(grey, norm="ortho")[:8, :8].ravel()
    bits = low > np.median(low[1:])
    return int(np.packbits(bits).view(">u8")[0])
