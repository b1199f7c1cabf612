"""What strangers wrote (packages, reports, names in files) leads nowhere and shows nothing."""

import io
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.table import Table

from pairmill.api import Pipeline
from pairmill.errors import PairmillError, PipelineFileError, RunError, StrangeFile, StrangeName
from pairmill.names import inner_name, same_place
from pairmill.report.page import rebuild
from pairmill.report.runs import run_folder
from pairmill.safe_output import SafeConsole
from pairmill.terminal.inspecting import inspect_path
from pairmill.workspace.contents import collect, left_alone, open_workspace, unused
from pairmill.workspace.storage import Storage
from tests.conftest import typed

FILE = """
name: small
source: {type: parquet, path: pairs.parquet}
stages: [{stage: text_rules}]
outputs: [{type: webdataset, path: out, samples_per_shard: 20}]
"""
LEADING_OUT = [
    "../../victim/precious.txt", "a/../../victim/precious.txt", "/victim/precious.txt", "./x", "a//x",
    "~/x", "..", "", "a\x00b", "..\\victim", "file:///victim/precious.txt", "s3://bucket/x", "a\x1b[2J",
    "link/precious.txt", "direct", "x" * 2000, 7, None, ["x"],
]  # fmt: skip


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A file of somebody, and a package folder with links to it."""
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim/precious.txt").write_text("precious")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/link").symlink_to(tmp_path / "victim")
    (tmp_path / "out/direct").symlink_to(tmp_path / "victim/precious.txt")
    return tmp_path / "victim/precious.txt"


@pytest.mark.parametrize("name", LEADING_OUT, ids=lambda name: repr(name)[:30])
def test_name_that_leads_out_of_its_folder_is_refused(victim: Path, name: Any) -> None:
    with pytest.raises(StrangeName):
        inner_name(name, "manifest.json", str(victim.parent.parent / "out"))


@pytest.mark.parametrize(
    "name", ["a.tar", "a/b.parquet", ".nv-meta/x.yaml", "..a", "ä b.txt", "a..b"]
)
def test_plain_name_below_the_folder_is_itself(tmp_path: Path, name: str) -> None:
    assert inner_name(name, "manifest.json", str(tmp_path)) == name


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/passwd", "a//b", "./a", "a/."])
def test_storage_touches_nothing_outside_its_root(tmp_path: Path, name: str) -> None:
    storage = Storage(str(tmp_path / "root"))
    for touch in (storage.read_bytes, storage.delete_file, storage.delete_folder, storage.size):
        with pytest.raises(StrangeName):
            touch(name)
    with pytest.raises(StrangeName):
        storage.write_bytes(name, b"x")


@pytest.mark.parametrize("name", [*LEADING_OUT[:1], "link/precious.txt", "direct"])
@pytest.mark.parametrize("where", ["manifest", "begun"])
def test_package_that_lists_a_file_elsewhere_stops_the_run_and_deletes_nothing(
    write: Callable[[str], Path], pairs: Path, victim: Path, name: str, where: str
) -> None:
    out = victim.parent.parent / "out"
    listed = {"name": name, "bytes": 8, "sha256": "0" * 64}
    if where == "manifest":
        found = {"name": "small", "package": "other", "files": [listed]}
        (out / "manifest.json").write_text(json.dumps(found))
    else:
        folder = out / ".pairmill/0123456789abcdef"
        folder.mkdir(parents=True)
        (folder / "begun.json").write_text(json.dumps({"replaces": [name]}))
    with pytest.raises(StrangeName, match="nothing was touched"):
        Pipeline.from_yaml(write(FILE)).run(local=True, progress=False)
    assert victim.read_text() == "precious"


BROKEN = {
    "no map": [], "null": None, "no files": {"files": ...}, "files no list": {"files": {"a": 1}},
    "file no map": {"files": ["x"]}, "file without bytes": {"files": [{"name": "a", "sha256": ""}]},
    "bytes a text": {"files": [{"name": "a", "bytes": "9", "sha256": ""}]},
    "name null": {"name": None}, "funnel null": {"funnel": None}, "funnel a list": {"funnel": []},
    "funnel without steps": {"funnel": {"rows": 1, "kept": 1}},
    "step of other keys": {"funnel": {"rows": 1, "kept": 1, "steps": [{"stage": "a", "evil": 1}]}},
    "selection ordered by a number": {"selection": {
        "after": None, "where": None, "order": 7, "rows": 1, "left_out": 0, "left_out_null": 0}},
    "selection without numbers": {"selection": {"where": "a > 1", "after": None, "order": []}},
    "told no number": {"told": {"pictures were scaled": "x"}}, "left out a number": {"left_out": 3},
    "samples a text": {"samples": "many"}, "pipeline a map": {"pipeline": {}}, "no pipeline": {"pipeline": ...},
    "part of no number": {"parts": [
        {"shard": 0, "made_of": {"a": 1}, "samples": 1, "files": [], "told": {}, "facts": {}}]},
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("kind", BROKEN)
def test_manifest_of_a_wrong_shape_gets_a_message_from_every_reader(
    write: Callable[[str], Path], pairs: Path, kind: str
) -> None:
    file = write(FILE)
    Pipeline.from_yaml(file).run(local=True, progress=False)
    manifest = pairs.parent / "out/manifest.json"
    good, change = json.loads(manifest.read_text()), BROKEN[kind]
    broken = {k: v for k, v in {**good, **change}.items() if v is not ...} if isinstance(change, dict) else change  # fmt: skip
    manifest.write_text(json.dumps(broken))
    told = []
    for look in (
        lambda: inspect_path(str(manifest.parent), 1, True, SafeConsole(file=io.StringIO())),
        lambda: rebuild([str(manifest.parent)]),
        lambda: Pipeline.from_yaml(file).run(local=True, progress=False),
    ):
        try:
            look()
        except PairmillError as error:
            told.append(str(error))
    assert told
    assert all("manifest.json" in text or "no run that wrote it" in text for text in told)


@pytest.mark.parametrize(
    ("workspace", "elsewhere"),
    [
        ("s3://bucket/${PLANTED_TOKEN}?endpoint_override=127.0.0.1:9&scheme=http", True),
        ("${PLANTED_TOKEN}", True),
        ("../../victim", True),
        ("/net/evil.test/ws", True),
        ("//evil.test/ws", True),
        ("workspace", False),
    ],
)
def test_package_of_a_stranger_sends_nobody_anywhere_and_no_variable_is_filled_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workspace: str, elsewhere: bool
) -> None:
    monkeypatch.setenv("PLANTED_TOKEN", "planted-value-17")
    manifest = {
        "name": "p",
        "package": "abc",
        "files": [],
        "pipeline": f"workspace: '{workspace}'\n",
    }
    (tmp_path / "out").mkdir()
    (tmp_path / "out/manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(RunError, match="--workspace PATH") as caught:
        run_folder(str(tmp_path / "out"))
    assert "planted-value-17" not in str(caught.value)
    assert ("it was not looked at" in str(caught.value)) == elsewhere


@pytest.mark.slow
@pytest.mark.parametrize(
    "run", ["x/../../../../far/away", "../x", "/x", "a/b", "", 5, None, "a\x1b]0;x"]
)
def test_report_of_a_run_with_a_strange_name_writes_nothing_outside(
    write: Callable[[str], Path], pairs: Path, run: Any
) -> None:
    folder = Path(Pipeline.from_yaml(write(FILE)).run(local=True, progress=False).folder)
    data = json.loads((folder / "report/data.json").read_text())
    other = pairs.parent / "other/report"
    other.mkdir(parents=True)
    (other / "data.json").write_text(json.dumps({**data, "run": run}))
    before = {str(p) for p in pairs.parent.rglob("*")}
    with pytest.raises((StrangeName, StrangeFile)):
        rebuild([str(folder), str(other.parent)])
    assert {str(p) for p in pairs.parent.rglob("*")} == before


def test_outputs_in_the_workspace_or_in_one_folder_by_a_link_are_refused(
    write: Callable[[str], Path], pairs: Path
) -> None:
    (pairs.parent / "alias").symlink_to(pairs.parent / "out")
    (pairs.parent / "into").symlink_to(pairs.parent / "workspace/columns")
    paths = ["out", "alias", "./x/../out", "workspace/columns/mine", "into/mine", "workspace"]
    outputs = "\n".join(f"  - {{type: parquet, path: {p}}}" for p in paths)
    with pytest.raises(PipelineFileError) as caught:
        Pipeline.from_yaml(write(FILE.partition("outputs")[0] + "outputs:\n" + outputs))
    told = str(caught.value)
    assert told.count("two outputs write to") == 3
    assert told.count("lies in the workspace") == 3
    assert same_place("s3://key:secret@bucket/a/", "s3://bucket/b/../a?region=x")


def test_gc_leaves_what_is_no_pool_or_column_set(tmp_path: Path) -> None:
    storage = open_workspace(str(tmp_path / "w"))
    (tmp_path / "far").mkdir()
    (tmp_path / "far/precious.txt").write_text("precious")
    for name in (f"columns/old-1/{'0' * 16}.{'1' * 16}.parquet", "columns/package/manifest.json",
                 "columns/half/.pairmill/x.json", "tables/readme.txt"):  # fmt: skip
        storage.write_bytes(name, b"{}")
    os.symlink(tmp_path / "far", tmp_path / "w/columns/linked")
    found = unused(storage)
    assert [s.folder for s in found] == ["columns/old-1"]
    assert left_alone(storage) == [
        "columns/half",
        "columns/linked",
        "columns/package",
    ]
    collect(storage, found)
    assert not (tmp_path / "w/columns/old-1").exists()
    assert (tmp_path / "w/tables/readme.txt").exists()
    assert (tmp_path / "far/precious.txt").read_text() == "precious"
    (tmp_path / "w/runs/r").mkdir(parents=True)
    for text in ("{}", "[]", '{"pool": "x", "stages": [null]}'):
        (tmp_path / "w/runs/r/plan.json").write_text(text)
        told = typed("gc", str(tmp_path / "w")) if text == "[]" else None
        assert told is None or (told.returncode == 1 and "plan.json is not as" in told.stderr)
        with pytest.raises(StrangeFile, match="plan.json"):
            unused(storage)


HOSTILE = "a\x1b[2J\x1b]0;owned\x07b\rc\x9b31md\u202ee\x7f [bold]f[/] https://u:sesame@h.test/"


def test_console_shows_no_control_character_and_no_secret_whatever_it_is_given() -> None:
    for terminal in (False, True):
        console = SafeConsole(file=io.StringIO(), force_terminal=terminal, width=60)
        table = Table(HOSTILE, title=HOSTILE)
        table.add_row(HOSTILE)
        for given in (HOSTILE, table, {"x": HOSTILE}):
            console.print(given)
            console.print(given, style="red", soft_wrap=True)
        shown = console.file.getvalue()  # type: ignore[attr-defined]
        own = re.sub(r"\x1b\[[0-9;]*m", "", shown) if terminal else shown
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", own)
        assert "sesame" not in shown
        assert "owned" in shown
