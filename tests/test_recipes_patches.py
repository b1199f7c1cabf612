"""Recipes of parts on crowded scenes: described, merged, judged; named, proposed for, chosen."""

from pathlib import Path

import pytest

from pairmill.demo.patches import OTHERS
from pairmill.demo.recipes import run_recipe, served, write_pictures
from pairmill.demo.world import World


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("patches")


@pytest.mark.parametrize("name", OTHERS)
def test_parts_say_more_that_is_right(name: str, folder: Path) -> None:
    world = World(24, 1, things=4)
    truth = write_pictures(world, folder)
    with served(world, slow=0.0):
        measures = run_recipe(name, folder, truth)
    assert [m for m in measures if m.goal is not None and m.value < m.goal] == []
    assert all(m.rows > 0 for m in measures)
