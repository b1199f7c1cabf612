"""Pictures that look alike, through their hashes: photographs, flat pictures, confusable ones."""

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image, ImageDraw, ImageFont
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from pairmill.filters.image_hash import ImageHashConfig, ImageHashStage
from pairmill.images import decode_rgb
from pairmill.stages.dedup.config import NearDedupConfig
from pairmill.stages.dedup.looks import components
from pairmill.stages.dedup.stage import NearDedupStage
from tests.conftest import jpeg


def hashed(images: list[bytes], *hashes: str) -> pa.Table:
    stage = ImageHashStage(ImageHashConfig.model_validate({"hashes": list(hashes or ["phash"])}))
    rows = stage(pa.table({"image": images})).drop_columns(["error"])
    uids = [f"u{i:02d}" for i in range(len(images))]
    return rows.append_column("uid", pa.array(uids)).append_column(
        "#order", pa.array(range(len(images)))
    )


def near(images: list[bytes], on: str = "image_hash") -> list[str | None]:
    rows = hashed(images, "pdq" if on.endswith("pdq") else "phash")
    found = NearDedupStage(NearDedupConfig(on=[on]))(rows)
    said: list[str | None] = found["near_dup_of"].to_pylist()
    return said


@pytest.mark.slow
@pytest.mark.parametrize("on", ["image_hash", "image_hash_pdq"])
def test_near_dedup_finds_recompressed_resized_and_cropped_photos_and_tells_colours_apart(
    photos: list[bytes], on: str
) -> None:
    images, truth = [], []
    for i, data in enumerate(photos):
        image = decode_rgb(data)
        small = image.resize((image.width // 2, image.height // 2))
        cropped = image.crop((4, 4, image.width - 4, image.height - 4))
        r, g, b = image.split()
        images += [
            data,
            jpeg(image, 40),
            jpeg(small),
            jpeg(cropped),
            jpeg(Image.merge("RGB", (b, r, g))),
        ]
        truth += [i, i, i, i, 100 + i]
    firsts = [truth.index(t) for t in truth]
    assert near(images, on) == [None if f == i else f"u{f:02d}" for i, f in enumerate(firsts)]


def drawn(colour: str, side: int = 0, word: str = "", size: int = 300) -> bytes:
    image = Image.new("RGB", (size, size), "white")
    draw = ImageDraw.Draw(image)
    if word:
        draw.text((60, 130), word, fill=colour, font=ImageFont.load_default(40))
    else:
        middle = size // 2
        draw.ellipse((middle - side, middle - side, middle + side, middle + side), fill=colour)
    return jpeg(image, 90)


def test_white_pictures_with_different_words_or_small_things_are_not_one() -> None:
    words = [drawn("black", word=w) for w in "alpha bravo delta echo hotel india juliet".split()]
    shapes = [drawn(c, side) for c in ("red", "blue") for side in (10, 40)]
    images = [*words, *shapes, drawn("white"), jpeg(Image.new("RGB", (300, 300), "#f4f4f4"))]
    assert near(images) == [None] * len(images)


def test_flat_pictures_are_told_and_equal_ones_found_whatever_their_size() -> None:
    flat = [jpeg(Image.new("RGB", (s, s), "white")) for s in (300, 120)]
    noise = np.random.default_rng(0).integers(0, 255, (90, 90, 3)).astype(np.uint8)
    images = [*flat, drawn("black", word="hotel"), jpeg(Image.fromarray(noise))]
    assert hashed(images)["image_hash_flat"].to_pylist() == [True, True, True, False]
    assert near(images) == [None, "u00", None, None]


@pytest.mark.slow
def test_a_crowd_of_equal_hashes_is_connected_as_by_brute_force() -> None:
    rng = np.random.default_rng(4)
    rows = 700
    values = np.full((rows, 1), 0x1234567, np.uint64)
    values[::7] ^= np.uint64(1) << rng.integers(0, 64, (len(values[::7]), 1)).astype(np.uint64)
    pixels = np.repeat(36 * rng.integers(0, 8, (rows, 3)), 64, 1)
    pixels += rng.integers(-15, 16, (rows, 192))
    pixels = np.clip(pixels, 0, 255).astype(np.uint8)
    apart = np.abs(pixels[:, None].astype(np.int16) - pixels[None])
    close = (apart.mean(2) <= 24) & (apart.max(2) <= 36)
    close &= np.bitwise_count(values ^ values.T) <= 1
    _, expected = connected_components(coo_matrix(close), directed=False)
    found = components(values, pixels, 1, 24, 36)
    same = found[:, None] == found[None]
    assert 20 < rows - len(np.unique(found)) < rows // 2
    assert (same == (expected[:, None] == expected[None])).all()
