"""What worker processes are forked of begins early where a first run has much to read, and serves
the run or ends with it.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pairmill.pipeline import early
from pairmill.pipeline.early import begin_early, is_first_over_much, was_run
from pairmill.work import starting
from pairmill.work.crew import Crew

MUCH = 32 * 2**20
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing is forked")


def sized(file: Path, size: int) -> None:
    """A file of so many bytes, none of which is read."""
    file.parent.mkdir(exist_ok=True)
    with file.open("wb") as stream:
        stream.truncate(size)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A pipeline over a large file, on a machine of two cores."""
    monkeypatch.delenv("PAIRMILL_PROCESSES", raising=False)
    monkeypatch.setattr(early, "cores", lambda: 2)
    sized(tmp_path / "in" / "rows.csv", MUCH)
    (tmp_path / "p.yaml").write_text(
        "name: first\nworkspace: w\nsource: {type: pairs, path: in/rows.csv}\nstages: []\n"
    )
    yield tmp_path
    starting.drop_early()


@pytest.mark.parametrize(
    ("source", "much"),
    [
        ({"type": "pairs", "path": "in/rows.csv"}, True),
        ({"type": "pairs", "path": "in/few.csv"}, False),
        ({"type": "pairs", "path": "in/few.parquet"}, True),
        ({"type": "pairs", "path": ["in/few.csv", "in/*.parquet"]}, True),
        ({"type": "pairs", "path": "in"}, True),
        ({"a": {"type": "pairs", "path": "in/few.csv"}, "b": {"type": "x", "path": "in"}}, True),
        ({"type": "pairs", "path": "s3://bucket/in"}, False),
        ({"type": "pairs", "path": "in/gone.csv"}, False),
        ({"type": "own:Source"}, False),
        (["in/rows.csv"], False),
        (None, False),
    ],
)
def test_much_input_is_told_by_its_files(folder: Path, source: object, much: bool) -> None:
    sized(folder / "in" / "few.csv", MUCH // 4)
    sized(folder / "in" / "few.parquet", MUCH // 4)
    assert is_first_over_much({"source": source}, str(folder)) is much


def test_a_workspace_with_tables_is_no_first_run(folder: Path) -> None:
    data = {"workspace": "w", "source": {"type": "pairs", "path": "in/rows.csv"}}
    assert is_first_over_much(data, str(folder))
    assert not is_first_over_much({**data, "workspace": "s3://bucket/w"}, str(folder))
    (folder / "w" / "tables").mkdir(parents=True)
    assert not is_first_over_much(data, str(folder))


def test_a_workspace_is_found_in_the_text(folder: Path) -> None:
    texts = ["name: x\nworkspace: w\n", "workspace:  'w' # here\n", 'workspace: "w"\nname: x\n']
    assert not any(was_run(text, str(folder)) for text in texts)
    (folder / "w" / "tables").mkdir(parents=True)
    assert all(was_run(text, str(folder)) for text in texts)
    others = ["name: x\n", "stages:\n  - workspace: w\n", "workspace: ${HOME}/w\n"]
    assert not any(was_run(text, str(folder)) for text in others)
    (folder / "workspace" / "tables").mkdir(parents=True)
    assert was_run("name: x\n", str(folder))


@LINUX
@pytest.mark.slow
def test_the_crew_takes_what_began_early_and_ends_it(folder: Path) -> None:
    begin_early(folder / "p.yaml", {}, None, None, elsewhere=False, local=False)
    (begun,) = starting.EARLY
    crew = Crew([])
    parents = [found for _, found in crew.run(parent_of, [1, 2], 2)]
    assert parents == [begun.server.pid] * 2
    assert not starting.is_begun()
    crew.close()
    assert begun.server.poll() is not None


def parent_of(item: int) -> int:
    """The process that forked this one."""
    return os.getppid()


@LINUX
@pytest.mark.slow
def test_what_no_worker_was_forked_of_ends_with_the_run(folder: Path) -> None:
    begin_early(folder / "p.yaml", {}, None, None, elsewhere=False, local=False)
    (begun,) = starting.EARLY
    Crew([]).close()
    assert begun.server.poll() is not None
    assert not starting.is_begun()


@LINUX
@pytest.mark.parametrize(
    ("processes", "elsewhere", "cores", "file"),
    [
        (0, False, 2, "p.yaml"),
        (1, False, 2, "p.yaml"),
        (None, True, 2, "p.yaml"),
        (None, False, 1, "p.yaml"),
        (None, False, 2, "gone.yaml"),
    ],
)
def test_nothing_begins_where_processes_will_not_read(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    processes: int | None,
    elsewhere: bool,
    cores: int,
    file: str,
) -> None:
    monkeypatch.setattr(early, "cores", lambda: cores)
    begin_early(folder / file, {}, None, processes, elsewhere, local=False)
    assert not starting.is_begun()


@LINUX
def test_a_ray_that_the_environment_names_reads_itself(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    begin_early(folder / "p.yaml", {}, None, None, elsewhere=False, local=False)
    assert not starting.is_begun()
    begin_early(folder / "p.yaml", {}, None, None, elsewhere=False, local=True)
    assert starting.is_begun()
