"""Recipes of scores over a small generated world, measured against its truth."""

import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pairmill.api import Pipeline
from pairmill.demo.pictures import picture_bytes
from pairmill.demo.show import MODELS
from pairmill.demo.tables import chunks
from pairmill.demo.world import World
from pairmill.stages.select.noise import NoiseConfig, NoiseStage

RECIPES = Path(__file__).parent.parent / "recipes"
ROWS = 500


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the pictures of a noisy world, its truth, and the recipes."""
    folder = tmp_path_factory.mktemp("recipes")
    world = World(ROWS, 7, noise=0.4, names=5)
    seen, truth = (
        pl.from_arrow(pa.concat_tables(part)) for part in zip(*chunks(world), strict=True)
    )
    images = [picture_bytes(world, row) for row in map(world.row, range(ROWS))]
    (folder / "web").mkdir()
    pairs = seen.with_columns(pl.Series("image", images))
    pq.write_table(pairs.to_arrow(), folder / "web/pairs.parquet")
    truth.write_parquet(folder / "truth.parquet")
    for name in ("nevlp", "filter-diversity", "mmssr"):
        shutil.copy(RECIPES / f"{name}.yaml", folder)
    return folder


def run(place: Path, name: str) -> pl.DataFrame:
    """The rows of a recipe's run, with the truth."""
    result = Pipeline.from_yaml(place / f"{name}.yaml").run(local=True, progress=False)
    truth = pl.read_parquet(place / "truth.parquet")
    return result.table().join(truth, on="url", suffix="_true")


def test_nevlp_drops_nothing_and_says_how_probably_each_pair_is_noise(place: Path) -> None:
    every = run(place, "nevlp")
    normal = NoiseStage(NoiseConfig(by="clip_score", per=["lang_tag"]))
    assumed = normal(every.select("uid", "clip_score", "lang_tag").to_arrow())["noise"].to_numpy()
    every = every.with_columns(assumed=pl.Series(assumed))
    rows = every.filter(pl.col("text_kind").is_in(["matched", "mismatched"]))
    noise, wrong = rows["noise"].to_numpy(), (~rows["matched"]).to_numpy()
    assumed = rows["assumed"].to_numpy()

    def off(said: np.ndarray) -> float:
        """The expected calibration error over ten bins."""
        bins = np.minimum((said * 10).astype(int), 9)
        return float(sum(
            abs(said[bins == b].mean() - wrong[bins == b].mean()) * (bins == b).mean()
            for b in np.unique(bins)
        ))  # fmt: skip

    error = off(noise)
    by_threshold = (rows["clip_score"] < 0.3).to_numpy()
    hard = abs(by_threshold.astype(float) - wrong).mean()
    print("nevlp", error, off(assumed), hard, noise[wrong].mean(), noise[~wrong].mean(), len(noise))
    assert error <= 0.06 < off(assumed)  # the demo model's scores are no two normal distributions
    assert noise[wrong].mean() > 0.8 > 0.2 > noise[~wrong].mean()
    written = pl.concat([pl.read_parquet(f) for f in (place / "nevlp/data").glob("*.parquet")])
    assert written.height == ROWS  # nothing is dropped
    assert (written["weight"] + written["noise"]).to_numpy() == pytest.approx(1.0)


def test_filter_diversity_tells_what_one_threshold_does_to_languages(place: Path) -> None:
    rows = run(place, "filter-diversity").filter("matched")
    share = {
        name: dict(rows.group_by("language").agg(pl.col(name).mean()).iter_rows())
        for name in ("one_threshold", "each_language")
    }
    print("diversity", share)
    spread = {name: max(s.values()) - min(s.values()) for name, s in share.items()}
    assert spread["each_language"] < spread["one_threshold"]


def test_mmssr_chooses_cleaner_and_more_distinct_rows_than_chance(place: Path) -> None:
    rows = run(place, "mmssr")
    chosen, random = rows.filter("selected"), rows.filter("selected_control")
    strata = [dict(part.group_by("lang").len().iter_rows()) for part in (chosen, random)]
    assert strata[0] == strata[1]
    clean = [part["matched"].mean() for part in (chosen, random)]
    distinct = [part["picture"].n_unique() / part.height for part in (chosen, random)]
    covered = [
        part.filter("matched").select(pl.struct("kinds", "colours", "place")).n_unique()
        for part in (chosen, random)
    ]
    print("mmssr", chosen.height, clean, distinct, covered)
    assert clean[0] > clean[1] + 0.3
    assert distinct[0] > distinct[1]
    assert covered[0] > 1.5 * covered[1]


def colour_blind(folder: Path) -> Path:
    """The demo's CLIP with one weight for red, green and blue, so that colours are luminance."""
    import torch

    from pairmill.models.library import transformers

    shutil.copytree(MODELS / "clip", folder)
    model = transformers().AutoModel.from_pretrained(folder)
    weight = model.vision_model.embeddings.patch_embedding.weight.data
    luminance = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    weight.copy_(weight.sum(1, keepdim=True) * luminance)
    model.save_pretrained(folder)
    return folder


def test_pairs_that_a_colour_blind_clip_takes_for_the_same_differ_in_a_colour_by_truth(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the pairs it is wrong about at least .8 are the world's confusable ones."""
    world = World(700, 0)
    rows = [row for row in map(world.row, range(700)) if row.expected_error is None]
    twins = {row.picture for row in rows if row.copy == "confusable"}
    some = [r for r in rows if r.picture in twins or r.index < 150]
    (tmp_path / "blind").mkdir()
    images = [picture_bytes(world, row) for row in some]
    pairs = pa.table(
        {"image": images, "url": [r.url for r in some], "text": [r.text for r in some]}
    )
    pq.write_table(pairs, tmp_path / "blind/pairs.parquet")
    monkeypatch.setenv("BLIND_CLIP", str(colour_blind(tmp_path / "clip")))
    shutil.copy(RECIPES / "eyes-wide-shut.yaml", tmp_path)
    run = Pipeline.from_yaml(tmp_path / "eyes-wide-shut.yaml").run(local=True, progress=False)
    found = run.table()
    row_of = {row.url: row for row in some}
    of_uid = {uid: row_of[url] for uid, url in found.select("uid", "url").iter_rows()}
    mined = found.drop_nulls("second_opinion_of").select("uid", "second_opinion_of").iter_rows()
    couples = {tuple(sorted(couple)) for couple in mined}
    right = [
        (one, two)
        for one, two in couples
        if of_uid[one].picture == of_uid[two].picture and of_uid[one].scene != of_uid[two].scene
    ]
    print("blind pairs", len(right), len(couples), len(twins), len(some))
    assert len(couples) >= 5
    assert len(right) / len(couples) >= 0.8
