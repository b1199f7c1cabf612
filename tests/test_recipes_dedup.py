"""Recipes that deduplicate, on a small world, against its truth."""

import random
import re
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image, ImageOps

from pairmill import Pipeline, RunResult
from pairmill.demo.drawing import render
from pairmill.demo.scenes import random_scene, rng_for
from pairmill.demo.show import MODELS
from pairmill.demo.texts import alt_text
from tests.conftest import jpeg

RECIPES = Path(__file__).parent.parent / "recipes"


def run(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> RunResult:
    monkeypatch.setenv("DEMO_MODELS", str(MODELS))
    file = folder / f"{name}.yaml"
    shutil.copyfile(RECIPES / f"{name}.yaml", file)
    return Pipeline.from_yaml(file).run(local=True, progress=False)


def picture(number: int) -> Image.Image:
    return render(random_scene(rng_for("recipe", number)), 320, 240, rng_for("draw", number))


def copied(image: Image.Image, change: int) -> bytes:
    """Exact, recompressed, resized, cropped by 2%, a corner of nine tenths, mirrored."""
    if change == 2:
        image = image.resize((image.width * 2 // 3, image.height * 2 // 3))
    if change == 3:
        x, y = image.width // 100, image.height // 100
        image = image.crop((x, y, image.width - x, image.height - y))
    if change == 4:
        image = image.crop((image.width // 10, image.height // 10, image.width, image.height))
    if change == 5:
        image = ImageOps.mirror(image)
    return jpeg(image, 85 if change == 0 else 55)


def written(folder: Path, name: str, data: bytes, text: str | None = None) -> None:
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.jpg").write_bytes(data)
    if text is not None:
        (folder / f"{name}.txt").write_text(text)


def name_of(source: pl.Series) -> list[str]:
    return [Path(path).stem for path in source.to_list()]


def test_decontaminate_finds_every_planted_picture_and_removes_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(48):
        written(tmp_path / "pool", f"other{i}", copied(picture(1000 + i), 0))
    for i in range(16):
        written(tmp_path / "eval", f"{i}", copied(picture(i), 0))
        written(tmp_path / "pool", f"planted{i}", copied(picture(i), i % 6))
    result = run("decontaminate", tmp_path, monkeypatch)
    table = result.table()
    dropped = table.filter(pl.col("fate") == "dropped")
    names = name_of(dropped["source"])
    assert sorted(names) == sorted(f"planted{i}" for i in range(16))
    assert [f"planted{Path(m).stem}" for m in dropped["against_member"]] == names
    assert "dedup: rows that stand in other sets: benchmark ×16" in result.notes


def test_unimm_gathers_the_texts_of_all_sources_and_loses_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(20):
        written(tmp_path / "first", f"a{i}", copied(picture(i), 0), f"first text of {i}")
        if i % 2:
            written(tmp_path / "second", f"b{i}", copied(picture(i), i % 4), f"second text of {i}")
    result = run("unimm", tmp_path, monkeypatch)
    kept = result.table().filter(pl.col("fate") == "kept")
    assert kept.height == 20
    texts = kept["merged_text"].to_list()
    assert sorted(t for group in texts for t in group) == sorted(result.table()["text"].to_list())
    both = {frozenset(group) for group in texts if len(group) == 2}
    assert both == {
        frozenset((f"first text of {i}", f"second text of {i}")) for i in range(1, 20, 2)
    }
    package = pl.concat(
        [pl.read_parquet(f) for f in sorted((tmp_path / "merged").glob("*.parquet"))]
    )
    assert sorted(map(sorted, package["merged_text"].to_list())) == sorted(map(sorted, texts))


def test_yi_text_removes_what_brute_force_says_and_tells_the_yield_of_each_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = random.Random(3)
    scenes = [random_scene(rng_for("text", i)) for i in range(300)]
    texts = [alt_text(s, "en", rng_for("alt", i), None) for i, s in enumerate(scenes)]
    texts += [f"{t.capitalize()} !" for t in texts[:40]]
    texts += [" ".join([*t.split(), "today"]) for t in texts[40:100]]
    texts += ["buy now", "ein roter Ball liegt auf der grünen Wiese am See"] * 5
    rng.shuffle(texts)
    pl.DataFrame({"text": texts}).write_parquet(tmp_path / "texts.parquet")
    result = run("yi-text", tmp_path, monkeypatch)
    steps = {step.stage: step for step in result.funnel.steps}
    table = result.table()
    seen = table.filter(pl.col("near_cluster_size").is_not_null())
    assert steps["same"].dropped >= 30
    words = [set(re.findall(r"\w+", t.lower())) for t in seen["text"].to_list()]
    near = np.array([[len(a & b) / len(a | b) >= 0.7 for b in words] for a in words])
    repeats = seen["near_cluster_size"].to_numpy() > 1
    true = near.sum(1) > 1
    assert (repeats & true).sum() >= 0.99 * true.sum() > 0
    assert repeats.sum() <= true.sum()
    card = (tmp_path / "texts/README.md").read_text()
    assert all(name in card for name in ("text_rules", "language", "same", "near"))


def test_semdedup_keeps_one_of_the_pictures_that_its_encoder_takes_for_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(24):
        written(tmp_path / "pool", f"p{i}", copied(picture(i), 0))
        if i % 2:
            written(tmp_path / "pool", f"p{i}-copy", copied(picture(i), i % 4))
    result = run("semdedup", tmp_path, monkeypatch)
    table = result.table()
    said = {name.partition("-")[0]: size for name, size in zip(
        name_of(table["source"]), table["cluster_size"], strict=True)}  # fmt: skip
    copies = [said[f"p{i}"] > 1 for i in range(1, 24, 2)]
    assert sum(copies) >= 11
    kept = table.filter(pl.col("fate") == "kept")
    assert kept.height == table["cluster_id"].n_unique()
