"""FILIP: does likeness by patches and tokens see one wrong attribute better than a cosine does?"""

import shutil
from dataclasses import replace
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pairmill.api import Pipeline
from pairmill.demo.pictures import picture_bytes
from pairmill.demo.quality import auc
from pairmill.demo.scenes import rng_for
from pairmill.demo.texts import alt_text
from pairmill.demo.words import COLOURS
from pairmill.demo.world import World

RECIPES = Path(__file__).parent.parent / "recipes"
SCORES = ("clip_score", "late_interaction_score", "late_interaction_image", "late_interaction_text")


@pytest.mark.slow
def test_filip_is_compared_with_the_cosine_where_the_second_things_colour_is_wrong(
    tmp_path: Path,
) -> None:
    """Each picture of two things twice: with its own text, and with one that gives the second thing
    another colour.  The demo's CLIP was trained by the cosine alone.
    """
    world = World(420, 5)
    pairs = []
    for row in map(world.row, range(world.rows)):
        if len(row.scene.groups) < 2 or row.copy != "original":
            continue
        rng = rng_for("fine", row.index)
        first, second = row.scene.groups[:2]
        colour = rng.choice([c for c in COLOURS if c not in (second.colour, first.colour)])
        wrong = replace(row.scene, groups=(first, replace(second, colour=colour)))
        own, other = (
            alt_text(scene, "en", rng_for("words", row.index), None) for scene in (row.scene, wrong)
        )
        if own == other:  # a text that does not tell the second thing's colour
            continue
        image = picture_bytes(world, row)
        for text, right in ((own, True), (other, False)):
            url = f"{row.url}#{right}"
            pairs.append({"image": image, "url": url, "text": text, "right": right})
    (tmp_path / "fine").mkdir()
    pq.write_table(pa.Table.from_pylist(pairs), tmp_path / "fine/pairs.parquet")
    shutil.copy(RECIPES / "filip.yaml", tmp_path)
    found = Pipeline.from_yaml(tmp_path / "filip.yaml").run(local=True, progress=False).table()
    sides = [found.filter(pl.col("right") == side) for side in (True, False)]
    areas = {name: auc(*(side[name] for side in sides)) for name in SCORES}
    ordered = [
        side.with_columns(pl.col("url").str.split("#").list.first()).sort("url") for side in sides
    ]
    preferred = {
        name: (ordered[0][name] > ordered[1][name]).mean() for name in ("clip_score", SCORES[1])
    }
    gaps = {  # how far a wrong word moves the score, and how far another picture does
        name: (float((ordered[0][name] - ordered[1][name]).mean()), float(ordered[0][name].std()))
        for name in preferred
    }
    kept = found.filter(pl.col("fate") == "kept")
    print("filip", found.height, areas, preferred, gaps, kept.height, kept["right"].mean())
    assert kept.height >= found.height // 2
    assert preferred[SCORES[1]] > preferred["clip_score"]
