"""Filters against independent computations: fastText itself, Pillow, transformers called directly,
Polars.
"""

import io

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from PIL import Image

from pairmill.errors import StageBroken
from pairmill.filters.clip import ClipConfig, ClipStage
from pairmill.filters.language import LanguageConfig, LanguageStage, bundled_model
from pairmill.filters.resolution import ResolutionConfig, ResolutionStage
from pairmill.filters.sample import SampleConfig, SampleStage
from pairmill.filters.text_rules import TextRulesConfig, TextRulesStage
from pairmill.images import decode_rgb
from tests.conftest import CLIP, jpeg
from tests.later import torch, transformers

Pictures = list[tuple[bytes, str]]


def rows_of(table: pa.Table) -> list[dict[str, object]]:
    return table.to_pylist()


def test_text_rules_count_what_they_say() -> None:
    stage = TextRulesStage(TextRulesConfig())
    stage.setup()
    texts = [
        "A red Car, 2 doors!",
        "IMG_2041.jpg",
        "click to enlarge",
        "buy buy buy buy",
        "see www.a.test now",
        "一个红色的球，在草地上",
        "ภาพแมว",
        "",
    ]
    found = rows_of(stage(pa.table({"text": texts})))
    first = found[0]
    assert (first["text_words"], first["text_split_words"], first["text_chars"]) == (5, 5, 19)
    assert first["text_digit_share"] == pytest.approx(1 / 15)
    assert first["text_punctuation_share"] == pytest.approx(2 / 15)
    assert first["text_uppercase_share"] == pytest.approx(2 / 12)
    assert [r["text_boilerplate"] for r in found[:4]] == [False, True, True, False]
    assert found[3]["text_repetition"] == pytest.approx(0.75)
    assert found[4]["text_has_url"]
    assert (found[5]["text_words"], found[5]["text_split_words"]) == (10, 1)
    assert found[6]["text_words"] >= 5
    assert found[7]["text_words"] == 0


def test_datacomp_basic_text_rule_is_expressible_exactly() -> None:
    texts = ["two words", "three short words", "a b c", "日本語のテキスト"]
    stage = TextRulesStage(TextRulesConfig())
    stage.setup()
    frame = pl.from_arrow(stage(pa.table({"text": texts})))
    kept = frame.select(pl.sql_expr("text_split_words > 2 AND text_chars > 5"))[
        "text_split_words"
    ].to_list()
    assert kept == [len(t.split()) > 2 and len(t) > 5 for t in texts]


def test_language_is_what_fasttext_says() -> None:
    import fasttext

    texts = [
        "The quick brown fox jumps over the lazy dog",
        "Das Bild zeigt einen Ball\nauf der Wiese",
        "这张照片里有三个红色的球",
        "",
    ]
    stage = LanguageStage(LanguageConfig(name="alt_lang"))
    stage.setup()
    found = stage(pa.table({"text": texts}))
    assert found.schema.names == ["alt_lang", "alt_lang_score"]
    model = fasttext.load_model(bundled_model())
    for text, row in zip(texts, rows_of(found), strict=True):
        labels, scores = model.predict(text.replace("\n", " "), k=1)
        assert row["alt_lang"] == labels[0].removeprefix("__label__")
        assert row["alt_lang_score"] == pytest.approx(min(scores[0], 1.0), abs=1e-6)
    assert [r["alt_lang"] for r in rows_of(found)][:3] == ["en", "de", "zh"]


def test_resolution_is_what_pillow_measures() -> None:
    sizes = [(640, 480), (100, 700), (512, 512)]
    measured = [Image.open(io.BytesIO(jpeg(Image.new("RGB", s)))).size for s in sizes]
    found = rows_of(
        ResolutionStage(ResolutionConfig())(
            pa.table({"width": [w for w, _ in measured], "height": [h for _, h in measured]})
        )
    )
    assert [r["shorter_side"] for r in found] == [480, 100, 512]
    assert [r["aspect"] for r in found] == pytest.approx([640 / 480, 7.0, 1.0])


def test_sample_depends_on_row_and_seed_alone() -> None:
    uids = [f"{i:032x}" for i in range(4000)]
    one = SampleStage(SampleConfig(seed=1))
    values = one(pa.table({"uid": uids}))["sample"].to_numpy()
    assert one(pa.table({"uid": uids[::-1]}))["sample"].to_numpy()[::-1].tolist() == values.tolist()
    assert not np.array_equal(
        SampleStage(SampleConfig(seed=2))(pa.table({"uid": uids}))["sample"].to_numpy(), values
    )
    assert abs(values.mean() - 0.5) < 0.02
    assert abs((values < 0.1).mean() - 0.1) < 0.015


def test_clip_score_is_that_of_a_direct_transformers_call(pictures: Pictures) -> None:
    images, texts = [p[0] for p in pictures[:6]], [p[1] for p in pictures[:6]]
    stage = ClipStage(ClipConfig(model=CLIP, embeddings=["image", "text"], dtype="float32"))
    stage.setup()
    found = stage(pa.table({"image": [*images, b"broken"], "text": [*texts, "x"]}))
    model, processor = (
        transformers.AutoModel.from_pretrained(CLIP, dtype=torch.float32).eval(),
        transformers.AutoProcessor.from_pretrained(CLIP),
    )
    inputs = processor(
        text=texts, images=[decode_rgb(i) for i in images], return_tensors="pt", padding=True
    )
    with torch.no_grad():
        out = model(**inputs)
    direct = (out.image_embeds * out.text_embeds).sum(-1) / (
        out.image_embeds.norm(dim=-1) * out.text_embeds.norm(dim=-1)
    )
    assert found["clip_score"].to_numpy()[:6] == pytest.approx(direct.numpy(), abs=1e-4)
    assert found["error"].to_pylist()[5:] == [
        None,
        {"class": "decode", "message": found["error"][6].as_py()["message"]},
    ]
    vectors = np.array(found["clip_image_embedding"].to_pylist()[:6], np.float32)
    assert found.schema.field("clip_image_embedding").type == pa.list_(pa.float16(), 128)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(6), abs=2e-3)


def test_cuda_without_a_gpu_is_an_error_and_no_cpu_run() -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(StageBroken, match="device is cuda, and torch sees no GPU"):
        ClipStage(ClipConfig(model=CLIP, device="cuda")).setup()
