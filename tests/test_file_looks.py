"""Looks at input files that a pipeline's next run does not repeat, and those that it does."""

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from pairmill.sources.catalogue import open_source
from pairmill.sources.file_looks import COARSE_NS, UNSURE_NS, FileLooks, is_settled, stamp_of
from pairmill.sources.table_config import PairsConfig
from pairmill.workspace.contents import open_workspace
from pairmill.workspace.file_looks import keep_looks, looks_of, recalled_looks

OPENED: list[str] | None = None


def hear(event: str, args: tuple[object, ...]) -> None:
    """Notes which files are opened, while somebody asks."""
    if OPENED is not None and event == "open":
        OPENED.append(os.path.basename(str(args[0])))


@pytest.fixture(scope="module")
def _heard() -> None:
    sys.addaudithook(hear)


@pytest.fixture
def opened(_heard: None) -> Iterator[list[str]]:
    """Names of files that were opened since."""
    global OPENED
    OPENED = []
    yield OPENED
    OPENED = None


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Input files of four kinds, which have been left alone for long enough."""
    rows = {"url": ["http://x.test/1", "http://x.test/2"], "text": ["a", "b"], "n": [1, 2]}
    (tmp_path / "in").mkdir()
    pl.DataFrame(rows).write_parquet(tmp_path / "in/a.parquet")
    pl.DataFrame(rows).write_csv(tmp_path / "in/b.csv")
    pl.DataFrame(rows | {"lists": [[1, None], [2]]}).write_ndjson(tmp_path / "in/c.jsonl")
    pl.DataFrame(rows | {"big": [2**60, -1]}).write_csv(tmp_path / "in/d.tsv", separator="\t")
    time.sleep(2 * UNSURE_NS / 1e9)
    return tmp_path


def looked(folder: Path, **options: object) -> tuple[pa.Schema, list[pa.Table]]:
    """A run's look at the files: what columns they have, and their rows."""
    looks = recalled_looks(str(folder / "w"), "p")
    source = open_source(PairsConfig(type="pairs", path=str(folder / "in"), **options))
    source.take_looks(looks)
    schema = source.schema()
    keep_looks(open_workspace(str(folder / "w")), "p", source.looks)
    return schema, [t for t in source.read() if isinstance(t, pa.Table)]


def schema_of(folder: Path, opened: list[str], **options: object) -> tuple[pa.Schema, set[str]]:
    """The columns, and which input files were opened to learn them."""
    looks = recalled_looks(str(folder / "w"), "p")
    source = open_source(PairsConfig(type="pairs", path=str(folder / "in"), **options))
    source.take_looks(looks)
    opened.clear()
    schema = source.schema()
    names = set(opened) & set(os.listdir(folder / "in"))
    keep_looks(open_workspace(str(folder / "w")), "p", source.looks)
    return schema, names


def test_files_that_are_as_they_were_are_not_opened(folder: Path, opened: list[str]) -> None:
    first, names = schema_of(folder, opened)
    assert names == {"a.parquet", "b.csv", "c.jsonl", "d.tsv"}
    again, names = schema_of(folder, opened)
    assert names == set()
    assert again == first
    pl.DataFrame({"url": ["http://x.test/3"], "new": [0.5]}).write_csv(folder / "in/e.csv")
    grown, names = schema_of(folder, opened)
    assert names == {"e.csv"}
    assert grown.names == [*first.names, "new"]
    assert schema_of(folder, opened)[1] == {"e.csv"}  # it had just been written


def test_rows_are_the_same_whether_a_look_is_remembered_or_not(folder: Path) -> None:
    first, rows = looked(folder)
    again, same = looked(folder)
    assert again == first
    assert pa.concat_tables(same).equals(pa.concat_tables(rows))


def test_another_question_is_another_look(folder: Path, opened: list[str]) -> None:
    schema_of(folder, opened)
    asked, names = schema_of(folder, opened, null_values=["2"])
    assert names == {"a.parquet", "b.csv", "c.jsonl", "d.tsv"}
    assert asked.field("n").type == pa.int64()


def test_a_change_that_leaves_size_and_time_is_seen(folder: Path, opened: list[str]) -> None:
    first, _ = schema_of(folder, opened)
    assert first.field("n").type == pa.int64()
    file = folder / "in/b.csv"
    before = file.stat()
    file.write_text(file.read_text().replace(",2\n", ",x\n"))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    changed, names = schema_of(folder, opened)
    assert names == {"b.csv"}
    assert changed.field("n").type == pa.string()


def test_a_file_that_has_just_changed_is_not_settled(folder: Path) -> None:
    file = folder / "in/b.csv"
    file.write_text(file.read_text())
    looks = FileLooks()
    source = open_source(PairsConfig(type="pairs", path=str(file)))
    stamp = stamp_of(source.inputs()[0])
    assert stamp is not None
    changed = max(stamp[2:])
    pause = COARSE_NS if changed % 10**9 == 0 else UNSURE_NS
    assert not is_settled(stamp, changed + pause - 1)
    assert is_settled(stamp, changed + pause)
    whole = (1, 1, 5 * 10**9, 5 * 10**9)
    assert not is_settled(whole, whole[2] + COARSE_NS - 1)
    assert looks.at("", source.inputs()[0])[1] is None


def test_files_with_faults_are_looked_at_each_time(folder: Path, opened: list[str]) -> None:
    (folder / "in/f.csv").write_bytes(b"url,text\n" + b"http://x.test/4,fine\n" * 9 + b"a,\xff\n")
    time.sleep(2 * UNSURE_NS / 1e9)
    schema_of(folder, opened)
    assert schema_of(folder, opened)[1] == {"f.csv"}


def test_damaged_looks_are_made_anew(folder: Path, opened: list[str]) -> None:
    first, _ = schema_of(folder, opened)
    file = folder / "w" / looks_of("p")
    file.write_bytes(file.read_bytes()[:-40])
    again, names = schema_of(folder, opened)
    assert (again, names) == (first, {"a.parquet", "b.csv", "c.jsonl", "d.tsv"})
    assert schema_of(folder, opened)[1] == set()
