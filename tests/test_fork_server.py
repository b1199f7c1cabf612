"""Worker processes are forked by one process that has imported what they need and done nothing."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from pairmill.work.crew import Crew
from pairmill.work.starting import CommandLines, Forks
from tests.clusters import descendants, wait_for

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing is forked"),
]
ROOT = str(Path(__file__).parent.parent)


@pytest.fixture
def crew() -> Iterator[Crew]:
    found = Crew([])
    yield found
    found.close()


def facts(item: int) -> tuple[int, int, float, int, str, str]:
    """What a worker process is: its id and its parent's, a number drawn, threads that Polars has,
    a variable, the working folder.
    """
    time.sleep(0.3)  # so that the other one comes by its share
    drawn, threads = float(np.random.random()), pl.thread_pool_size()
    variable = os.environ.get("SET_LATER", "")
    return os.getpid(), os.getppid(), drawn, threads, variable, os.getcwd()


def ends(item: int) -> int:
    """Item 3 takes its process down the first time, as a row may; item 5 ends the server, too."""
    mark = Path(os.environ["SET_LATER"]) / str(item)
    if item in (3, 5) and not mark.exists():
        mark.touch()
        if item == 5:
            os.kill(os.getppid(), signal.SIGKILL)
            time.sleep(60)
        os._exit(9)
    return item * item


def test_a_process_that_has_imported_what_workers_need_may_be_forked() -> None:
    check = (
        "import threading, time; from pairmill.work.fork_server import is_whole, preload\n"
        "preload(); print(is_whole())\n"
        "threading.Thread(target=time.sleep, args=(60,), daemon=True).start(); print(is_whole())\n"
        "import sys; print([m for m in ('torch', 'ray', 'transformers', 'sqlglot') "
        "if m in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert told.stdout.split("\n")[:3] == ["True", "False", "[]"]


def test_a_process_that_uses_polars_is_not_forked() -> None:
    check = (
        "import polars; from pairmill.work.fork_server import is_whole\n"
        "polars.DataFrame({'a': range(10)}).lazy().filter(polars.col.a > 1).collect()\n"
        "print(is_whole())"
    )
    told = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "False"


def test_forked_workers_share_a_parent_and_have_what_the_driver_has_by_then(
    crew: Crew, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = dict(crew.run(facts, range(2), count=2))
    monkeypatch.setenv("SET_LATER", "value")
    monkeypatch.chdir(tmp_path)
    for seat in crew.seats:
        seat.process.kill()
    after = dict(crew.run(facts, range(2), count=2))
    pids, parents, drawn, threads, variables, folders = zip(
        *before.values(), *after.values(), strict=True
    )
    assert len(set(pids)) == 4
    assert len(set(parents)) == 1
    assert parents[0] != os.getpid()
    assert len(set(drawn)) == 4
    assert set(threads) == {crew.threads}
    assert variables == ("", "", "value", "value")
    assert folders[2:] == (str(tmp_path),) * 2


def test_worker_that_dies_and_server_that_dies_are_replaced(
    crew: Crew, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SET_LATER", str(tmp_path))
    assert dict(crew.run(ends, range(8), count=2)) == {i: i * i for i in range(8)}
    assert {f.name for f in tmp_path.iterdir()} == {"3", "5"}


def slowly(item: float) -> int:
    """Takes `item` seconds; gives the process."""
    time.sleep(item)
    return os.getpid()


def test_little_work_is_one_process_s_unless_it_takes_long() -> None:
    crew = Crew([], patience_s=60)
    quick = dict(crew.run(slowly, [0.01, 0.02, 0.03], count=2, little=True))
    assert len(set(quick.values())) == len(crew.seats) == 1
    crew.patience_s = 0.05
    assert set(dict(crew.run(slowly, [0.5, 0.6, 0.7], count=2, little=True))) == {0.5, 0.6, 0.7}
    assert len(crew.seats) == 2
    crew.close()


def test_little_work_that_takes_its_process_down_is_done_by_the_next(
    crew: Crew, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SET_LATER", str(tmp_path))
    assert dict(crew.run(ends, [3, 4], count=2, little=True)) == {3: 9, 4: 16}
    assert (tmp_path / "3").exists()


def test_a_driver_whose_folder_is_gone_has_workers(
    crew: Crew, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.setenv("SET_LATER", str(tmp_path))
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert dict(crew.run(ends, [2], count=1)) == {2: 4}


def test_killed_driver_leaves_no_process(tmp_path: Path) -> None:
    driver = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import time; from pairmill.work.crew import Crew\n"
            "list(Crew([]).run(time.sleep, [60, 60], count=2))",
        ],
        env={**os.environ, "PYTHONPATH": ROOT},
    )
    assert wait_for(lambda: len(descendants(driver.pid)) == 3, 60)
    below = descendants(driver.pid)
    driver.kill()
    driver.wait()
    assert wait_for(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in below), 60)


@pytest.mark.slow
def test_processes_of_command_lines_do_the_same(
    crew: Crew, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SET_LATER", str(tmp_path))
    crew.starter = CommandLines()
    assert dict(crew.run(ends, range(5), count=1)) == {i: i * i for i in range(5)}
    assert not isinstance(crew.starter, Forks)
