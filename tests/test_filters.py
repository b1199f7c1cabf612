"""Filters against independent computations: fastText itself, Pillow, transformers called directly,
Polars.
"""

import io

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
import torch
from PIL import Image
from transformers import AutoModel, AutoProcessor

from pairmill.errors import StageBroken
from pairmill.filters.clip import ClipConfig, ClipStage
from pairmill.filters.image_hash import ImageHashConfig, ImageHashStage
from pairmill.filters.language import LanguageConfig, LanguageStage, bundled_model
from pairmill.filters.resolution import ResolutionConfig, ResolutionStage
from pairmill.filters.sample import SampleConfig, SampleStage
from pairmill.filters.text_rules import TextRulesConfig, TextRulesStage
from pairmill.images import decode_rgb
from pairmill.stages.dedup import DedupConfig, DedupStage
from pairmill.stages.near_dedup import NearDedupConfig, NearDedupStage
from pairmill.stages.near_pairs import Looks, components
from tests.conftest import CLIP, jpeg

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
        AutoModel.from_pretrained(CLIP, dtype=torch.float32).eval(),
        AutoProcessor.from_pretrained(CLIP),
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


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_cuda_without_a_gpu_is_an_error_and_no_cpu_run() -> None:
    with pytest.raises(StageBroken, match="device is cuda, and torch sees no GPU"):
        ClipStage(ClipConfig(model=CLIP, device="cuda")).setup()


def global_rows(**columns: object) -> pa.Table:
    n = len(next(iter(columns.values())))  # type: ignore[arg-type]
    return pa.table({**columns, "uid": [f"u{i}" for i in range(n)], "#order": list(range(n))})


def test_exact_dedup_is_what_polars_says_and_first_row_wins() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 20, 300).tolist(), rng.integers(0, 3, 300).tolist()
    found = pl.from_arrow(DedupStage(DedupConfig(on=["a", "b"]))(global_rows(a=a, b=b)))
    frame = pl.DataFrame({"a": a, "b": b, "uid": [f"u{i}" for i in range(300)]})
    first = frame.group_by("a", "b", maintain_order=True).agg(
        pl.col("uid").first().alias("first"), pl.len().alias("size")
    )
    expected = frame.join(first, on=["a", "b"], how="left", maintain_order="left")
    assert found["cluster_size"].to_list() == expected["size"].to_list()
    assert found["dup_of"].to_list() == [
        None if u == f else f for u, f in expected.select("uid", "first").iter_rows()
    ]


def test_dedup_prefers_the_larger_value_then_the_earlier_row() -> None:
    found = DedupStage(DedupConfig(on=["a"], prefer="size"))(
        global_rows(a=[1, 1, 1, 2], size=[5, 9, 9, 1])
    )
    assert found["dup_of"].to_pylist() == ["u1", None, "u1", None]


def test_near_dedup_finds_recompressed_resized_and_cropped_photos_and_tells_colours_apart(
    photos: list[bytes],
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
    hashes = ImageHashStage(ImageHashConfig())(pa.table({"image": images})).drop_columns(["error"])
    columns = {n: hashes[n] for n in hashes.schema.names}
    found = NearDedupStage(NearDedupConfig())(global_rows(**columns))
    said = found["near_dup_of"].to_pylist()
    expected = [None if truth.index(t) == i else f"u{truth.index(t)}" for i, t in enumerate(truth)]
    assert said == expected


def alike(rng: np.random.Generator, looks: int, copies: int) -> tuple[np.ndarray, np.ndarray]:
    """Hashes and thumbnails: copies that differ in a few bits and a little in colour."""
    hashes = np.repeat(rng.integers(0, 2**63, looks, dtype=np.uint64), copies)
    for _ in range(2):
        hashes ^= np.uint64(1) << rng.integers(0, 64, len(hashes), dtype=np.uint64)
    pixels = np.repeat(rng.integers(0, 255, (looks, 12)), copies, axis=0)
    shifted = pixels + rng.integers(-6, 7, (len(hashes), 1))
    return hashes, np.clip(shifted, 0, 255).astype(np.uint8)


@pytest.mark.parametrize(("looks", "copies", "radius"), [(60, 4, 4), (3, 120, 7), (200, 1, 15)])
def test_near_dedup_clusters_are_those_of_brute_force(looks: int, copies: int, radius: int) -> None:
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    hashes, pixels = alike(np.random.default_rng(looks), looks, copies)
    distance = np.bitwise_count(hashes[:, None] ^ hashes[None])
    difference = np.abs(pixels[:, None].astype(int) - pixels[None]).mean(2)
    near = coo_matrix((distance <= radius) & (difference <= 5.0))
    count, expected = connected_components(near, directed=False)
    found = components(hashes, pixels, radius, 5.0)
    assert len(set(zip(expected.tolist(), found.tolist(), strict=True))) == count
    assert len(np.unique(found)) == count


def test_a_look_that_comes_often_costs_its_number_and_not_the_square_of_it() -> None:
    rng = np.random.default_rng(4)
    compared = {}
    for copies in (1000, 4000):
        hashes, pixels = alike(rng, 1, copies)
        looks = Looks(hashes, pixels, 7, 12.0)
        assert len(np.unique(looks.components())) == 1
        compared[copies] = looks.compared
    assert compared[4000] < 8 * compared[1000]


def test_row_without_a_preference_is_neither_first_nor_lost() -> None:
    found = DedupStage(DedupConfig(on=["a"], prefer="q"))(
        global_rows(a=[1, 1, 1, 2, 3, 3], q=[float("nan"), None, -5.0, None, None, float("nan")])
    )
    assert found["dup_of"].to_pylist() == ["u2", "u2", None, None, None, "u4"]
