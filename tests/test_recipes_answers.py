"""Recipes whose proof wants pages that tell something, or questions."""

from pathlib import Path

import pytest

from pairmill.demo.proofs_answers import ASKED
from pairmill.demo.recipes import run_recipe, served, write_pictures
from pairmill.demo.world import World

pytestmark = pytest.mark.slow


def test_captions_that_know_the_page_and_questions_that_need_no_picture(tmp_path: Path) -> None:
    world = World(60, 1, facts=0.5)
    truth = write_pictures(world, tmp_path)
    with served(world, slow=0.0):
        for name in ASKED:
            measures = run_recipe(name, tmp_path, truth)
            assert [m for m in measures if m.goal is not None and m.value < m.goal] == []
            assert all(m.rows > 0 for m in measures)
