"""What a person is told of child tables: plan, report, terminal, runs."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from pairmill.api import Pipeline
from pairmill.cli import app
from pairmill.errors import RunError
from tests.report_pages import Opened, browser  # noqa: F401  (a fixture)
from tests.tiled import TILES, pictures_in


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("told")
    pictures_in(folder, 15)
    (folder / "p.yaml").write_text(TILES.format(wide=30, shade=42))
    before = Pipeline.from_yaml(folder / "p.yaml").plan()["stages"][2]
    assert (before["elements"], before["stages"][0]["rows_waiting"]) == (None, None)
    return Path(Pipeline.from_yaml(folder / "p.yaml").run(progress=False).folder)


def test_report_shows_the_block_below_its_step_and_scores_of_elements(run: Path) -> None:
    data = json.loads((run / "report/data.json").read_text())
    (score,) = [s for s in data["elements"]["tiles"]["scores"] if s["name"] == "shade"]
    assert score["rows"] == 40
    assert score["gates"][0]["at"] == "stages.each tiles.stages.shade"
    step = data["funnel"]["steps"][3]
    assert [s["stage"] for s in step["elements"]["steps"]] == ["elements of tiles", "shade"]


def test_page_opens_with_the_block(run: Path, browser: Any) -> None:  # noqa: F811
    opened = Opened(browser, run / "report/index.html")
    assert opened.said == []
    page = opened.page
    assert page.locator("#funnel .depth-1").all_inner_texts()[1].startswith("shade")
    assert "shade" in page.locator("#elements-tiles").inner_text()


def test_commands_tell_of_elements(run: Path) -> None:
    file = str(run.parent.parent.parent / "p.yaml")
    called = CliRunner()
    shown = called.invoke(app, ["plan", file]).stdout
    assert "elements of tiles: 40" in shown
    assert shown.count("0 rows to do") == 4
    shown = called.invoke(app, ["inspect", file, "--each", "tiles", "--columns", "place,shade",
                                "--where", "shade >= 42"]).stdout  # fmt: skip
    assert "4 rows" in shown
    shown = called.invoke(app, ["inspect", str(run)]).stdout
    assert "elements of" in shown
    assert "A block of stages" in called.invoke(app, ["stages"]).stdout
    assert "`collect`" in called.invoke(app, ["stages", "each"]).stdout
    assert "shade < 42" in called.invoke(app, ["runs", str(run.parent.parent)]).stdout


def test_a_block_that_is_none_is_refused(run: Path) -> None:
    pipeline = Pipeline.from_yaml(run.parent.parent.parent / "p.yaml")
    with pytest.raises(RunError, match=r"no block is named 'tile' \(blocks: tiles\)"):
        pipeline.stored(rows="tile")


def test_an_estimate_takes_a_sample_of_elements(run: Path) -> None:
    file = run.parent.parent.parent / "p.yaml"
    cost = Pipeline.from_yaml(file, {"stages.tiles.grid": "[1, 3]"}).estimate(4)
    assert cost.left_out == {}
    assert [stage.name for stage in cost.stages][-1] == "shade"
    assert cost.stages[-1].figures["computed"].value == 30  # three tiles of each of ten pictures
