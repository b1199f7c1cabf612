"""The demo world is as it is asked to be, and without being asked what it has always been."""

import argparse
import hashlib
import io
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pairmill.demo.drawing import render_boxes
from pairmill.demo.oracle_reading import told_by
from pairmill.demo.pictures import picture_bytes
from pairmill.demo.scenes import rng_for
from pairmill.demo.tables import write_world
from pairmill.demo.texts import detailed_caption, short_caption
from pairmill.demo.traits import Traits, add_arguments, traits_of
from pairmill.demo.words import SIDES
from pairmill.demo.world import TEXT_KINDS, World


def test_traits_survive_the_command_line_of_the_servers() -> None:
    traits = Traits(zipf=1.5, noise=0.0, things=6)
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    assert traits_of(parser.parse_args(traits.arguments())) == traits
    assert traits_of(parser.parse_args([])) == Traits()


def test_unasked_the_world_is_what_its_models_were_trained_for() -> None:
    world = World(60, 0)
    rows = "".join(f"{r.url}{r.text}{r.scene}{r.page_url}" for r in map(world.row, range(60)))
    assert hashlib.sha256(rows.encode()).hexdigest()[:16] == "f49e635dbb17b58b"


@pytest.mark.parametrize("fewest", [4, 6, 12])
def test_scenes_of_many_things_show_each_of_them_apart(fewest: int) -> None:
    world = World(40, 1, things=fewest)
    for row in map(world.row, range(40)):
        kinds = [group.kind for group in row.scene.groups]
        assert fewest <= len(set(kinds)) == len(kinds) <= min(12, 1.5 * fewest)
        _, places = render_boxes(row.scene, 320, 240, rng_for(row.index))
        boxes = [box for of_group in places for box in of_group]
        assert len(boxes) == len(kinds)
        painted = np.zeros((240, 320), int)
        for x, y, side in boxes:
            painted[y : y + side, x : x + side] += 1
        assert painted.max() == 1
        for caption in (short_caption(row.scene), detailed_caption(row.scene)):
            assert [group.kind for group in told_by(caption).groups] == kinds
        if row.matched:  # the web's text names the first two
            assert set(told_by(row.text).kinds()) == set(kinds[:2])


def test_pictures_of_many_things_arrive_and_traits_out_of_bounds_are_named() -> None:
    world = World(5, 1, things=9)
    size = Image.open(io.BytesIO(picture_bytes(world, world.row(0)))).size
    assert min(size) >= 100
    with pytest.raises(ValueError, match=r"things: 0 to 12, not 40"):
        World(5, 1, things=40)


def test_texts_are_wrong_and_related_and_junk_at_the_rates_asked_for() -> None:
    world = World(800, 2, noise=0.5, junk=0.2, wrong=0.5, relations=0.6)
    rows = [world.row(i) for i in range(800)]
    share = {kind: sum(r.text_kind == kind for r in rows) / 800 for kind in (*TEXT_KINDS, "wrong")}
    assert share["mismatched"] == pytest.approx(0.5, abs=0.05)
    junk = sum(share[kind] for kind in ("boilerplate", "short", "truncated", "spam"))
    assert junk == pytest.approx(0.2, abs=0.04)
    assert share["wrong"] == pytest.approx(0.15, abs=0.04)
    wrong = [row for row in rows if row.wrong]
    assert {row.wrong for row in wrong} == {"colour", "count", "relation"}
    for row in [row for row in rows if row.text_kind in ("matched", "wrong")]:
        told, shown = told_by(row.text).groups, row.scene.groups[:2]
        differing = {
            what
            for a, b in zip(told, shown, strict=False)
            for what in ("kind", "colour", "count")
            if getattr(a, what) != getattr(b, what)
        }
        if row.wrong == "relation":
            assert [g.kind for g in told] == [g.kind for g in shown][::-1]
        else:
            assert differing == ({row.wrong} if row.wrong else set()), row
        sides = SIDES[row.language].split("|")[2 * (row.scene.relation == "above") :][:2]
        assert all(side in row.text for side in sides) >= row.related
    two = [r for r in rows if r.text_kind == "matched" and len(r.scene.groups) == 2]
    assert sum(row.related for row in two) / len(two) == pytest.approx(0.6, abs=0.15)


def test_watermarks_and_motifs_are_painted_at_their_rates_and_change_nothing_else() -> None:
    marked, plain = World(300, 4, watermarks=0.3, motifs=0.1), World(300, 4)
    scenes = [marked.row(i).scene for i in range(300)]
    assert sum(s.watermark for s in scenes) / 300 == pytest.approx(0.3, abs=0.08)
    assert sum(s.motif for s in scenes) / 300 == pytest.approx(0.1, abs=0.06)
    compared = 0
    for index in range(40):
        row = marked.row(index)
        assert (row.text, row.url) == (plain.row(index).text, plain.row(index).url)
        images = [
            np.asarray(render_boxes(w.row(index).scene, 300, 200, rng_for(index))[0]).astype(int)
            for w in (marked, plain)
        ]
        changed = np.abs(images[0] - images[1]).max(axis=2) > 0
        corner, middle = changed[4:56, 244:298].mean(), changed[80:130, 60:240].mean()
        assert (corner > 0.3) == row.scene.motif
        assert (middle > 0.05) == row.scene.watermark
        compared += row.scene.motif or row.scene.watermark
    assert compared > 5


def test_pages_tell_what_pictures_do_not_show(tmp_path: Path) -> None:
    pairs, truth = write_world(World(200, 0, facts=0.5), tmp_path)
    seen, true = pq.read_table(pairs).to_pylist(), pq.read_table(truth).to_pylist()
    told = [(s, t) for s, t in zip(seen, true, strict=True) if t["fact"]]
    assert len(told) / 200 == pytest.approx(0.5, abs=0.1)
    assert {t["fact_kind"] for _, t in told} == {"price", "year", "maker"}
    assert all(t["fact"] in s["page_text"] and t["fact"] not in s["text"] for s, t in told)
    assert all(t["kinds"][0] in s["page_text"] for s, t in told)
    assert sum(s["page_text"] is None for s in seen) == 200 - len(told)
    plain, _ = write_world(World(5, 0), tmp_path / "plain")
    assert pq.read_schema(plain).names == ["url", "text", "page_url", "lang_tag"]


@pytest.mark.parametrize(
    ("traits", "message"),
    [({"wrong": 2.0}, "wrong: a share"), ({"noise": 0.7, "junk": 0.4}, "noise and junk")],
)
def test_shares_out_of_bounds_are_named(traits: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        World(5, 0, **traits)
