"""The caption recipes on a small demo world: each mechanism does what its system is known for."""

import json
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from pairmill.demo.proofs import PROOFS
from pairmill.demo.recipes import RECIPES, run_recipe, served, write_pictures
from pairmill.demo.world import World

pytestmark = pytest.mark.slow

Place = tuple[Path, pl.DataFrame]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A folder with pictures, their truth, and the oracle; the recipes share a workspace."""
    folder, world = tmp_path_factory.mktemp("recipes"), World(60, 1)
    truth = write_pictures(world, folder)
    with served(world, slow=0.0):
        yield folder, truth


@pytest.mark.parametrize("name", PROOFS)
def test_recipe_reaches_its_goals(name: str, place: Place) -> None:
    measures = run_recipe(name, *place)
    assert [m for m in measures if m.goal is not None]
    assert [m for m in measures if m.goal is not None and m.value < m.goal] == []
    assert all(m.rows > 0 for m in measures)
    made = json.loads((place[0] / name / "0/manifest.json").read_text())["made_by"]
    assert made
    for facts in made.values():
        assert facts["model"]
        assert facts["engine"] in ("transformers", "openai")
        assert facts["engine_version"]
        assert facts["prompt"]["text"]
        assert len(facts["prompt_id"]) == 16
        assert facts["decoding"]["max_new_tokens"] > 0


def test_every_proof_has_its_recipe() -> None:
    assert {f"{name}.yaml" for name in PROOFS} <= {f.name for f in RECIPES.glob("*.yaml")}
