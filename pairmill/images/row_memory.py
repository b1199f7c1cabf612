"""Memory for the rows of a JPEG that decodes faster.

libjpeg-turbo writes a row that begins at a multiple of 32 bytes past the processor's caches, and
Pillow reads it at once, to copy it to its place in the picture: decoding takes up to a quarter
longer than where the row begins 16 bytes further on.  Pillow takes the row's memory from malloc, as
it comes.  So the piece that comes next is looked at here, and kept back where it is a slow one.
"""

import ctypes
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

from PIL import Image

GRID = 32
"""Bytes of libjpeg-turbo's vectors."""
TRIES = 6
PIXEL = 4
"""Bytes of a pixel in a row of RGB, as Pillow asks libjpeg for it."""


@lru_cache
def glibc() -> ctypes.CDLL | None:
    """The allocator, where it and libjpeg are known to do so: x86-64 and glibc."""
    known = "CS_GNU_LIBC_VERSION" in getattr(os, "confstr_names", {})
    if not known or platform.machine() != "x86_64":
        return None
    found = ctypes.CDLL(None)
    found.calloc.argtypes = [ctypes.c_size_t, ctypes.c_size_t]
    found.calloc.restype = ctypes.c_void_p
    found.free.argtypes = [ctypes.c_void_p]
    found.free.restype = None
    return found


@contextmanager
def fast_rows(image: Image.Image) -> Iterator[None]:
    """While it is open a JPEG that is not decoded yet is decoded with a fast row, mostly; any other
    image as ever.
    """
    by = glibc() if image.format == "JPEG" and image.mode == "RGB" else None
    if by is None:
        yield
        return
    image.load_prepare()  # type: ignore[attr-defined]  # the picture's memory is taken before
    kept = off_the_grid(by, PIXEL * image.width)
    try:
        yield
    finally:
        for piece in kept:
            by.free(piece)


def off_the_grid(by: ctypes.CDLL, size: int) -> list[int]:
    """Pieces of memory to be kept so that the next one of `size` bytes is no multiple of 32 bytes;
    the caller frees them.
    """
    kept: list[int] = []
    for attempt in range(TRIES):
        piece = by.calloc(1, size)
        if not piece:
            break
        if piece % GRID:
            by.free(piece)  # it may join a piece before it, which then comes first
            piece = by.calloc(1, size)
            if not piece:
                break
            if piece % GRID:
                by.free(piece)
                break
        kept.append(piece)
        if attempt % 2 and (between := by.calloc(1, size + GRID // 2)):
            kept.append(between)
    return kept
