"""The rows behind any number of a run: from Python, from the command line, in a notebook."""

import io
import json
import os
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from PIL import Image
from rich.console import Console
from typer.testing import CliRunner

import pairmill
from pairmill.api import Pipeline
from pairmill.cli import app
from pairmill.errors import BadRequest, RunError
from pairmill.pipeline.started import Started
from pairmill.run_result import RunResult
from pairmill.terminal.chosen_rows import rows_table
from pairmill.workspace.storage import Storage
from tests.conftest import typed

STAGES = "  - {stage: text_rules, keep: text_words > 2}\n"


def ran(folder: Path, stages: str = STAGES) -> RunResult:
    """A run over five captions, of which those of two words are dropped."""
    texts = [f"number {'x ' * (i % 2)}{i}" for i in range(5)]
    rows = [{"uid": f"u{i}", "url": "http://a.test", "text": t} for i, t in enumerate(texts)]
    (folder / "in.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    head = "name: rows\nworkspace: w\nsource: {type: pairs, path: in.jsonl}\nstages:\n"
    (folder / "p.yaml").write_text(head + stages)
    return Pipeline.from_yaml(folder / "p.yaml").run(local=True, progress=False)


def test_rows_of_a_run_by_expression_and_fate(tmp_path: Path) -> None:
    result = ran(tmp_path)
    short = result.rows(["text", "text_words"], where="text_words < 3")
    assert short["uid"].to_list() == ["u0", "u2", "u4"]
    assert short["text_words"].to_list() == [2, 2, 2]
    assert result.rows([], fate="kept")["uid"].to_list() == ["u1", "u3"]
    assert result.rows([], where="stage = 'text_rules' AND fate = 'dropped'").height == 3
    assert result.rows([], limit=2)["uid"].to_list() == ["u0", "u1"]
    with pytest.raises(RunError, match=r"did you mean 'text_words'"):
        result.rows(["text_word"])
    with pytest.raises(RunError, match=r"'text_chars'"):
        result.rows([], where="text_char > 3")


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (
            ["--where", "text_words <"],
            "where: 'text_words <' is no SQL expression: something is missing",
        ),
        (["--where", "text_word < 2"], "where: 'text_word < 2' reads 'text_word'"),
        (["--where", "text_words < 2 && true"], "write AND in place of &&"),
        (["--where", "text_words"], "where: 'text_words' gives"),
        (["--where", "text IN (en)"], "put it in single quotes: 'en'"),
        (["--fate", "droped"], "fate: 'droped' is none; did you mean 'dropped'?"),
        (["--columns", "text,text_word"], "columns: there is no column 'text_word'; did you mean"),
        (["--each", "tiles"], "each: no block is named 'tiles' (the pipeline has no `each` block)"),
        (["--fate", "kept", "--to", "rows.txt"], "rows.txt: a file ends in .csv, .jsonl, .parquet"),
        (["--fate", "kept", "--to", "no/rows.csv"], "there is no folder"),
    ],
)
def test_what_is_asked_wrongly_of_a_run_is_the_command_lines_fault(
    tmp_path: Path, asked: list[str], words: str
) -> None:
    folder = ran(tmp_path).folder
    for place in (folder, str(tmp_path / "p.yaml")):
        said = typed("inspect", place, *asked)
        assert said.returncode == 2
        assert words in said.stderr


@pytest.mark.parametrize("command", ["inspect", "runs", "workspace", "gc", "report", "search"])
def test_a_place_that_is_not_there_is_the_command_lines_fault(command: str, tmp_path: Path) -> None:
    said = typed(command, str(tmp_path / "nowhere"), *(["a ball"] if command == "search" else []))
    assert said.returncode == 2
    assert "nowhere" in said.stderr


def test_a_run_folder_is_opened_whatever_its_keys_sound_like_and_without_its_variables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server is told the name of a crawler; a literal secret is not written down."""
    monkeypatch.setenv("LEAST", "2")
    monkeypatch.setenv("SHOP_TOKEN", "x7-value-of-it")
    result = ran(
        tmp_path,
        "  - {stage: download, when: text = 'x', user_agent_token: my-crawler}\n"
        "  - {stage: text_rules, keep: 'text_words > ${LEAST}'}\n"
        "license: ${SHOP_TOKEN:-none}\n",
    )
    monkeypatch.delenv("LEAST")
    found, _ = Pipeline.from_run(result.folder)
    assert found.config.stages[0].user_agent_token == "my-crawler"
    assert found.stored().rows([], fate="kept")["uid"].to_list() == ["u1", "u3"]
    started = (Path(result.folder) / "started.json").read_text()
    assert "LEAST" in started
    assert "SHOP_TOKEN" not in started
    monkeypatch.delenv("SHOP_TOKEN")
    text = Path(result.folder, "pipeline.yaml")
    text.write_text(text.read_text().replace("license: ${SHOP_TOKEN:-none}", "license: ***"))
    assert Pipeline.from_run(result.folder)[0].config.license == "***"


@pytest.mark.parametrize("named", ["evil:Stage", "${S}"])
def test_a_strangers_run_folder_loads_no_code_whatever_its_variables_say(
    tmp_path: Path, named: str
) -> None:
    folder = Path(ran(tmp_path, "  - {stage: text_rules}\n").folder)
    (tmp_path / "evil.py").write_text("open('taken', 'w').close()")
    text = (folder / "pipeline.yaml").read_text()
    (folder / "pipeline.yaml").write_text(text.replace("text_rules", f"'{named}'"))
    variables = {"S": "evil:Stage", "LD_PRELOAD": "x"}
    Started(str(tmp_path), str(tmp_path), None, variables).write(
        Storage(str(folder.parent)), folder.name
    )
    with pytest.raises(BadRequest, match="stages of one's own \\(evil:Stage\\)"):
        Pipeline.from_run(folder)
    assert "LD_PRELOAD" not in os.environ
    assert "evil" not in sys.modules


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_inspect_writes_the_rows_of_a_run_folder_to_a_file(tmp_path: Path, kind: str) -> None:
    result = ran(tmp_path)
    file = tmp_path / f"short.{kind}"
    asked = ["--where", "text_words < 3", "--columns", "uid,text", "--to", str(file)]
    said = CliRunner().invoke(app, ["inspect", result.folder, *asked])
    assert said.exit_code == 0, said.output
    assert "3 rows written" in said.output
    read = {"csv": pl.read_csv, "jsonl": pl.read_ndjson, "parquet": pl.read_parquet}[kind]
    assert read(file)["uid"].to_list() == ["u0", "u2", "u4"]
    again = CliRunner().invoke(app, ["inspect", str(tmp_path / "p.yaml"), *asked])
    assert again.exit_code == 2  # nothing is written over


def test_inspect_gives_programs_the_figures_of_a_place_and_the_rows_of_a_run(
    tmp_path: Path,
) -> None:
    result = ran(tmp_path, f"{STAGES}outputs:\n  - {{type: table, path: out}}\n")

    def told(*words: str) -> dict[str, Any]:
        said = CliRunner().invoke(app, ["inspect", *words, "--json"])
        assert said.exit_code == 0, said.output
        return json.loads(said.stdout)

    rows = told(result.folder, "--where", "text_words < 3", "--columns", "text", "--rows", "2")
    assert (rows["rows"], [r["uid"] for r in rows["first"]]) == (3, ["u0", "u2"])
    assert told(result.folder)["funnel"]["kept"] == 2
    package = told(str(tmp_path / "out"), "--verify")
    assert (package["kind"], package["samples"], package["faults"]) == ("package", 2, [])
    shard = next((tmp_path / "out").rglob("*.parquet"))
    assert told(str(shard))["columns"]["text"] == "string"
    assert told(str(tmp_path / "w"))["kind"] == "workspace"
    shard.write_bytes(shard.read_bytes()[:-1])
    damaged = CliRunner().invoke(app, ["inspect", str(tmp_path / "out"), "--verify", "--json"])
    assert damaged.exit_code == 1
    assert json.loads(damaged.stdout)["faults"]


def test_run_folder_is_opened_with_the_settings_of_its_command_line(tmp_path: Path) -> None:
    ran(tmp_path)
    changed = {"stages.text_rules.keep": "text_words < 3"}
    result = Pipeline.from_yaml(tmp_path / "p.yaml", changed).run(
        local=True, progress=False, limit=3
    )
    found, limit = Pipeline.from_run(result.folder)
    assert found.stored(limit).rows([], fate="kept")["uid"].to_list() == ["u0", "u2"]


def test_run_folder_loads_no_code(tmp_path: Path) -> None:
    (tmp_path / "own_rows.py").write_text(
        "import pyarrow as pa\nfrom pairmill import Stage, column\n"
        "class Shout(Stage):\n"
        "    def reads(self): return ['text']\n"
        "    def writes(self): return pa.schema([column('loud', pa.bool_(), 'Always.')])\n"
        "    def __call__(self, rows): return pa.table({'loud': [True] * rows.num_rows})\n"
    )
    result = ran(tmp_path, "  - {stage: 'own_rows:Shout'}\n")
    with pytest.raises(RunError, match="name the pipeline file"):
        Pipeline.from_run(result.folder)
    said = CliRunner().invoke(app, ["inspect", str(tmp_path / "p.yaml"), "--where", "loud"])
    assert "5 rows" in said.output


def test_gallery_shows_pictures_and_escapes_what_the_web_wrote(tmp_path: Path) -> None:
    picture = io.BytesIO()
    Image.new("RGB", (32, 32), "red").save(picture, "PNG")
    table = pl.DataFrame({"text": ["<script>red</script>"], "image": [picture.getvalue()]})
    table.write_parquet(tmp_path / "in.parquet")
    (tmp_path / "p.yaml").write_text(
        "name: shown\nworkspace: w\nsource: {type: parquet, path: in.parquet}\n"
    )
    result = Pipeline.from_yaml(tmp_path / "p.yaml").run(local=True, progress=False)
    page = result.show()._repr_html_()
    assert "data:image/jpeg;base64," in page
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_package_shows_what_it_offers() -> None:
    assert {"Pipeline", "Stage", "RunResult"} <= set(dir(pairmill))


def test_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    Storage(str(tmp_path)).write_json("x.json", {})
    assert CliRunner().invoke(app, ["inspect", str(tmp_path), "--where", "true"]).exit_code == 2
    with pytest.raises(RunError, match="name the pipeline file"):
        Pipeline.from_run(tmp_path)


def test_table_of_rows_shows_what_has_room_and_says_what_has_not() -> None:
    columns = {f"score_{i}": [0.5] for i in range(30)}
    rows = pl.DataFrame({**columns, "text": ["a red ball"], "fate": ["kept"], "uid": ["f" * 32]})
    console = Console(file=io.StringIO(), width=80)
    console.print(rows_table(rows, 3, 80, "score_21 < 1"))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "28 more columns: --columns" in " ".join(text.split())
    assert all(word in text for word in ("a red ball", "kept", "score_21"))
    assert len(rows_table(rows, 3).columns) == 33


def test_what_could_not_be_read_is_listed(tmp_path: Path) -> None:
    """Three of the five rows name pictures that are not there, and the limit leaves none out."""
    Image.new("RGB", (40, 40)).save(tmp_path / "a.png")
    names = ["a.png", "b.png", "http://a.test/c.png", "a.png", "../d.png"]
    table = "".join(f"{name},text of {i}\n" for i, name in enumerate(names))
    (tmp_path / "in.csv").write_text("image,text\n" + table)
    file = tmp_path / "p.yaml"
    head = "name: rows\nworkspace: w\nsource: {type: pairs, path: in.csv, image: image}\nstages:\n"
    file.write_text(head + STAGES)
    result = Pipeline.from_yaml(file).run(local=True, progress=False, limit=100)
    assert (result.funnel.rows, result.funnel.steps[0].failed) == (5, 3)
    lost = result.rows(fate="unreadable")
    assert lost["location"].to_list() == [f"in.csv line {n}" for n in (3, 4, 6)]
    assert "there is no file b.png" in lost["reason"][0]
    assert "is an address" in lost["reason"][1]
    assert any(f"{result.folder} --fate unreadable" in str(line) for line in result.lines())
    one = result.rows(["reason"], where="location = 'in.csv line 6'", fate="unreadable")
    assert (one.columns, one.height) == (["reason"], 1)
    with pytest.raises(BadRequest, match="it has: location, column, reason, rows"):
        result.rows(["text"], fate="unreadable")
    said = typed("inspect", str(file), "--fate", "unreadable", "--to", str(tmp_path / "lost.csv"))
    assert said.returncode == 0, said.stderr
    assert pl.read_csv(tmp_path / "lost.csv").height == 3


def test_a_limit_that_cuts_rows_off_counts_none_as_unreadable(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("url,text,uid\n" + "http://a.test,a b c,\n" * 3 + "x\ny\n")
    file = tmp_path / "p.yaml"
    head = "name: rows\nworkspace: w\nsource: {type: pairs, path: in.csv}\nstages:\n"
    file.write_text(head + STAGES)
    result = Pipeline.from_yaml(file).run(local=True, progress=False, limit=2)
    assert (result.funnel.rows, result.funnel.steps[0].failed) == (2, 0)


def test_pipeline_file_alone_shows_its_last_run(tmp_path: Path) -> None:
    first = ran(tmp_path)
    file = str(tmp_path / "p.yaml")
    assert json.loads(typed("inspect", file, "--json").stdout)["funnel"]["kept"] == 2
    ran(tmp_path, STAGES.replace("> 2", "> 0"))
    shown = typed("inspect", file).stdout
    assert "5 rows in, 5 kept" in shown
    Pipeline.from_run(first.folder)[0].run(local=True, progress=False)  # the older one once more
    assert "5 rows in, 2 kept" in typed("inspect", file).stdout


def test_pipeline_file_that_never_ran_says_so(tmp_path: Path) -> None:
    ran(tmp_path)
    text = (tmp_path / "p.yaml").read_text()
    (tmp_path / "p.yaml").write_text(text.replace("name: rows", "name: other"))
    done = typed("inspect", str(tmp_path / "p.yaml"))
    assert done.returncode == 2
    assert "holds no run of 'other' yet; `pairmill run` makes one" in done.stderr
    (tmp_path / "p.yaml").write_text(text.replace("workspace: w", "workspace: never"))
    assert typed("inspect", str(tmp_path / "p.yaml")).returncode == 2
