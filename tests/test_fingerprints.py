"""How an input file is told from another that took its place."""

import json
import os
from pathlib import Path

import pytest

from pairmill.api import Pipeline
from pairmill.sources.tables import PairsConfig, TableSource
from pairmill.workspace.fingerprints import (
    FINGERPRINTS,
    fingerprint_key,
    key_without_stamp,
    table_id,
    unread_bytes,
)
from pairmill.workspace.storage import SIGN, Storage

LONG_AGO = 1_577_836_800
FILE = """
name: told-apart
workspace: w
source: {type: pairs, path: in}
stages: [{stage: text_rules}]
outputs: [{type: table, path: out, format: jsonl, columns: [text]}]
"""


def dated(file: Path, text: str) -> None:
    """A table whose time of change is fixed, as builds that are to be repeatable write it."""
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"url,text\nhttp://a.test/1,{text}\n")
    os.utime(file, (LONG_AGO, LONG_AGO))


def texts(folder: Path) -> list[str]:
    Pipeline.from_yaml(folder / "p.yaml").run(local=True, progress=False)
    lines = [f.read_text() for f in sorted((folder / "out").rglob("*.jsonl"))]
    return [json.loads(line)["text"] for line in "".join(lines).splitlines()]


@pytest.mark.parametrize("moved", [False, True])
def test_content_that_changed_under_the_same_size_and_time_is_read(
    tmp_path: Path, moved: bool
) -> None:
    (tmp_path / "p.yaml").write_text(FILE)
    dated(tmp_path / "in/a.csv", "one dog")
    dated(tmp_path / "other/a.csv", "two cat")
    assert texts(tmp_path) == ["one dog"]
    if moved:
        (tmp_path / "other/a.csv").replace(tmp_path / "in/a.csv")
    else:
        dated(tmp_path / "in/a.csv", "two cat")
    assert texts(tmp_path) == ["two cat"]


def test_hashes_of_workspaces_of_before_are_taken_once(tmp_path: Path) -> None:
    dated(tmp_path / "in/a.csv", "one dog")
    storage = Storage(str(tmp_path / "w"))
    storage.write_bytes(SIGN, b"{}")

    def source() -> TableSource:
        return TableSource(PairsConfig(path=str(tmp_path / "in")))

    (item,) = source().inputs()
    first = table_id(storage, source())
    found = storage.read_json(FINGERPRINTS)
    old, new = key_without_stamp(item), fingerprint_key(item)
    storage.write_json(FINGERPRINTS, {old if k == new else k: v for k, v in found.items()})
    assert unread_bytes(storage, source()) == 0
    assert table_id(storage, source()) == first
    assert {old, new} & storage.read_json(FINGERPRINTS).keys() == {new}
    dated(tmp_path / "in/a.csv", "two cat")
    assert unread_bytes(storage, source()) == item.size_bytes
    assert table_id(storage, source()) != first
