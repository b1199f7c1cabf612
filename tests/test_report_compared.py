"""What the page of two runs says of how they differ, without a browser."""

from pathlib import Path
from typing import Any

import pytest

from pairmill.api import Pipeline
from pairmill.report.comparing import comparison
from pairmill.report.runs import run_folder

FILE = """name: two
workspace: w
source: {type: pairs, path: in.csv}
stages:
  - {stage: download, when: text = 'x', block_urls: blocked.txt}
  - {stage: text_rules, keep: "text_words > ${LEAST}"}
  - {stage: own_loud:Loud, least: 1}
"""
OWN = """import pyarrow as pa
from pairmill import Stage, StageConfig, column
class LoudConfig(StageConfig):
    stage: str
    least: int = 2
class Loud(Stage):
    Config = LoudConfig
    def reads(self): return ["text"]
    def writes(self): return pa.schema([column("loud", pa.bool_(), "Always.")])
    def __call__(self, rows): return pa.table({"loud": [True] * rows.num_rows})
"""


def ran(folder: Path, limit: int | None = None, **sets: str) -> str:
    found = Pipeline.from_yaml(folder / "p.yaml", sets)
    return found.run(local=True, processes=0, progress=False, limit=limit, replace=True).folder


def differences(*runs: str) -> dict[str, Any]:
    folders = [run_folder(run) for run in runs]
    return comparison(folders, [folder.data() for folder in folders])


def test_settings_that_no_file_shows_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = "".join(f"http://a.test/{i},words {'and ' * i}more\n" for i in range(5))
    (tmp_path / "in.csv").write_text("url,text\n" + rows)
    (tmp_path / "blocked.txt").write_text("http://b.test\n")
    (tmp_path / "own_loud.py").write_text(OWN)
    (tmp_path / "p.yaml").write_text(FILE)
    monkeypatch.setenv("LEAST", "2")
    first = ran(tmp_path, limit=3)
    monkeypatch.setenv("LEAST", "3")
    (tmp_path / "blocked.txt").write_text("http://c.test\n")
    (tmp_path / "in.csv").write_text("url,text\n" + rows + "http://a.test/9,one more\n")
    second = ran(tmp_path)
    found = differences(first, second)
    told = {name: (a, b) for name, a, b in found["settings"]}
    assert found["pipeline"] == []
    assert told["run: rows asked for"] == ("the first 3", "all")
    assert told["run: ${LEAST}"] == ("2", "3")
    assert set(told) == {
        "run: rows asked for", "run: ${LEAST}", "run: input", "download: block_urls",
    }  # fmt: skip
    assert differences(second, second)["settings"] == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("path: in.csv", "path: in.csv, columns: {text: url}"),
        ("name: two", "name: two\nseed: 5"),
        ("least: 1", "least: 2"),
        ("  - {stage: own", "  - {stage: sample}\n  - {stage: own"),
        ("{type: table, path: out}", "{type: table, path: out, where: text_words > 2}"),
        ("{type: table, path: out}", "{type: table, path: out}\n  - {type: uids, path: ids}"),
        ("collect: [part_words]", "collect: [part_chars]"),
        ("part_words > 1", "part_words > 2"),
    ],
)
def test_each_part_of_a_pipeline_that_changes_shows(tmp_path: Path, old: str, new: str) -> None:
    (tmp_path / "in.csv").write_text("url,text\nhttp://a.test/1,One word. And more words.\n")
    (tmp_path / "own_loud.py").write_text(OWN)
    text = FILE.replace("  - {stage: download, when: text = 'x', block_urls: blocked.txt}\n", "")
    text = text.replace("${LEAST}", "1") + (
        "  - {stage: sentences}\n"
        "  - {each: sentences, stages: [{stage: text_rules, name: part, text: sentences, "
        "keep: part_words > 1}], collect: [part_words]}\n"
        "outputs:\n  - {type: table, path: out}\n"
    )
    assert old in text
    runs = []
    for content in (text, text.replace(old, new)):
        (tmp_path / "p.yaml").write_text(content)
        runs.append(ran(tmp_path))
    lines = differences(*runs)["pipeline"]
    added = [line for sign, line in lines if sign == "+"]
    assert any(part.strip() in " ".join(added) for part in new.splitlines()), lines
