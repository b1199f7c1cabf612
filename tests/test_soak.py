"""A soak stops where something hangs, and says what it did; a start that hung but once is tried
again and forgiven.
"""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.chaos import Chaos, schedule
from tests.clusters import wait_for
from tools.soak import soaked, table

HANGS = "print('began', flush=True); import time; time.sleep(1000)"
WORKS = "open('ended', 'w').close()"
SEEDS = (2, 15, 22)
"""They strike workers alone."""


class NoWorkers:
    """A cluster on which nothing runs."""

    def workers(self) -> list[int]:
        return []


class Hanging(Chaos):
    """Its runs are programs that hang, or end at once: the packages are there."""

    def __init__(self, folder: Path, hang: set[int]) -> None:
        cluster: Any = NoWorkers()
        super().__init__(folder, cluster, run_s=0.3)
        self.hang, self.started = hang, 0

    def start(self, place: Path, printed: Path) -> "subprocess.Popen[bytes]":
        """The number of the start decides."""
        hangs = self.started in self.hang
        self.started += 1
        for name in ("out", "parts"):
            (place / name).mkdir()
        with printed.open("wb") as out:
            program = [sys.executable, "-c", HANGS if hangs else WORKS]
            process = subprocess.Popen(program, stdout=out, stderr=out, cwd=place)
        if hangs:
            assert wait_for(lambda: b"began" in printed.read_bytes(), pause=0.02)
        else:
            process.wait()
        return process


def test_soak_stops_at_a_schedule_that_hangs_twice_and_tells_its_stacks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert all(event.kind == "worker" for seed in SEEDS for event in schedule(seed))
    chaos = Hanging(tmp_path, hang={1, 2})
    trials = soaked(chaos, SEEDS)
    assert list(trials) == [2, 15]
    assert chaos.started == 3
    assert trials[15].faults == ["a start came to no end within 0.3 s"]
    said = capsys.readouterr().out
    assert said.count("stacks:") == 2
    assert "began" in said.partition("printed:")[2]
    assert '"15": ["a start came' in " ".join(table(trials).split()).replace("[ ", "[")


def test_soak_goes_on_after_a_start_that_hung_but_once(tmp_path: Path) -> None:
    chaos = Hanging(tmp_path, hang={1})
    trials = soaked(chaos, SEEDS)
    assert list(trials) == [*SEEDS]
    assert chaos.started == 4
    assert not any(trial.faults for trial in trials.values())
