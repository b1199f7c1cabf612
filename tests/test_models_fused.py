"""CLIP's image tower in fewer passes over memory is the model's own; so are texts by length."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pairmill.models.fast_pixels import fast_pixels
from pairmill.models.fused_tower import BuiltOtherwise, FusedTower, distance, fused_tower
from pairmill.models.library import transformers
from pairmill.models.transfers import by_length
from pairmill.models.two_towers import in_parts
from tests.later import torch
from tests.tiny import built

pytestmark = pytest.mark.filterwarnings("ignore")
Parts = tuple[object, object, str]


def opened(family: str, folder: Path, dtype: str = "float32") -> Parts:
    place = built(family, folder)
    t = transformers()
    processor = t.AutoProcessor.from_pretrained(place)
    model = t.AutoModel.from_pretrained(place, dtype=dtype).eval()
    return model, processor, place


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Parts:
    return opened("clip", tmp_path_factory.mktemp("models"))


def pixels(fast: object, count: int) -> torch.Tensor:
    numbers = torch.Generator().manual_seed(count)
    return torch.randint(0, 256, (count, *fast.shape, 4), dtype=torch.uint8, generator=numbers)


def test_fused_tower_gives_the_vectors_of_the_model(clip: Parts, tmp_path: Path) -> None:
    model, processor, place = clip
    fast = fast_pixels(processor.image_processor)
    assert distance(FusedTower(model, fast), model, fast) < 1e-5
    halves = transformers().AutoModel.from_pretrained(place, dtype=torch.bfloat16).eval()
    assert distance(FusedTower(halves, fast), halves, fast) < 0.03


def test_batches_are_filled_up_to_sizes_that_have_kernels(clip: Parts) -> None:
    model, processor, _ = clip
    fast = fast_pixels(processor.image_processor)
    tower = FusedTower(model, fast)
    whole = pixels(fast, 12)
    sizes: list[int] = []
    plain = tower.entrance
    tower.entered = lambda seen, *rest: sizes.append(len(seen)) or plain(seen, *rest)
    with torch.inference_mode():
        expected = tower(whole)
        for count in (12, 7, 5, 3, 2, 13):
            found = tower(torch.cat([whole, whole])[:count])
            np.testing.assert_allclose(found[:12], expected[:count], rtol=1e-4, atol=1e-5)
            assert len(found) == count
    assert sizes == [12, 12, 12, 6, 3, 3, 13]


def test_what_did_not_fit_is_not_filled_up_again(clip: Parts) -> None:
    model, processor, _ = clip
    fast = fast_pixels(processor.image_processor)
    tower = FusedTower(model, fast)
    with torch.inference_mode():
        tower(pixels(fast, 12))
        plain, tower.passed = tower.passed, lambda *_: (_ for _ in ()).throw(MemoryError())
        with pytest.raises(MemoryError):
            tower(pixels(fast, 12))
        tower.passed, sizes = plain, []
        begin = tower.entrance
        tower.entered = lambda seen, *rest: sizes.append(len(seen)) or begin(seen, *rest)
        tower(pixels(fast, 6))
    assert sizes == [6]


def test_model_of_another_build_is_no_fused_tower(tmp_path: Path) -> None:
    model, processor, _ = opened("siglip", tmp_path)
    with pytest.raises(BuiltOtherwise):
        fused_tower(model, fast_pixels(processor.image_processor))


def test_texts_by_length_have_the_vectors_of_texts_padded_alike(clip: Parts) -> None:
    model, processor, _ = clip
    texts = [f"{i} " + "word " * (i % 3) for i in range(60)] + ["a very long text " * 5] * 4
    words = processor(text=texts, return_tensors="pt", padding=True, truncation=True, max_length=24)
    parts = by_length(words["attention_mask"])
    assert [length for _, length in parts] == [max(int(parts[0][1]), 1), 24]
    assert parts[0][1] < 24 * 0.75
    assert sorted(torch.cat([rows for rows, _ in parts]).tolist()) == list(range(64))
    with torch.inference_mode():
        own = model.get_text_features(**words).pooler_output
        np.testing.assert_allclose(in_parts(model, words, "cpu"), own, atol=1e-5)


def test_texts_of_like_length_stay_one_batch() -> None:
    mask = torch.ones(64, 10, dtype=torch.long)
    assert [(len(rows), length) for rows, length in by_length(mask)] == [(64, 10)]
