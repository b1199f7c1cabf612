"""Processes that read a source ahead: killed, short of space, given pieces that are too large."""

import json
import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Generator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pairmill.cluster.reading_tasks import LOADED, at_work
from pairmill.errors import DiskFull, RunError
from pairmill.plan.plan import pool_schema_of
from pairmill.sources.tables import PairsConfig, TableSource
from pairmill.work.crew import Crew
from pairmill.workspace.ingest import Progress, build_table
from pairmill.workspace.parts import ReadPart
from pairmill.workspace.readers import OneReader
from pairmill.workspace.reading import Hands, Reading, SourceWork
from pairmill.workspace.reading_groups import grouped
from pairmill.workspace.storage import Storage
from pairmill.workspace.tables import Table


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four files of a row group each, with repeated uids and a document over two files; one damaged
    file, and a table of text whose column is now and then no number.
    """
    folder = tmp_path_factory.mktemp("source")
    rng = np.random.default_rng(0)
    for file in range(4):
        numbers = rng.integers(0, 30_000, 10_000)
        table = {
            "text": [f"text {n}" for n in numbers],
            "doc_id": [f"doc {(file * 10_000 + i) // 7}" for i in range(10_000)],
            "uid": [f"u{n}" if n < 9000 else None for n in numbers],
        }
        pq.write_table(pa.table(table), folder / f"{file}.parquet")
    (folder / "8.parquet").write_bytes((folder / "0.parquet").read_bytes()[:-9] + b"x" * 9)
    lines = [f"{'x' if i == 777 else i},line {i}\n" for i in range(2000)]
    (folder / "9.csv").write_text("number,text\n" + "".join(lines))
    return folder


def source_of(folder: Path) -> TableSource:
    config = {"path": str(folder), "rows_per_shard": 256}
    types = {"number": "int64"} if folder.is_dir() else {}
    return TableSource(PairsConfig.model_validate({**config, "types": types}))


def read(
    folder: Path,
    workspace: Path,
    hands: Hands | None,
    progress: Progress = lambda rows, files, of: None,
) -> Table:
    source = source_of(folder)
    schema = pool_schema_of(source.schema())
    storage = Storage(str(workspace))
    return build_table(storage, source, "0" * 16, schema, hands=hands, progress=progress)


def stored(workspace: Path) -> dict[str, bytes]:
    """All files, those in which rows wait for their place included, but for a shard that a killed
    writer did not finish: it goes once the source is read.
    """
    files = (f for f in workspace.rglob("*") if f.is_file() and f.name != ".lock")
    named = {str(f.relative_to(workspace)): f.read_bytes() for f in files}
    return {name: data for name, data in named.items() if not name.startswith("shards/.tmp-")}


class Watched:
    """Two processes; after so many results something happens."""

    def __init__(self, crew: Crew, workspace: Path, after: int = -1) -> None:
        self.crew, self.workspace, self.after = crew, workspace, after
        self.done, self.most_bytes = 0, 0

    def spread(self, work: Any, items: "deque[Any]") -> Generator[tuple[Any, Any]]:
        for one in self.crew.run(work, items, count=2):
            spooled = (f.stat().st_size for f in self.workspace.glob("ingest/.tmp-*"))
            self.most_bytes = max(self.most_bytes, sum(spooled))
            if self.done == self.after:
                self.happens()
            self.done += 1
            yield one

    def happens(self) -> None:
        self.crew.seats[0].process.process.kill()


class Deadly(Watched):
    """The driver is killed."""

    def happens(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture(scope="module")
def alone(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Table, dict[str, bytes]]:
    """What one process makes of it."""
    workspace = tmp_path_factory.mktemp("alone")
    return read(folder, workspace, None), stored(workspace)


@pytest.fixture(scope="module")
def crew() -> Iterator[Crew]:
    found = Crew([])
    yield found
    found.close()


@pytest.fixture
def watched(crew: Crew, tmp_path: Path) -> Watched:
    return Watched(crew, tmp_path / "w")


def test_source_is_worth_a_look(alone: tuple[Table, dict[str, bytes]]) -> None:
    table, _ = alone
    assert len(table.rows) > 100
    assert table.unreadable == 2
    assert {t.kind for t in table.told} >= {"repeated uids", "equal rows", "unreadable rows"}


@pytest.mark.slow
@pytest.mark.parametrize("after", [0, 40])
def test_killed_reader_changes_nothing(
    folder: Path, alone: tuple[Table, dict[str, bytes]], watched: Watched, after: int
) -> None:
    watched.after = after
    table = read(folder, watched.workspace, Hands(2, watched.spread, worth_bytes=0))
    assert watched.done > after
    assert (table, stored(watched.workspace)) == alone


def test_progress_tells_rows_as_they_come_and_files_that_are_done(
    folder: Path, tmp_path: Path
) -> None:
    seen: list[tuple[int, int, int]] = []
    table = read(folder, tmp_path / "w", None, lambda *told: seen.append(told))
    assert seen == sorted(seen)
    assert seen[-1] == (table.row_count, 5, 5)
    assert len({rows for rows, files, _ in seen if files == 0}) > 1
    seen.clear()
    lines = (folder / "9.csv").read_text()
    (tmp_path / "in").mkdir()
    for file in folder.iterdir():
        (tmp_path / "in" / file.name).write_bytes(file.read_bytes())
    (tmp_path / "in/9.csv").write_text(f"{lines}5,one more\n")
    read(tmp_path / "in", tmp_path / "w", None, lambda *told: seen.append(told))
    assert seen[-1] == (2_000, 5, 5)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of some rows, of three formats, with other columns now and then, and damaged ones."""
    folder = tmp_path_factory.mktemp("tiny")
    for i in range(120):
        rows = [{"text": f"text {i % 80} {k}", "number": i} for k in range(i % 5 + 1)]
        rows = [row | {"uid": f"u{i % 100}-{row['text']}"} if i % 7 else row for row in rows]
        file = folder / f"{i:03}"
        match i % 3:
            case 0:
                pq.write_table(pa.Table.from_pylist(rows), file.with_suffix(".parquet"))
            case 1:
                lines = [json.dumps(row) + "\n" for row in rows]
                file.with_suffix(".jsonl").write_text("".join([*lines, "{\n" * (i % 4)]))
            case 2:
                lines = ["text,number\n", *(f"{r['text']},{r['number']}\n" for r in rows)]
                file.with_suffix(".csv").write_text("".join([*lines, "a,b,c\n" * (i % 4)]))
    (folder / "000.parquet").write_bytes(b"PAR1 and no more")
    return folder


@pytest.mark.slow
def test_tiny_files_are_read_together_as_if_one_by_one(tiny: Path, watched: Watched) -> None:
    alone, workspace = read(tiny, watched.workspace.parent / "alone", None), watched.workspace
    assert read(tiny, workspace, Hands(2, watched.spread, worth_bytes=0)) == alone
    assert stored(workspace) == stored(workspace.parent / "alone")
    assert watched.most_bytes > 0
    assert alone.unreadable > 80
    assert {t.kind for t in alone.told} >= {"equal rows", "unreadable rows"}
    source = source_of(tiny)
    schema, units = pool_schema_of(source.schema()), dict(enumerate(source.units()))
    storage, groups = Storage(str(workspace)), grouped([*units.items()][1:])
    assert len(groups) == 1
    for group_bytes in (10**9, 1_000):  # the second is less than there is
        together = OneReader(storage, schema, None, units, groups)
        together.group_bytes = group_bytes
        by_itself = OneReader(storage, schema, None)
        for number, unit in enumerate(source_of(tiny).units()):
            one, other = (r.of_unit(number, unit) for r in (together, by_itself))
            assert [*map(plain, one)] == [*map(plain, other)]


def plain(said: Any) -> Any:
    """What reading gave, as it can be compared."""
    return said.rows.to_pylist() if isinstance(said, ReadPart) else said


@pytest.mark.slow
def test_killed_driver_leaves_what_the_next_run_goes_on_from(
    folder: Path, alone: tuple[Table, dict[str, bytes]], watched: Watched
) -> None:
    code = (
        "import sys; from pathlib import Path; from tests.test_reading import *; w = Path("
        "sys.argv[2]); deadly = Deadly(Crew([]), w, 20); "
        "read(Path(sys.argv[1]), w, Hands(2, deadly.spread, worth_bytes=0))"
    )
    arguments = [str(folder), str(watched.workspace)]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    ended = subprocess.run([sys.executable, "-c", code, *arguments], env=env, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert [*watched.workspace.glob("ingest/.tmp-*")]
    table = read(folder, watched.workspace, Hands(2, watched.spread, worth_bytes=0))
    assert (table, stored(watched.workspace)) == alone


@pytest.mark.slow
@pytest.mark.parametrize("bound", ["piece_bytes", "spool_bytes"])
def test_pieces_that_are_too_large_are_never_copied_whole(
    folder: Path, alone: tuple[Table, dict[str, bytes]], watched: Watched, bound: str
) -> None:
    """One row group is six batches and more."""
    hands = Hands(2, watched.spread, worth_bytes=0)
    small = replace(hands, piece_bytes=1000), replace(hands, spool_bytes=1000)
    hands = small[bound == "spool_bytes"]
    table = read(folder, watched.workspace, hands)
    assert (table, stored(watched.workspace)) == alone
    assert 0 < watched.most_bytes < 3_000_000


def test_rows_that_travel_are_stored_alike_and_leave_no_file(
    folder: Path, alone: tuple[Table, dict[str, bytes]], watched: Watched
) -> None:
    hands = Hands(2, watched.spread, worth_bytes=0, spool_bytes=10**6, travels=True)
    table = read(folder, watched.workspace, hands)
    assert (table, stored(watched.workspace)) == alone
    assert watched.most_bytes == 0


def work_on(folder: Path, tmp_path: Path) -> SourceWork:
    source = source_of(folder)
    schema = pool_schema_of(source.schema())
    return SourceWork(source, schema, str(tmp_path / "w"), str(tmp_path / "spool"), 2**30)


def test_worker_that_does_not_have_the_file_leaves_it_to_the_driver(
    folder: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "in.parquet"
    copy.write_bytes((folder / "0.parquet").read_bytes())
    work, task = work_on(copy, tmp_path), Reading(0, ((0, 0),))
    LOADED[work.spool] = work, True
    assert at_work(work.spool, [], task)
    LOADED[work.spool] = work, False  # a folder of images is not there
    assert at_work(work.spool, [], task) is None
    LOADED[work.spool] = work, True
    os.utime(copy, (1, 1))  # another file of that name
    assert at_work(work.spool, [], task) is None
    copy.unlink()
    assert at_work(work.spool, [], task) is None


def test_full_disk_is_told(folder: Path, tmp_path: Path) -> None:
    work = work_on(folder, tmp_path)
    (tmp_path / "spool0").symlink_to("/dev/full")
    with pytest.raises(DiskFull, match="no space left"):
        work.read(Reading(0, ((1, 0),)))


def test_file_that_vanishes_or_changes_is_told_whoever_reads(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "in.parquet"
    copy.write_bytes((folder / "0.parquet").read_bytes())
    work = work_on(copy, tmp_path)
    unit = work.units[0]
    copy.unlink()
    with pytest.raises(RunError, match=r"in\.parquet cannot be read any more") as told:
        work.read(Reading(0, ((0, 0),)))
    with pytest.raises(RunError) as alone:
        deque(OneReader(Storage(work.root), work.schema, None).of_unit(0, unit), maxlen=0)
    assert str(told.value) == str(alone.value)
    pq.write_table(pa.table({"text": ["another"], "doc_id": ["d"], "uid": ["u"]}), copy)
    with pytest.raises(RunError, match=r"in\.parquet was changed while it was read"):
        build_table(Storage(work.root), work.source, "0" * 16, work.schema)
