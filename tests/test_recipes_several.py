"""Recipes with several packages or several sources, on a small world, against its truth."""

import json
import random
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from pairmill import Pipeline, RunResult
from pairmill.demo.labelled import write_two_sources
from pairmill.demo.quality import attributes_right
from pairmill.demo.show import MODELS
from pairmill.demo.tables import write_world
from pairmill.demo.words import EN_PLACES
from pairmill.demo.world import World

pytestmark = pytest.mark.slow

RECIPES = Path(__file__).parent.parent / "recipes"


def run(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch, **variables: str) -> RunResult:
    for variable, value in {"DEMO_MODELS": str(MODELS), **variables}.items():
        monkeypatch.setenv(variable, value)
    file = folder / f"{name}.yaml"
    shutil.copyfile(RECIPES / f"{name}.yaml", file)
    return Pipeline.from_yaml(file).run(local=True, progress=False)


def samples(package: Path) -> pl.DataFrame:
    """The columns that stand beside the tars, in the package's order."""
    return pl.concat([pl.read_parquet(f) for f in sorted(package.glob("*.parquet"))])


def test_humanvlm_makes_a_bulk_and_an_hq_package_and_computes_nothing_twice(
    tmp_path: Path, web: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(60, 0)
    _, truth = write_world(world, tmp_path / "world")
    result = run("humanvlm", tmp_path, monkeypatch, DEMO_SERVER=web["*.demo.test"])
    bulk, hq = samples(tmp_path / "bulk"), samples(tmp_path / "hq")
    assert set(hq["uid"]) < set(bulk["uid"])
    assert "detailed" not in bulk.columns
    scores = hq["detailed_clip_score"].to_list()
    assert scores == sorted(scores, reverse=True)
    steps = {step.stage: step for step in result.funnel.steps}
    assert bulk.height == steps["synthetic"].kept
    assert 10 < hq.height < bulk.height
    computed = json.loads((Path(result.folder) / "metrics.json").read_text())["stages"]
    for stage in ("synthetic", "detailed", "detailed_clip"):
        assert computed[stage]["computed"] == steps[stage].rows
    facts = pl.read_parquet(truth).with_row_index("index")
    right = mentioned = places = relations = 0
    for row in hq.join(facts, on="url", suffix="_true").to_dicts():
        scene = world.row(row["index"]).scene
        hits, said = attributes_right(row["detailed"], row["kinds"], row["colours"], row["counts"])
        right, mentioned = right + hits, mentioned + said
        places += EN_PLACES[row["place"]] in row["detailed"]
        relations += ("Below" in row["detailed"]) == (scene.relation == "above")
    assert right >= 0.9 * mentioned > 0
    assert places >= 0.9 * hq.height
    assert relations >= 0.9 * hq.height


def test_rs5m_unites_filtered_web_pairs_and_labelled_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    truth = write_two_sources(World(60, 0), tmp_path)
    result = run("rs5m", tmp_path, monkeypatch)
    union = samples(tmp_path / "union")
    facts = pl.read_parquet(truth).unique("sha256")
    every = result.table().join(facts, on="sha256", suffix="_true")
    joined = union.join(every.select("uid", "branch"), on="uid")
    assert joined.height == union.height == result.funnel.kept
    assert (joined["source"] == joined["branch"]).all()
    assert set(union.filter(pl.col("source") == "labels")["domain"]) == {"beach"}
    origins = Counter(zip(union["source"], union["caption_origin"], strict=True))
    assert set(origins) == {("web", "the web"), ("labels", "label and model")}
    captioned = union.filter(pl.col("source") == "labels")
    assert all(label in final for label, final in captioned.select("label", "final").rows())
    seen = every.filter((pl.col("source") == "web") & pl.col("synthetic").is_not_null())
    said, true = seen["synthetic"].str.contains("on a beach"), seen["place"] == "beach"
    assert (said & true).sum() >= 0.9 * said.sum() > 0
    assert (said & true).sum() >= 0.9 * true.sum()
    alone = pl.read_parquet(tmp_path / "web_only/data/*.parquet")
    assert set(alone["uid"]) == set(union.filter(pl.col("source") == "web")["uid"])


def test_five_baselines_of_datacomp_come_out_of_one_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against their definitions, written out here, on metadata with ties and nulls."""
    chance = random.Random(5)
    texts = ["a red ball in the green grass", "ein roter Ball liegt im Gras", "two words", "photo"]
    scores = [None, 0.1, 0.2, 0.25, 0.28, 0.28, 0.3, 0.4]
    rows = [
        {
            "uid": f"{chance.getrandbits(128):032x}",
            "url": f"http://host/{i}.jpg",
            "text": chance.choice(texts),
            "original_width": chance.choice([None, 150, 200, 640, 1900]),
            "original_height": chance.choice([200, 480, 601]),
            "clip_b32_similarity_score": chance.choice(scores),
            "clip_l14_similarity_score": chance.choice(scores),
        }
        for i in range(900)
    ]
    (tmp_path / "metadata").mkdir()
    pl.DataFrame(rows).write_parquet(tmp_path / "metadata/00000000.parquet")
    run("datacomp-one-run", tmp_path, monkeypatch)
    known = sorted(
        (s for r in rows if (s := r["clip_l14_similarity_score"]) is not None), reverse=True
    )
    threshold = known[int(len(known) * 0.3)]

    def basic(row: dict[str, Any]) -> bool:
        sides = [row["original_width"], row["original_height"]]
        english = row["text"] == texts[0]  # the only English text of more than two words
        return english and None not in sides and min(sides) >= 200 and max(sides) <= 3 * min(sides)

    def clip(row: dict[str, Any]) -> bool:
        return (row["clip_l14_similarity_score"] or 0) >= threshold

    definitions: dict[str, Callable[[dict[str, Any]], bool]] = {
        "no_filter": lambda row: True,
        "basic": basic,
        "clip": clip,
        "basic_and_clip": lambda row: basic(row) and clip(row),
    }
    for name, holds in definitions.items():
        expected = {row["uid"] for row in rows if holds(row)}
        assert uids(tmp_path / name) == expected, name
        assert len(expected) > 0
    likely = uids(tmp_path / "english_clip_b32")
    assert likely >= {
        row["uid"]
        for row in rows
        if row["text"] == texts[0] and (row["clip_b32_similarity_score"] or 0) >= 0.28
    }
    assert all(
        (row["clip_b32_similarity_score"] or 0) >= 0.28 for row in rows if row["uid"] in likely
    )


def uids(package: Path) -> set[str]:
    """What DataComp's resharder reads."""
    return {f"{int(a):016x}{int(b):016x}" for a, b in np.load(package / "uids.npy")}


def test_second_crawl_computes_its_own_rows_and_gives_what_a_fresh_workspace_gives(
    tmp_path: Path,
) -> None:
    """With two sources, of which the second grows by a file, and by another source after it."""
    world = [World(120, 0).row(i) for i in range(120)]
    rows = [{"url": row.url, "text": row.text} for row in world]
    parts = {"a": (0, 50), "b1": (50, 80), "b2": (80, 100), "c": (100, 120)}
    text = (
        "name: crawl\nsource:\n  a: {type: pairs, path: a.parquet}\n  b: {type: pairs, path: b}\n"
    )
    tail = (
        "stages:\n  - {stage: text_rules}\n  - {stage: language}\n"
        "outputs: [{type: table, path: out, overwrite: true}]\n"
    )
    (tmp_path / "b").mkdir()

    def crawl(workspace: str, more: str = "") -> tuple[list[float], list[bytes]]:
        file = tmp_path / "crawl.yaml"
        file.write_text(f"workspace: {workspace}\n{text}{more}{tail}")
        result = Pipeline.from_yaml(file).run(local=True, progress=False)
        metrics = json.loads((Path(result.folder) / "metrics.json").read_text())["stages"]
        counts = [metrics.get(name, {}).get("computed", 0) for name in ("text_rules", "language")]
        return counts, [f.read_bytes() for f in sorted((tmp_path / "out/data").iterdir())]

    def write(name: str, file: str) -> None:
        pl.DataFrame(rows[slice(*parts[name])]).write_parquet(tmp_path / file)

    write("a", "a.parquet")
    write("b1", "b/1.parquet")
    assert crawl("grown")[0] == [80, 80]
    write("b2", "b/2.parquet")
    assert crawl("grown")[0] == [20, 20]
    write("c", "c.parquet")
    third = "  c: {type: pairs, path: c.parquet}\n"
    counts, files = crawl("grown", third)
    assert counts == [20, 20]
    assert crawl("fresh", third) == ([120, 120], files)
