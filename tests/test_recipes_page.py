"""The page of recipes as its reader meets it: every file is on it, says what to replace and how to
run it, and is a pipeline without faults but for inputs that are not there.
"""

import ast
import re
import shutil
from pathlib import Path

import pytest

from pairmill.api import Pipeline
from pairmill.demo.proofs import PROOFS
from pairmill.demo.recipes import every_proof
from pairmill.demo.show import MODELS
from pairmill.errors import PipelineFileError

ROOT = Path(__file__).parent.parent
RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))
PAGES = [ROOT / "docs/recipes.md", *sorted((ROOT / "docs/recipes").glob("*.md"))]
ABSENT = re.compile(r"matches no file|cannot be read|No such file|is no folder|does not exist")
"""What is said of an input that a recipe names and this folder does not have."""
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


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda p: p.stem)
def test_recipe_has_no_fault_but_inputs_that_are_not_there(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("DEMO_MODELS", "BLIND_CLIP", "PAIR_SCORER", "LOOKS_ENCODER"):
        own = "" if variable == "DEMO_MODELS" else "/clip"
        monkeypatch.setenv(variable, f"{MODELS}{own}")
    monkeypatch.setenv("DEMO_SERVER", "127.0.0.1:1")
    monkeypatch.setenv("ORACLE", "http://127.0.0.1:1/v1")
    for file in (recipe, *(ROOT / "recipes").glob("*.py"), ROOT / "recipes/concepts.tsv"):
        shutil.copy(file, tmp_path)
    problems: list[str] = []
    try:
        Pipeline.from_yaml(tmp_path / recipe.name)
    except PipelineFileError as error:
        problems = list(map(str, error.problems))
    assert [line for line in problems if not ABSENT.search(line)] == []


def test_a_recipe_of_captions_has_its_proof() -> None:
    assert set(PROOFS) <= {recipe.stem for recipe in RECIPES}
