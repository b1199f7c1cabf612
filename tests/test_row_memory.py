"""Rows of JPEGs lie where decoding is fast; what is decoded is the same."""

from __future__ import annotations

import io
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pairmill.images import DecodeError, decode_rgb
from pairmill.images.row_memory import GRID, fast_rows, glibc, off_the_grid

ROOT = Path(__file__).parent.parent


def jpeg(width: int, height: int, mode: str = "RGB") -> bytes:
    pixels = np.random.default_rng(width).integers(0, 256, (height, width, 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(out, "JPEG", quality=90)
    return out.getvalue()


def beside_the_grid(width: int) -> int:
    """How many of 200 rows begin there, among pieces that come and go; half of them would."""
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
    return beside


@pytest.mark.slow
@pytest.mark.skipif(glibc() is None, reason="needs glibc on x86-64")
def test_next_row_begins_beside_the_grid_whatever_was_taken_before() -> None:
    """In a process of its own: what other tests left of this one's memory is anyone's guess."""
    asked = "from tests.test_row_memory import beside_the_grid as b; "
    asked += "print(*map(b, (333, 512, 514, 1024, 4000)))"
    told = subprocess.run(
        [sys.executable, "-c", asked], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert min(map(int, told.stdout.split())) > 180


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
