"""The demo world is as it is asked to be, and without being asked what it has always been."""

import argparse
import hashlib
import io

import numpy as np
import pytest
from PIL import Image

from pairmill.demo.drawing import render_boxes
from pairmill.demo.oracle_reading import told_by
from pairmill.demo.pictures import picture_bytes
from pairmill.demo.scenes import rng_for
from pairmill.demo.texts import detailed_caption, short_caption
from pairmill.demo.traits import Traits, add_arguments, traits_of
from pairmill.demo.world import World


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
