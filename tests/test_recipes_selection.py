"""Recipes of selection over a small generated world, measured against its truth."""

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pairmill.api import Pipeline
from pairmill.demo.quality import kinds_in
from pairmill.demo.tables import write_world
from pairmill.demo.world import World
from tests.report_pages import Opened, browser  # noqa: F401  (a fixture)

RECIPES = Path(__file__).parent.parent / "recipes"
ROWS = 1500


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a world whose kinds of things follow Zipf's law, and the recipes."""
    folder = tmp_path_factory.mktemp("recipes")
    write_world(World(ROWS, 5, zipf=1.2), folder / "world")
    for file in RECIPES.iterdir():
        shutil.copy(file, folder)
    return folder


def run(place: Path, name: str) -> tuple[Any, pl.DataFrame]:
    result = Pipeline.from_yaml(place / f"{name}.yaml").run(local=True, progress=False)
    files = sorted((place / name / "data").glob("*.parquet"))
    return result, pl.concat([pl.read_parquet(f) for f in files])


def test_metaclip_caps_the_head_and_keeps_the_tail_whole(place: Path, browser: Any) -> None:  # noqa: F811
    result, kept = run(place, "metaclip")
    pool = pl.read_parquet(place / "world/pairs.parquet")
    truth = Counter(kind for text in pool["text"].to_list() for kind in kinds_in(text))
    after = Counter(kind for text in kept["text"].to_list() for kind in kinds_in(text))
    rare = [kind for kind, n in truth.items() if n <= 60]
    assert len(rare) >= 4
    assert {kind: after[kind] for kind in rare} == {kind: truth[kind] for kind in rare}
    share = [sum(c[k] for k in rare) / c.total() for c in (truth, after)]
    assert share[1] > 1.25 * share[0]
    commonest, before = truth.most_common(1)[0]
    assert after[commonest] < 0.7 * before
    shown = json.loads((Path(result.folder) / "report/data.json").read_text())["concepts"][0]
    assert {v["concept"]: v["came"] for v in shown["values"]} == dict(
        sorted(truth.items(), key=lambda item: (-item[1], item[0]))[:14]
    )
    assert {v["concept"]: v["kept"] for v in shown["values"]}.items() <= after.items()
    assert shown["tail_kept"] > shown["tail_came"]
    opened = Opened(browser, Path(result.folder) / "report/index.html")
    assert opened.page.locator("#concepts table tr").count() == 15
    assert opened.said == []


def test_m2_encoder_has_as_much_chinese_as_english(place: Path) -> None:
    _, kept = run(place, "m2-encoder")
    counts = dict(kept.group_by("lang").len().iter_rows())
    assert counts["zh"] == counts["en"] > 50


def test_mm1_reaches_its_shares_to_a_sample(place: Path) -> None:
    run(place, "mm1")
    manifest = json.loads((place / "mm1/manifest.json").read_text())
    groups = manifest["selection"]["mixture"]["groups"]
    assert manifest["samples"] == 1200
    assert {name: g["written"] for name, g in groups.items()} == {
        "pairs": 540, "interleaved": 540, "chinese": 120,
    }  # fmt: skip
    assert groups["interleaved"]["written"] > groups["interleaved"]["rows"]


def test_a_world_is_as_asked_and_else_the_same_as_ever() -> None:
    plain, asked = World(300, 3), World(300, 3, zipf=1.5, noise=0.5, names=4)
    assert plain.row(17).url == asked.row(17).url
    kinds = Counter(g.kind for i in range(300) for g in asked.picture_scene(i).groups)
    assert kinds["ball"] > 5 * kinds["crown"]
    texts = Counter(asked.row(i).text_kind for i in range(300))
    assert 0.4 < texts["mismatched"] / 300 < 0.6
    names = {asked.row(i).name for i in range(300)} - {None}
    assert 1 < len(names) <= 4
    assert len({plain.row(i).name for i in range(300)}) > 30
