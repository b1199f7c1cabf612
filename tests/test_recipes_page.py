"""The page of recipes as its reader meets it: every file is on it, its commands run what there is,
and a proof runs every recipe.
"""

import ast
import re
from pathlib import Path

import pytest

from pairmill.demo.proofs import PROOFS
from pairmill.demo.recipes import every_proof

ROOT = Path(__file__).parent.parent
RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))
PAGES = [ROOT / "docs/recipes.md", *sorted((ROOT / "docs/recipes").glob("*.md"))]
TESTED = re.compile(r"python -m pytest (tests/\w+\.py)(?: -s)?(?: -k (\w+))?")
SHOWN = re.compile(r"python -m pairmill\.demo\.recipes ([\w-]+)")


def head(recipe: Path) -> str:
    """The comment at a recipe's beginning."""
    lines = recipe.read_text().splitlines()
    return "\n".join(line for line in lines[: lines.index(f"name: {recipe.stem}")])


def test_every_recipe_stands_on_the_page() -> None:
    page = PAGES[0].read_text()
    named = set(re.findall(r"\brecipes/([\w-]+\.yaml)", page))
    assert named == {recipe.name for recipe in RECIPES}


@pytest.mark.parametrize("file", [*RECIPES, *PAGES], ids=lambda p: p.name)
def test_commands_of_recipes_and_pages_run_what_there_is(file: Path) -> None:
    text = file.read_text() if file.suffix == ".md" else head(file)
    for name, pattern in TESTED.findall(text):
        tree = ast.parse((ROOT / name).read_text())
        tests = [n.name for n in tree.body if getattr(n, "name", "").startswith("test_")]
        assert [t for t in tests if pattern in t], f"{name} -k {pattern} chooses no test"
    for name in SHOWN.findall(text):
        assert name in ("NAME", *every_proof()), f"{name} has no proof"


def test_every_recipe_is_run_by_a_proof() -> None:
    """A proof runs the file, so that it has no fault."""
    folders = (ROOT / "tests", ROOT / "benchmarks", ROOT / "pairmill/demo")
    texts = [f.read_text() for d in folders for f in d.glob("*.py") if f != Path(__file__)]
    quoted = re.compile(r"[\"']([\w.-]+?)(?:\.yaml)?[\"']")
    named = {name for text in texts for name in quoted.findall(text)}
    datacomp = {r.stem for r in RECIPES if r.stem.startswith("datacomp-")}
    assert {r.stem for r in RECIPES} - named - datacomp == set()


def test_a_recipe_of_captions_has_its_proof() -> None:
    assert set(PROOFS) <= {recipe.stem for recipe in RECIPES}
