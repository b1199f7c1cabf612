"""Pictures resized, and their bytes made numbers, by what was compiled where pairmill was installed
(`resize.c`), if it was: the very bits of torch's own resizing of bytes.
"""

import ctypes
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from PIL import Image

from pairmill.schemas.compiled import library_file

SOURCE = Path(__file__).with_name("resize.c")
FILTERS = {"bilinear": 0, "bicubic": 1}
"""Names that torch has for the filters."""


class PictureInC(ctypes.Structure):
    """`struct picture`: where pixels lie; `stride`: bytes from row to row."""

    _fields_ = [
        ("pixels", ctypes.c_void_p),
        *((name, ctypes.c_int64) for name in ("height", "width", "depth", "stride")),
    ]


class WantedInC(ctypes.Structure):
    """`struct wanted`: a part of the resized picture."""

    _fields_ = [
        (name, ctypes.c_int64)
        for name in ("whole_height", "whole_width", "top", "left", "height", "width", "cubic")
    ]


class Wanted(NamedTuple):
    """What is wanted of a picture: its size in pixels once it is resized, and where the part that
    is kept begins.
    """

    height: int
    width: int
    top: int = 0
    left: int = 0


@lru_cache
def library(file: Path | None = None) -> ctypes.CDLL | None:
    """What was compiled; None where nothing was, or for another machine."""
    try:
        found = ctypes.CDLL(str(file or library_file(SOURCE)))
    except OSError:
        return None
    pointer, number = ctypes.c_void_p, ctypes.c_int64
    found.resize.argtypes = [ctypes.POINTER(PictureInC), ctypes.POINTER(WantedInC), pointer]
    found.resize.restype = ctypes.c_int32
    found.normalise.argtypes = [pointer, number, number, pointer, pointer, pointer]
    found.normalise.restype = None
    return found


def resize_into(
    by: ctypes.CDLL, image: Image.Image, wanted: Wanted, mode: str, place: np.ndarray
) -> None:
    """Resizes an RGB picture; `place`, contiguous (height, width, 4) uint8, becomes the part of it
    from `top` and `left` on.  The fourth value of a pixel means nothing.

    Raises ValueError where the place goes beyond the resized picture, MemoryError.
    """
    owner, address, depth = memory_of(image)
    picture = PictureInC(address, image.height, image.width, depth, depth * image.width)
    resize_pixels(by, picture, wanted, mode, place)
    del owner  # which had to live until here


def resize_pixels(
    by: ctypes.CDLL, picture: PictureInC, wanted: Wanted, mode: str, place: np.ndarray
) -> None:
    """As `resize_into`, from pixels that lie in memory, and stay there meanwhile."""
    height, width = place.shape[:2]
    beyond = wanted.top + height > wanted.height or wanted.left + width > wanted.width
    if beyond or min(wanted.top, wanted.left) < 0 or min(height, width) < 1:
        raise ValueError(f"no {width}×{height} pixels in {wanted}")
    part = WantedInC(*wanted, height, width, FILTERS[mode])
    if not by.resize(ctypes.byref(picture), ctypes.byref(part), place.ctypes.data):
        raise MemoryError(f"for a picture of {picture.width}×{picture.height} pixels")


def memory_of(image: Image.Image) -> tuple[object, int, int]:
    """(owner, address, bytes a pixel) of an RGB picture's pixels: its own memory where that is one
    piece.
    """
    try:
        values = pa.array(image)
        return values, values.buffers()[-1].address, values.type.list_size
    except (ValueError, TypeError, pa.ArrowException):
        pixels = np.array(image)
        return pixels, pixels.ctypes.data, pixels.shape[2]


def normalise(
    by: ctypes.CDLL, pixels: np.ndarray, mean: Sequence[float], std: Sequence[float], to: np.ndarray
) -> None:
    """(byte - mean) / std in float32 of contiguous (n, height, width, 4) uint8, into contiguous
    (n, 3, height, width).
    """
    count = pixels.shape[1] * pixels.shape[2]
    three = ctypes.c_float * 3
    by.normalise(pixels.ctypes.data, len(pixels), count, three(*mean), three(*std), to.ctypes.data)
