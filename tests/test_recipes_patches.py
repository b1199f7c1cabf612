"""Patch Matters on crowded scenes: parts described, merged, and judged."""

from pathlib import Path

from pairmill.demo.recipes import run_recipe, served, write_pictures
from pairmill.demo.world import World


def test_captions_of_parts_merge_to_one_that_says_more_that_is_right(tmp_path: Path) -> None:
    world = World(24, 1, things=4)
    truth = write_pictures(world, tmp_path)
    with served(world, slow=0.0):
        measures = run_recipe("patch-matters", tmp_path, truth)
    assert [m for m in measures if m.goal is not None and m.value < m.goal] == []
    assert all(m.rows > 0 for m in measures)
