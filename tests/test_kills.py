"""Kills of driver and workers leave what an undisturbed run gives."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pairmill.api import Pipeline
from tests.clusters import Cluster
from tests.ray_world import files

pytestmark = [pytest.mark.filterwarnings("ignore")]
"""Of the driver, on each of the two bodies of a run."""
BODIES = [
    pytest.param(["--processes", "2"], id="processes"),
    pytest.param(["--ray"], id="ray", marks=pytest.mark.ray),
]


@pytest.mark.ray
@pytest.mark.parametrize("worker", ["actor", "task"])
def test_killed_worker_of_ray_loses_nothing(
    ray_session: None, world: Path, worker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed_worker_loses_nothing(world, worker, monkeypatch, ray=True)


@pytest.mark.slow
@pytest.mark.parametrize("worker", ["actor", "task"])
def test_killed_worker_process_loses_nothing(
    world: Path, worker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed_worker_loses_nothing(world, worker, monkeypatch, processes=2)


def killed_worker_loses_nothing(
    world: Path, worker: str, monkeypatch: pytest.MonkeyPatch, **body: Any
) -> None:
    monkeypatch.setenv("PAUSE_S", "0.01")
    if worker == "actor":
        world.write_text(
            world.read_text().replace(
                "    batch_size: 4\n", "    batch_size: 4\n    resources: {replicas: 1}\n"
            )
        )
    log = world.parent / "log"
    pipeline = Pipeline.from_yaml(world)
    killer = subprocess.Popen([sys.executable, "-c", KILLER, str(log)])
    result = pipeline.run(progress=False, **body)
    assert killer.wait() == 0
    assert result.funnel.kept > 100
    processes, batches = computed(log)
    assert len(processes) >= 2
    assert_only_last_batches_again(batches, result.funnel.steps[-1].rows)


KILLER = """
import json, os, signal, sys, time
parent = os.getppid()
while os.getppid() == parent:
    lines = open(sys.argv[1]).read().splitlines() if os.path.exists(sys.argv[1]) else []
    if len(lines) > 6:
        os.kill(json.loads(lines[-1])["pid"], signal.SIGKILL)
        sys.exit(0)
    time.sleep(0.05)
sys.exit(1)
"""


def computed(log: Path) -> tuple[set[int], list[tuple[int, list[str]]]]:
    """Processes, and (process, uids) of every batch that PickyStage computed, in order."""
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    return {line["pid"] for line in lines}, [
        (line["pid"], line["uids"]) for line in lines if "uids" in line
    ]


def assert_only_last_batches_again(batches: list[tuple[int, list[str]]], rows: int) -> None:
    """Every row was computed, and once, but for the batch that a process held when it was killed:
    it was not flushed yet.
    """
    last = {pid: i for i, (pid, _) in enumerate(batches)}
    times = Counter(uid for i, (pid, uids) in enumerate(batches) if last[pid] != i for uid in uids)
    assert {uid: n for uid, n in times.items() if n > 1} == {}
    assert len({uid for _, uids in batches for uid in uids}) == rows


def command(
    file: Path, pause_s: float, options: list[str], **cluster: str
) -> subprocess.Popen[bytes]:
    root = str(Path(__file__).parent.parent)
    env = {**os.environ, "PYTHONPATH": root, "PAUSE_S": str(pause_s), **cluster}
    with (file.parent / "stderr").open("ab") as err:
        return subprocess.Popen(
            [sys.executable, "-m", "pairmill.cli", "run", str(file), *options],
            env=env,
            stdout=err,
            stderr=err,
            start_new_session=True,
        )


def shards_of(folder: Path, kind: str) -> int:
    """Shards that are stored of the stage of a kind."""
    return len([*folder.glob(f"workspace/columns/{kind}-*/*.parquet")])


def batches_in(folder: Path) -> int:
    """Batches that the slow stage computed."""
    log = folder / "log"
    return log.read_text().count('"uids"') if log.exists() else 0


MOMENTS: list[Callable[[Path], bool]] = [
    lambda folder: bool([*folder.glob("workspace/shards/*")]),
    lambda folder: shards_of(folder, "download") >= 2,
    lambda folder: shards_of(folder, "dedup") >= 1,
    lambda folder: shards_of(folder, "each") >= 1,
    lambda folder: batches_in(folder) >= 5,
    lambda folder: shards_of(folder, "picky") >= 4,
]
"""When the run is killed: while it reads the source, downloads, has found duplicates, brings back
what it computed of sentences, is at its first batches of the slow stage, and at the last ones.
"""


@pytest.fixture
def bodies(options: list[str], tmp_path: Path) -> Iterator[Callable[[], dict[str, str]]]:
    """Where the next start of a driver works.  On Ray, those that are killed while they read and
    download start one of their own, whose processes notice and end; later ones come to one that
    runs, which is there at once.
    """
    if options != ["--ray"]:
        yield dict
        return
    cluster = Cluster(tmp_path, head_cpus=2, dashboard=False)
    running = {**cluster.env, "RAY_ADDRESS": cluster.gcs}
    starts = iter([{}, {}])
    try:
        yield lambda: next(starts, running)
    finally:
        cluster.close()


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("options", BODIES)
def test_driver_killed_in_each_phase_leaves_the_package_of_an_undisturbed_run(
    world: Path, options: list[str], bodies: Callable[[], dict[str, str]]
) -> None:
    """The run is killed at a moment of each of its phases, and ends with the same bytes and no row
    computed twice.
    """
    Pipeline.from_yaml(world).run(progress=False, local=True)
    undisturbed = files(world.parent)
    (world.parent / "workspace").rename(world.parent / "old")
    (world.parent / "log").unlink()
    for name in undisturbed:
        (world.parent / name).unlink()
    stored: dict[Path, tuple[int, int]] = {}
    for moment in MOMENTS:
        process = command(world, 0.05, options, **bodies())
        while process.poll() is None and not moment(world.parent):
            time.sleep(0.02)
        assert process.poll() is None, (world.parent / "stderr").read_text()[-2000:]
        process.kill()  # the driver alone
        process.wait()
        stored |= committed(world.parent)
    process = command(world, 0.0, options, **bodies())
    assert process.wait() == 0, (world.parent / "stderr").read_text()[-2000:]
    ours = files(world.parent)
    assert {n for n in ours if ours[n] != undisturbed.get(n)} == set()
    assert ours.keys() == undisturbed.keys()
    after = committed(world.parent)
    assert {
        str(f) for f, state in stored.items() if after[f] != state
    } == set()  # a committed shard was never written again
    assert len(stored) >= 6
    rows = json.loads(ours["out/manifest.json"])["funnel"]["steps"][-1]["rows"]
    assert_only_last_batches_again(computed(world.parent / "log")[1], rows)


def committed(folder: Path) -> dict[Path, tuple[int, int]]:
    """Inode and modification time of the stored shards of all stages but the one that flushes while
    it computes.
    """
    found = [
        f
        for f in folder.glob("workspace/columns/*/*.parquet")
        if not f.parent.name.startswith("picky-")
    ]
    return {f: (f.stat().st_ino, f.stat().st_mtime_ns) for f in found}


@pytest.mark.slow
@pytest.mark.parametrize("options", BODIES)
def test_interrupt_stops_cleanly_and_says_how_to_go_on(world: Path, options: list[str]) -> None:
    process = command(world, pause_s=0.2, options=options)
    wait_for_work(process, world.parent, 3.0)
    process.send_signal(signal.SIGINT)
    assert process.wait() == 1
    told = (world.parent / "stderr").read_text()
    assert "the same command goes on from there" in told
    assert "Traceback" not in told
    # how a run goes on where its driver was killed is shown above, on each body
    again = command(world, pause_s=0, options=["--local"])
    assert again.wait() == 0


def wait_for_work(process: subprocess.Popen[bytes], folder: Path, seconds: float) -> None:
    """Until the run has changed something in its workspace, then `seconds` more."""

    def state() -> int:
        return sum(1 for _ in folder.glob("workspace/columns/*/*.parquet")) + (
            folder / "log"
        ).exists() * len((folder / "log").read_text() if (folder / "log").exists() else "")

    before = state()
    while state() == before and process.poll() is None:
        time.sleep(0.05)
    time.sleep(seconds)
