"""What is remembered of a picture to find those that look alike: hashes and a thumbnail."""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from pairmill.stages.download.pdq import pdq

THUMBNAIL_PX = 8
THUMBNAIL = THUMBNAIL_PX * THUMBNAIL_PX * 3
LOOK_PX = 64
"""Side at which a picture is searched for its ground."""
GROUND_SHARE = 0.8
"""Of a picture, in one colour: from there on the rest of it is what is hashed."""
GROUND_SPREAD = 24
"""Values by which a pixel of the ground may differ from its colour."""
LARGE_PX = 32
LARGE_THUMBNAIL = LARGE_PX * LARGE_PX * 3
BORDER_PX = 512
"""Longest side at which a picture is searched for borders."""
WIDEST_BORDER = 0.25
"""Of a side: what is wider is no border."""
BORDER_SPREAD = 16
"""Values by which 49 of 50 pixels of a border's line may differ from its colour."""
BORDER_STEP = 24
"""Least mean difference between a border's colour and the eight lines behind it, over which a JPEG
smears the step: a sky that fades into the picture has none.
"""


def looked_at(
    image: Image.Image, hashes: Sequence[str], mirrored: bool = False, large: bool = False
) -> dict[str, Any]:
    """`phash` and `pdq` of an RGB picture, as far as asked for; its `thumbnail`; whether it is
    `flat`.  `mirrored`: the hashes of its mirror image, too; `large`: a large thumbnail.
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
    if mirrored:
        turned = ImageOps.mirror(shown)
        other = b"" if content is not None else digest_of(turned)
        if "phash" in hashes:
            found["phash_mirrored"] = int.from_bytes(other[:8], "big") if other else phash(turned)
        if "pdq" in hashes:
            found["pdq_mirrored"] = (other or pdq(turned)[0]).hex()
    if large:
        size = (LARGE_PX, LARGE_PX)
        found["large"] = np.asarray(shown.resize(size, Image.Resampling.LANCZOS)).ravel().tolist()
    thumbnail = np.asarray(small).ravel().tolist()
    return found | {"thumbnail": thumbnail, "flat": content is not image}


def trimmed(image: Image.Image) -> tuple[Image.Image, float]:
    """(an RGB picture without borders of one colour, the share of its area that they were)."""
    small = image
    if max(image.size) > BORDER_PX:
        small = image.copy()
        small.thumbnail((BORDER_PX, BORDER_PX), Image.Resampling.BOX)
    pixels = np.asarray(small)
    across = pixels.swapaxes(0, 1)
    left, right = border(across), border(across[::-1])
    top, bottom = border(pixels), border(pixels[::-1])
    if not any((left, top, right, bottom)):
        return image, 0.0
    x, y = image.width / small.width, image.height / small.height
    box = (
        round(left * x), round(top * y),
        image.width - round(right * x), image.height - round(bottom * y),
    )  # fmt: skip
    inner = image.crop(box)
    return inner, 1 - inner.width * inner.height / (image.width * image.height)


def border(lines: np.ndarray) -> int:
    """How many of the first lines, (n, pixels, 3), are of one colour, up to a step to something
    else; 0 where there is no such step.
    """
    most = int(len(lines) * WIDEST_BORDER)
    colour = np.median(lines[0], axis=0)
    if (np.abs(lines[0] - colour).max(1) <= BORDER_SPREAD).mean() < 0.98:
        return 0
    apart = np.abs(lines[: most + 8] - colour.astype(np.int16)).max(2)
    plain = (apart <= BORDER_SPREAD).mean(1) >= 0.98
    wide = int(plain.argmin()) if not plain.all() else len(plain)
    if not 0 < wide <= most:
        return 0
    return wide if apart[wide : wide + 8].mean() >= BORDER_STEP else 0


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
