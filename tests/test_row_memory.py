"""Rows of JPEGs lie where decoding is fast; what is decoded is the same."""

from __future__ import annotations

import io
import random

import numpy as np
import pytest
from PIL import Image

from pairmill.images import DecodeError, decode_rgb
from pairmill.images.row_memory import GRID, fast_rows, glibc, off_the_grid


def jpeg(width: int, height: int, mode: str = "RGB") -> bytes:
    pixels = np.random.default_rng(width).integers(0, 256, (height, width, 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(out, "JPEG", quality=90)
    return out.getvalue()


@pytest.mark.skipif(glibc() is None, reason="needs glibc on x86-64")
@pytest.mark.parametrize("width", [333, 512, 514, 1024, 4000])
def test_next_row_begins_beside_the_grid_whatever_was_taken_before(width: int) -> None:
    """Half of them would lie on it."""
    by, rng, size = glibc(), random.Random(width), 4 * width
    others: list[int] = []
    beside = 0
    for _ in range(200):
        others.append(by.calloc(1, rng.choice([700, 2064, 5000, 90_000]) + 16 * rng.randrange(4)))
        if len(others) > 40:
            for _ in range(30):
                by.free(others.pop(rng.randrange(len(others))))
        kept = off_the_grid(by, size)
        row = by.calloc(1, size)
        beside += row % GRID != 0
        for piece in [row, *kept]:
            by.free(piece)
    for piece in others:
        by.free(piece)
    assert beside > 180


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("size", [(1, 1), (7, 5), (333, 47), (512, 384)])
def test_pixels_are_pillows_own(size: tuple[int, int], mode: str) -> None:
    data = jpeg(*size, mode)
    own = Image.open(io.BytesIO(data)).convert("RGB")
    assert np.array_equal(np.asarray(decode_rgb(data)), np.asarray(own))


def test_jpeg_that_is_cut_off_is_damaged_as_ever() -> None:
    data = jpeg(64, 64)
    with pytest.raises(DecodeError, match="truncated"):
        decode_rgb(data[: len(data) // 2])


def test_image_that_is_no_file_is_left_alone() -> None:
    with fast_rows(Image.new("RGB", (3, 3))) as nothing:
        assert nothing is None
