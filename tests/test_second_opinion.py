"""What two encoders, and the parts of pictures and texts, say against brute force and the truth."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pairmill.errors import StageBroken
from pairmill.filters.late_interaction import LateInteractionConfig, LateInteractionStage
from pairmill.stage import check_stage
from pairmill.stages.select.second_opinion import SecondOpinionConfig, SecondOpinionStage
from tests.conftest import CLIP
from tests.tiny import built


def lists(vectors: np.ndarray, absent: tuple[int, ...] = ()) -> pa.Array:
    rows = [None if i in absent else v.tolist() for i, v in enumerate(vectors)]
    return pa.array(rows, pa.list_(pa.float32(), vectors.shape[1]))


@pytest.mark.parametrize("count", [0, 1, 60, 1500])
def test_second_opinion_is_brute_forces_and_does_not_depend_on_order(count: int) -> None:
    rng = np.random.default_rng(count)
    first, second = (rng.normal(size=(count, 3)) for _ in range(2))
    rows = pa.table(
        {
            "uid": [f"{i:04d}" for i in rng.permutation(count)],
            "a": lists(first, (3,)),
            "b": lists(second, (5,)),
        },
        schema=pa.schema(
            [("uid", pa.string()), *((n, pa.list_(pa.float32(), 3)) for n in ("a", "b"))]
        ),
    )
    stage = SecondOpinionStage(SecondOpinionConfig(first="a", second="b", alike=0.9, unlike=0.2))
    found = stage(rows).to_pydict()
    uids, sound = rows["uid"].to_pylist(), [i for i in range(count) if i not in (3, 5)]
    one, two = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (first, second))
    for i in range(count):
        pairs = [
            (float(one[i] @ one[j]), j)
            for j in sound if i in sound and j != i and one[i] @ one[j] >= 0.9
            and two[i] @ two[j] < 0.2
        ] if count <= 60 or i < 40 else None  # fmt: skip
        if pairs is None:
            continue
        best = max(pairs, default=None)
        assert found["second_opinion_of"][i] == (best and uids[best[1]])
        if best:
            other = float(two[i] @ two[best[1]])
            assert found["second_opinion_first"][i] == pytest.approx(best[0], abs=1e-5)
            assert found["second_opinion"][i] == pytest.approx(best[0] - other, abs=1e-5)
    if count == 60:
        assert any(found["second_opinion_of"])
        shuffled = pa.array(rng.permutation(count))
        again = stage(rows.take(shuffled))["second_opinion_of"].to_pylist()
        assert again == [found["second_opinion_of"][i] for i in shuffled.to_pylist()]


def test_late_interaction_is_filips_sum_over_patches_and_tokens(
    pictures: list[tuple[bytes, str]],
) -> None:
    import torch

    from pairmill.images import decode_rgb
    from pairmill.models.library import transformers

    images = [data for data, _ in pictures[:4]]
    texts = ["a red ball", "", "two blue boats and a star at night", pictures[3][1]]
    rows = pa.table({"image": [*images, b"no picture"], "text": [*texts, "a ball"]})
    options = {"model": CLIP, "dtype": "float32", "image_processor": "pil"}
    answer = check_stage(LateInteractionStage, rows, 1e-4, **options)
    assert [e and e["class"] for e in answer["error"].to_pylist()] == [None] * 4 + ["decode"]
    t = transformers()
    model, processor = (
        t.AutoModel.from_pretrained(CLIP).eval(),
        t.AutoProcessor.from_pretrained(CLIP),
    )
    for data, text, row in zip(images, texts, answer.to_pylist(), strict=False):
        picture = t.AutoImageProcessor.from_pretrained(CLIP, use_fast=False)(
            images=[decode_rgb(data)], return_tensors="pt"
        )
        words = processor.tokenizer([text], return_tensors="pt")
        with torch.inference_mode():
            seen = model.vision_model(**picture).last_hidden_state[0, 1:]
            patches = model.visual_projection(model.vision_model.post_layernorm(seen)).numpy()
            tokens = model.text_projection(model.text_model(**words).last_hidden_state[0]).numpy()
        patches /= np.linalg.norm(patches, axis=1, keepdims=True)
        tokens /= np.linalg.norm(tokens, axis=1, keepdims=True)
        by_patch = np.mean([max(float(p @ w) for w in tokens) for p in patches])
        by_token = np.mean([max(float(p @ w) for p in patches) for w in tokens])
        assert row["late_interaction_image"] == pytest.approx(by_patch, abs=1e-3)
        assert row["late_interaction_text"] == pytest.approx(by_token, abs=1e-3)
        assert row["late_interaction_score"] == pytest.approx((by_patch + by_token) / 2, abs=1e-3)


def test_a_model_without_vectors_of_tokens_is_named(tmp_path: Path) -> None:
    built("clip", tmp_path)  # puts the makers of tiny models on the path
    from tiny_models.two_towers import siglip

    siglip(tmp_path / "siglip")
    stage = LateInteractionStage(LateInteractionConfig(model=str(tmp_path / "siglip")))
    with pytest.raises(StageBroken, match=r"SiglipModel, which has no vectors.*built like CLIP"):
        stage.setup()
