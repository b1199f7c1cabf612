"""One driver a run: who holds the lease, whatever the clocks say; signals give it back."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pairmill.errors import RunError, StrangeFile
from pairmill.workspace.lease import TTL_S, leased
from pairmill.workspace.storage import Storage

NAME = "runs/r/lease.json"


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(str(tmp_path))


def put(storage: Storage, renewed_s_ago: float, **changes: Any) -> None:
    """A lease of another machine's process, as old as the disk's clock says."""
    facts = {"owner": "x", "host": "elsewhere", "machine": "far", "pid": 7, "born": "1"}
    storage.write_json(NAME, {**facts, "at": time.time(), **changes})
    when = time.time() - renewed_s_ago
    os.utime(storage.path(NAME), (when, when))


def test_run_has_one_driver_and_a_dead_one_does_not_hold_its_lease(storage: Storage) -> None:
    with leased(storage, "runs/r"):
        with pytest.raises(RunError, match="in progress: process"), leased(storage, "runs/r"):
            pass
        mine = storage.read_json(NAME)
    assert not storage.exists(NAME)
    put(storage, 0, **{**mine, "pid": 2**22 + 1})  # a process of this machine that is gone
    with leased(storage, "runs/r"):
        pass
    put(storage, 0)
    with pytest.raises(RunError, match="on elsewhere"), leased(storage, "runs/r"):
        pass
    put(storage, TTL_S + 1)
    with leased(storage, "runs/r"):
        assert storage.read_json(NAME)["host"] != "elsewhere"


def test_driver_that_slept_too_long_notices_and_leaves_the_lease_to_its_successor(
    storage: Storage,
) -> None:
    with leased(storage, "runs/r") as sleeper:
        sleeper.check()
        put(storage, TTL_S + 1, **storage.read_json(NAME))
        with leased(storage, "runs/r") as successor:
            sleeper.renew()
            with pytest.raises(RunError, match="another driver took over"):
                sleeper.check()
            successor.renew()
            successor.check()
            sleeper.end()
            assert storage.read_json(NAME)["owner"] == successor.mine["owner"]


@pytest.mark.parametrize("apart_s", [-86_400, -300, 300, 86_400])
def test_clock_of_another_machine_neither_frees_a_living_lease_nor_keeps_a_dead_one(
    storage: Storage, apart_s: float
) -> None:
    put(storage, 5, at=time.time() + apart_s)
    said = f"renewed its lease 5 s ago .*the clock there is {abs(apart_s) - 5 if apart_s < 0 else apart_s + 5:,.0f} s {'ahead' if apart_s > 0 else 'behind'}"
    with pytest.raises(RunError, match=said), leased(storage, "runs/r"):
        pass
    put(storage, TTL_S + 1, at=time.time() + apart_s)
    with leased(storage, "runs/r"):
        pass


def test_lease_dated_in_the_future_says_what_to_do(storage: Storage) -> None:
    put(storage, -7200)
    with (
        pytest.raises(RunError, match=r"7,200 s in the future.*delete .*lease\.json"),
        leased(storage, "runs/r"),
    ):
        pass


@pytest.mark.parametrize(
    "text", ["[]", "{}", '{"owner": 1, "host": "a", "pid": "x", "at": 0}', '"x"']
)
def test_file_that_is_no_lease_is_told(storage: Storage, text: str) -> None:
    storage.write_bytes(NAME, text.encode())
    with pytest.raises(StrangeFile, match="is no lease"), leased(storage, "runs/r"):
        pass


SLOW = """
name: slow
source: {type: parquet, path: pairs.parquet}
stages:
  - {stage: "tests.stages_for_tests:PickyStage", batch_size: 1, pause_s: 0.5, log: LOG}
outputs: [{type: parquet, path: out}]
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "options"),
    [
        pytest.param(signal.SIGTERM, ["--local"], id="SIGTERM"),
        pytest.param(signal.SIGHUP, ["--local"], id="SIGHUP"),
        pytest.param(signal.SIGINT, ["--processes", "2"], id="SIGINT, processes"),
        pytest.param(signal.SIGTERM, ["--ray"], id="SIGTERM on Ray", marks=pytest.mark.ray),
    ],
)
def test_signal_to_end_gives_a_message_and_the_lease_back(
    write: Callable[[str], Path], pairs: Path, number: signal.Signals, options: list[str]
) -> None:
    log = pairs.parent / "log"
    file = write(SLOW.replace("LOG", str(log)))
    process = subprocess.Popen(
        [sys.executable, "-m", "pairmill.cli", "run", str(file), *options],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "COLUMNS": "300"},
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),  # `nohup` lets it be ignored
    )
    while not log.exists():  # the stage works
        assert process.poll() is None
        time.sleep(0.1)
    assert list(pairs.parent.glob("workspace/runs/*/lease.json"))
    process.send_signal(number)
    told = process.communicate(timeout=300)[1]
    assert process.returncode == 1
    by = "" if number == signal.SIGINT else f" by {number.name}"
    assert re.search(f"stopped{by}; .*the same command goes on from there", told)
    assert "Traceback" not in told
    assert not list(pairs.parent.glob("workspace/runs/*/lease.json"))
    assert json.loads((pairs.parent / "workspace/workspace.json").read_text())
