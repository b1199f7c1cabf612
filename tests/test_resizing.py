"""Pictures resized in C have the very bytes of torch's own resizing, whatever their shape."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pairmill.images import resizing
from pairmill.images.resizing import FILTERS, Wanted, memory_of, normalise, resize_into
from pairmill.models.fast_pixels import FastPixels, fast_pixels, resized
from pairmill.models.library import transformers
from pairmill.schemas.compiled import library_file
from tests.later import torch
from tests.tiny import built
from tools.compile_library import compile_library, compiler

pytestmark = pytest.mark.skipif(
    not shutil.which((compiler() or ["cc"])[0]), reason="needs a C compiler"
)


@pytest.fixture(scope="module", params=[512, 256, 0])
def library(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    """By vectors of at most so many bits, of those that this machine has."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CC", f"{' '.join(compiler() or ['cc'])} -DWIDEST={request.param}")
        made = compile_library(resizing.SOURCE, tmp_path_factory.mktemp("compiled"))
    assert isinstance(made, Path), made
    found = resizing.library(made)
    assert found is not None
    return found


def picture(width: int, height: int, seed: int, stark: bool) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(np.where(pixels > 127, 255, 0).astype(np.uint8) if stark else pixels)


def by_torch(image: Image.Image, wanted: Wanted, mode: str, height: int, width: int) -> np.ndarray:
    whole = resized(torch.from_numpy(np.array(image)), wanted.height, wanted.width, mode)
    rows = slice(wanted.top, wanted.top + height)
    return whole[rows, wanted.left : wanted.left + width].numpy()


def same(library, image: Image.Image, wanted: Wanted, mode: str, height: int, width: int) -> bool:
    place = np.empty((height, width, 4), np.uint8)
    resize_into(library, image, wanted, mode, place)
    return np.array_equal(place[..., :3], by_torch(image, wanted, mode, height, width))


LENGTHS = st.integers(1, 40) | st.integers(1, 400)
RATIOS = st.sampled_from([(1, 4), (1, 3), (1, 2), (2, 3), (1, 1), (3, 2), (2, 1), (3, 1)])


@settings(max_examples=300, deadline=None)
@given(st.data(), st.tuples(LENGTHS, LENGTHS), st.sampled_from(list(FILTERS)), st.booleans())
def test_any_part_of_a_picture_of_any_size_is_torchs(
    library, data: st.DataObject, size: tuple[int, int], mode: str, stark: bool
) -> None:
    """Ratios of whole numbers beside others: there weights lie between two 16-bit numbers."""

    def target(length: int) -> int:
        up, down = data.draw(RATIOS)
        return data.draw(st.just(max(1, length * up // down)) | LENGTHS)

    height, width = target(size[1]), target(size[0])
    top, left = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    kept = data.draw(st.integers(1, height - top)), data.draw(st.integers(1, width - left))
    image = picture(*size, data.draw(st.integers(0, 9)), stark)
    assert same(library, image, Wanted(height, width, top, left), mode, *kept)


@pytest.mark.slow
@pytest.mark.parametrize("mode", list(FILTERS))
@pytest.mark.parametrize("size", [(3000, 2000), (1, 3000), (3000, 1), (2, 2000), (1999, 3), (1, 1)])
def test_large_and_narrow_pictures_are_torchs(library, size: tuple[int, int], mode: str) -> None:
    image = picture(*size, 1, False)
    for height, width in [(224, 336), (1, 1), (7, 3), (300, 5), (size[1], 64)]:
        assert same(library, image, Wanted(height, width), mode, height, width)


@pytest.mark.parametrize("width", [401, 399, 20, 3])
def test_weights_next_to_one_and_places_far_apart_are_torchs(library, width: int) -> None:
    """The largest weights of 16 bits do not fit two bytes with signs; and four places may begin in
    one vector or not.
    """
    for mode in FILTERS:
        image = picture(400, 60, 5, True)
        assert same(library, image, Wanted(61, width), mode, 61, width)


def test_picture_that_is_not_one_piece_of_memory_is_copied_and_torchs(library) -> None:
    """Pillow cuts pictures of more than 16 MB."""
    image = picture(2400, 1800, 2, False)
    assert memory_of(image)[2] == 3
    assert memory_of(picture(24, 18, 2, False))[2] == 4
    assert same(library, image, Wanted(224, 298, 0, 37), "bicubic", 224, 224)


@pytest.mark.parametrize("wanted", [Wanted(8, 8, 1, 0), Wanted(8, 8, 0, -1), Wanted(7, 9)])
def test_part_beyond_the_resized_picture_is_refused(library, wanted: Wanted) -> None:
    place = np.empty((8, 8, 4), np.uint8)
    with pytest.raises(ValueError, match="no 8×8 pixels in"):
        resize_into(library, picture(20, 20, 0, False), wanted, "bicubic", place)


def test_library_of_other_headers_is_another(tmp_path: Path) -> None:
    """Where what a source includes has changed, a library of before is not taken for it."""
    source, header = tmp_path / "some.c", tmp_path / "some_part.h"
    source.write_text('#include "some_part.h"\n')
    names = set()
    for number in (1, 2):
        header.write_text(f"int number(void) {{ return {number}; }}\n")
        made = compile_library(source, tmp_path)
        assert isinstance(made, Path), made
        assert made == library_file(source)
        names.add(made.name)
    assert len(names) == 2


@pytest.mark.parametrize("shape", [(1, 1, 1, 4), (3, 5, 7, 4), (2, 32, 31, 4)])
def test_normalised_bytes_are_torchs(library, shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    mean, std = (torch.tensor(v) * 255 for v in ([0.481, 0.457, 0.408], [0.268, 0.261, 0.275]))
    found = np.empty((shape[0], 3, *shape[1:3]), np.float32)
    normalise(library, pixels, mean.tolist(), std.tolist(), found)
    planes = torch.from_numpy(pixels)[..., :3].permute(0, 3, 1, 2)
    own = planes.float().sub(mean.view(-1, 1, 1)).div_(std.view(-1, 1, 1))
    assert np.array_equal(found.view(np.uint32), own.contiguous().numpy().view(np.uint32))


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_processor_is_repeated_with_and_without_what_is_compiled(kind: str, tmp_path: Path) -> None:
    processor = transformers().AutoProcessor.from_pretrained(built(kind, tmp_path)).image_processor
    chosen = fast_pixels(processor)
    assert chosen is not None
    assert chosen.in_c == resizing.library_file(resizing.SOURCE).exists()
    for width, height in [(90, 31), (31, 90), (400, 300), (1, 1)]:
        image = picture(width, height, 3, False)
        own = dict(processor(images=[image], return_tensors="pt"))
        assert FastPixels(processor, in_c=False).repeats(image, own)
        assert chosen.repeats(image, own)
