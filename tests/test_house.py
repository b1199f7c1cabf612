"""What the house promises of its own code and documents."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from pairmill.plan.documentation import stage_pages

ROOT = Path(__file__).parent.parent
SOURCES = sorted((ROOT / "pairmill").rglob("*.py"))
LAYERS = {
    "schemas": 0,
    "stages": 1,
    "filters": 1,
    "captioners": 1,
    "sources": 1,
    "outputs": 1,
    "pipeline": 2,
    "report": 3,
    "demo": 3,
}
UPWARD = {("pipeline", "report")}  # the run's last step writes the report


@pytest.mark.parametrize("folder", ["pairmill", "tests", "tools", "benchmarks", "examples"])
def test_files_stay_under_300_lines(folder: str) -> None:
    long = {
        str(f): n
        for f in (ROOT / folder).rglob("*.py")
        if (n := len(f.read_text().splitlines())) > 300
    }
    assert long == {}


def test_imports_go_one_way_and_only_the_pipeline_knows_ray() -> None:
    wrong = []
    for file in SOURCES:
        part = file.relative_to(ROOT / "pairmill").parts[0].removesuffix(".py")
        for node in ast.walk(ast.parse(file.read_text())):
            names = (
                [a.name for a in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
            for name in names:
                target = name.split(".")
                if target[0] == "ray" and part != "pipeline":
                    wrong.append(f"{file.name} imports ray")
                if (
                    target[0] != "pairmill"
                    or len(target) < 2
                    or part not in LAYERS
                    or target[1] not in LAYERS
                ):
                    continue
                if LAYERS[target[1]] > LAYERS[part] and (part, target[1]) not in UPWARD:
                    wrong.append(f"{file.name} imports {name}")
    assert wrong == []


def test_documentation_of_stages_is_current() -> None:
    assert (ROOT / "docs/stages.md").read_text() == stage_pages(), "run `make docs`"


@pytest.mark.parametrize(
    "code", ["import pairmill", "import pairmill.cli", "from pairmill import Pipeline"]
)
def test_light_imports_load_neither_torch_nor_ray(code: str) -> None:
    check = f"{code}; import sys; print([m for m in ('torch', 'ray', 'transformers') if m in sys.modules])"
    assert (
        subprocess.run(
            [sys.executable, "-c", check], capture_output=True, text=True, check=True
        ).stdout.strip()
        == "[]"
    )
