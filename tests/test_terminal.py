"""What the commands show in a terminal of 80 columns, and what they give to programs."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from pairmill.api import Pipeline
from pairmill.cli import app
from pairmill.errors import CorruptWorkspace, StrangeFile
from pairmill.fates.ledger import Funnel, Step
from pairmill.pipeline.run_metrics import RunMetrics
from pairmill.terminal.display import LiveWatcher
from pairmill.terminal.inspecting import inspect_path
from pairmill.terminal.plan_view import plan_view
from pairmill.terminal.runs import runs_of
from pairmill.terminal.stage_list import stage_list
from pairmill.work.messages import SettingUp, StageStats
from pairmill.workspace.contents import open_workspace
from pairmill.workspace.storage import Storage

STAGES = """
  - {stage: text_rules, keep: "text_words > 1 AND text_chars > 5 AND text_repetition < 0.7"}
  - {stage: dedup, on: [text]}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    rows = "".join(f"http://a.test/{i},caption number {i}\n" for i in range(5))
    (tmp_path / "in.csv").write_text("url,text\n" + rows)
    head = "name: shown\nworkspace: w\nsource: {type: pairs, path: in.csv}\nstages:"
    (tmp_path / "p.yaml").write_text(head + STAGES)
    return tmp_path / "p.yaml"


def shown(what: object, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(what)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_plan_fits_80_columns_and_cuts_no_identity(file: Path) -> None:
    Pipeline.from_yaml(file).run(local=True, progress=False)
    plan = Pipeline.from_yaml(file).plan()
    text = shown(plan_view(plan))
    assert max(map(len, text.splitlines())) <= 80
    assert all(stage["identity"] in text for stage in plan["stages"])
    assert "text_rules  0 rows to do, 5 stored" in text
    assert "phase 2, over all rows" in text
    assert "and 1 more" in text
    assert "more" not in shown(plan_view(plan, columns=True)).split("in flight")[0]


def test_a_file_without_outputs_is_told_to_write_no_package(file: Path) -> None:
    told = CliRunner().invoke(app, ["validate", str(file)]).output.splitlines()
    assert ["writes no package" in told[0], told[1]] == [
        True,
        f"{file}: 2 stages, 0 outputs, no faults",
    ]
    file.write_text(f"{file.read_text()}outputs: [{{type: table, path: out}}]\n")
    assert len(CliRunner().invoke(app, ["validate", str(file)]).output.splitlines()) == 1


def test_stages_are_listed_a_line_each_and_one_with_its_keys() -> None:
    text = shown(stage_list())
    assert max(map(len, text.splitlines())) <= 80
    assert "language" in text
    one = CliRunner().invoke(app, ["stages", "dedup"])
    assert "`on`" in one.output


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shell_completes_commands_and_options(shell: str) -> None:
    words = {"bash": {"COMP_WORDS": "pairmill ins", "COMP_CWORD": "1"}}.get(
        shell, {"_TYPER_COMPLETE_ARGS": "pairmill ins", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    )
    asked = {"_PAIRMILL_COMPLETE": f"complete_{shell}", **words}
    said = CliRunner().invoke(app, [], prog_name="pairmill", env=asked)
    assert "inspect" in said.output


def test_runs_of_a_workspace_tell_rows_kept_and_gates(file: Path) -> None:
    result = Pipeline.from_yaml(file).run(local=True, progress=False)
    (run,) = runs_of(Storage(str(file.parent / "w")))
    assert (run["run"], run["rows"], run["kept"]) == (result.run_id, 5, 5)
    assert run["gates"]["text_rules"].startswith("text_words > 1")
    listed = CliRunner().invoke(app, ["runs", str(file.parent / "w"), "--json"])
    assert json.loads(listed.output) == [run]
    table = CliRunner().invoke(app, ["runs", str(file.parent / "w")], env={"COLUMNS": "60"})
    assert result.run_id in table.output
    stored = CliRunner().invoke(app, ["workspace", str(file.parent / "w"), "--json"])
    assert {s["folder"].split("/")[0] for s in json.loads(stored.output)} == {"tables", "columns"}


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (lambda m: m["seconds"].update(run="x"), "its seconds are"),
        (lambda m: m.update(stages=[]), r"its stages are \[\]"),
        (lambda m: m.pop("loaded"), "what was loaded is None"),
        (lambda m: m["funnel"].pop("kept"), "its funnel has no"),
    ],
)
def test_damaged_figures_of_a_run_are_named(
    tmp_path: Path, damage: Callable[[dict[str, Any]], Any], what: str
) -> None:
    """By whoever reads them; what is written comes back as it was."""
    storage = open_workspace(str(tmp_path))
    metrics = RunMetrics(
        {"run": 1.5}, {"a": {"rows": 3}}, {"a": ["a model"]}, Funnel(3, 2, [Step("a", 3, 2, 1)])
    )
    assert RunMetrics.read(storage, "runs/r") is None
    metrics.write(storage, "runs/r")
    assert RunMetrics.read(storage, "runs/r") == metrics
    storage.write_json("runs/r/plan.json", {"table": "t", "stages": []})
    found = storage.read_json("runs/r/metrics.json")
    damage(found)
    storage.write_json("runs/r/metrics.json", found)
    folder = tmp_path / "runs/r"
    with pytest.raises(StrangeFile, match=f"runs/r/metrics.json is not as .*{what}"):
        inspect_path(str(folder), 3, False, Console(file=io.StringIO()))
    with pytest.raises(StrangeFile, match=f"runs/r/metrics.json is not as .*{what}"):
        runs_of(storage)
    metrics.write(storage, "runs/r")
    text = (folder / "metrics.json").read_text()
    (folder / "metrics.json").write_text(text.replace("1.5", "1.6"))
    with pytest.raises(CorruptWorkspace, match=r"runs/r/metrics\.json"):
        runs_of(storage)


def test_heartbeat_tells_rows_done_rate_and_time_left() -> None:
    watcher = LiveWatcher(Console(file=io.StringIO()))
    watcher.phase("phase 1", ["clip"], 100)
    watcher.take(StageStats("clip", 0, "here", began=0.0, rows=40))
    beat = watcher.heartbeat("clip")
    assert beat.startswith("clip: 40 of 100 rows, ")
    assert beat.endswith(" s left")


def test_a_line_comes_also_while_nothing_gets_done_and_none_once_the_phase_is_over() -> None:
    out = io.StringIO()
    watcher = LiveWatcher(Console(file=out, width=200))
    watcher.heartbeat_s = 0
    watcher.phase("phase 1", ["download", "clip"], 100)
    watcher.beat()
    assert out.getvalue().splitlines()[-1].startswith("download: 0 of 100 rows after ")
    watcher.take(StageStats("download", 0, "here", began=0.0, rows=100))
    watcher.beat()
    assert out.getvalue().splitlines()[-1].startswith("clip: 0 of 100 rows after ")
    watcher.note("writing webdataset to out")
    watcher.beat()
    assert out.getvalue().splitlines()[-1] == "writing webdataset to out"


@pytest.mark.parametrize("lively", [False, True])
def test_a_stage_that_is_being_set_up_is_named_until_it_is(lively: bool) -> None:
    out = io.StringIO()
    watcher = LiveWatcher(Console(file=out, width=200, force_terminal=lively, color_system=None))
    watcher.heartbeat_s = 0

    def shown() -> str:
        out.truncate(0)
        watcher.console.print(watcher.render()) if lively else watcher.beat()
        return out.getvalue()

    watcher.phase("phase 1", ["download", "caption"], 100)
    watcher.take(SettingUp("caption"))
    assert "setting up" not in shown()
    watcher.loading["caption"] -= 34
    watcher.take(SettingUp("caption"))  # another worker's
    assert "caption: setting up (34 s)" in shown()
    watcher.take(SettingUp("caption", ended=True))
    assert "setting up" not in shown()
    watcher.take(SettingUp("caption"))  # of a worker that is killed then
    watcher.loading["caption"] -= 34
    watcher.take(StageStats("caption", 0, "here", began=0.0, rows=40))
    assert "setting up" not in shown()
    watcher.done()


def test_progress_of_reading_tells_rows_files_and_rate_line_by_line() -> None:
    out = io.StringIO()
    watcher = LiveWatcher(Console(file=out, width=200))
    watcher.heartbeat_s = 0
    for rows, files in ((0, 0), (8_192, 0), (1_234_567, 3)):
        watcher.reading(rows, files, 12)
    lines = out.getvalue().splitlines()
    assert lines[1].startswith("reading the source: 8,192 rows, 0 of 12 files, ")
    assert lines[2].startswith("reading the source: 1,234,567 rows, 3 of 12 files, ")
    assert lines[2].endswith(" rows/s")


def test_progress_of_reading_stands_above_the_live_table() -> None:
    out = io.StringIO()
    watcher = LiveWatcher(Console(file=out, width=200, force_terminal=True, color_system=None))
    watcher.reading(8_192, 0, 12)
    watcher.done()
    assert "reading the source: 8,192 rows, 0 of 12 files" in out.getvalue()


def test_a_notebook_shows_pipeline_and_plan_for_people(file: Path) -> None:
    found = Pipeline.from_yaml(file)
    planned = found.plan()
    assert json.loads(json.dumps(planned)) == planned
    for shown in (found._repr_html_(), planned._repr_html_()):
        assert shown.startswith("<pre>")
        assert "text_rules" in shown
