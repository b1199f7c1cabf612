"""Plans: what is stored, what waits; stages of other packages."""

import json
from collections.abc import Callable
from pathlib import Path

from pairmill.pipeline.api import Pipeline
from tests.conftest import pairmill
from tests.test_run import run, text

Write = Callable[[str], Path]


def test_plan_tells_stored_and_waiting_rows(write: Write, numbers: Path) -> None:
    file = write(text("", "  - stage: filter\n    keep: position_in < 30\n"))
    assert Pipeline.from_yaml(file).plan()["pool_rows"] is None
    run(file)
    picky = Pipeline.from_yaml(file, {"stages.filter.keep": "position_in < 50"}).plan()["stages"][1]
    assert (picky["rows_stored"], picky["rows_waiting"]) == (30, 20)
    shown = pairmill("plan", str(file)).stdout
    assert "picky ← position (source)" in shown


def test_stage_of_an_entry_point_is_found_by_its_name(write: Write, numbers: Path) -> None:
    info = numbers / "site/third_party-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: third-party\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[pairmill.stages]\nfancy = tests.stages_for_tests:PickyStage\n")
    file = write(text("").replace("tests.stages_for_tests:PickyStage", "fancy"))
    shown = pairmill("plan", "--json", str(file), PYTHONPATH=f"{numbers}/site:{Path(__file__).parent.parent}")
    assert json.loads(shown.stdout)["stages"][0]["writes"] == ["picky_twice", "picky_batch"]
    assert "unknown stage 'fancy'" in pairmill("validate", str(file)).stderr
