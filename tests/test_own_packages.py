"""Input folders in which pairmill has written: packages of earlier runs and workspaces are none."""

import json
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from pairmill.api import Pipeline
from pairmill.cli import app

FILE = """
name: grown
workspace: {place}/w
source: {{type: pairs, path: "{path}"}}
stages: [{{stage: text_rules, keep: text_words > {least}}}]
outputs: [{{type: table, path: {place}/{out}}}]
"""


def rows_in(folder: Path, **settings: object) -> int:
    """Rows that a pipeline in the folder finds there."""
    given = {"path": ".", "place": ".", "least": 1, "out": "first", **settings}
    (folder / "p.yaml").write_text(FILE.format(**given))
    return Pipeline.from_yaml(folder / "p.yaml").run(local=True, progress=False).funnel.rows


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pl.DataFrame(
        {"url": ["http://a.test/1", "http://a.test/2"], "text": ["a b", "c"]}
    ).write_parquet(tmp_path / "in.parquet")
    return tmp_path


@pytest.mark.parametrize("path", [".", "**/*.parquet", "**", "*"])
def test_package_that_another_setting_made_is_no_input(folder: Path, path: str) -> None:
    assert rows_in(folder, path=path) == 2
    assert rows_in(folder, path=path, least=0, out="second") == 2
    assert rows_in(folder, path=path, least=3, out="deep/third") == 2
    made = {p.parent.name: json.loads(p.read_text()) for p in folder.rglob("manifest.json")}
    assert {k: m["samples"] for k, m in made.items()} == {"first": 1, "second": 2, "third": 0}


def test_package_that_is_named_itself_is_read(folder: Path) -> None:
    rows_in(folder)
    text = FILE.replace("text_rules", "text_rules, name: again")
    given = {"path": "first", "place": ".", "least": 0, "out": "second"}
    (folder / "q.yaml").write_text(
        text.format(**given).replace("text_words > 0", "again_words > 0")
    )
    assert Pipeline.from_yaml(folder / "q.yaml").run(local=True, progress=False).funnel.rows == 1


def test_package_of_another_pipeline_is_input(folder: Path) -> None:
    (folder / "in").mkdir()
    (folder / "in.parquet").rename(folder / "in/in.parquet")
    rows_in(folder, path="in", out="in/copy")
    text = FILE.replace("name: grown", "name: other").replace("text_rules", "language")
    text = text.replace("text_words > {least}", "lang_score > 0")
    (folder / "q.yaml").write_text(text.format(path="in", place=".", least=0, out="other"))
    assert Pipeline.from_yaml(folder / "q.yaml").run(local=True, progress=False).funnel.rows == 3


def test_workspace_of_another_pipeline_is_no_input(folder: Path) -> None:
    (folder / "in").mkdir()
    (folder / "in.parquet").rename(folder / "in/in.parquet")
    rows_in(folder, path="in/in.parquet", place="in/deep")
    (folder / "in/deep/first").rename(folder / "elsewhere")
    assert rows_in(folder, path="in", out="second") == 2


def test_first_pipeline_for_a_folder_passes_its_workspaces_by(folder: Path) -> None:
    rows_in(folder)
    (folder / "first").rename(folder.parent / f"{folder.name}-package")
    made = CliRunner().invoke(app, ["init", str(folder / "q.yaml"), "--from", str(folder)])
    assert made.exit_code == 0, made.output
    assert made.output.splitlines()[:2] == [
        "columns: url ← url, text ← text",
        "not read: p.yaml (side file), w/ (a workspace of pairmill)",
    ]
