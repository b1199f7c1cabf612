"""A pipeline as a job of a real Ray cluster with token authentication."""

import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pairmill.api import Pipeline
from tests.chaos import FILE as SLOW
from tests.clusters import Cluster, descendants, wait_for
from tests.conftest import pairmill

pytestmark = [pytest.mark.timeout(900)]
STAGE = """
import pyarrow as pa
from pairmill import Stage, StageConfig, column

class LoudConfig(StageConfig):
    mark: str = "!"

class LoudStage(Stage):
    Config = LoudConfig
    prefix = "loud"
    def reads(self): return ["text"]
    def writes(self): return pa.schema([column(self.column(), pa.string(), "the text, louder")])
    def __call__(self, rows):
        texts = rows["text"].to_pylist()
        return pa.table({self.column(): [t.upper() + self.config.mark for t in texts]})
"""
FILE = """
name: job
source: {type: parquet, path: pairs.parquet, rows_per_shard: 10}
stages:
  - {stage: "loud_words:LoudStage", mark: "${MARK}"}
  - {stage: text_rules, keep: text_words > 2}
outputs:
  - {type: webdataset, path: out, samples_per_shard: 30}
"""


@pytest.fixture(scope="module")
def ray_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path_factory.mktemp("cluster"))
    try:
        assert wait_for(cluster.takes_jobs)
        yield cluster
    finally:
        cluster.close()


@pytest.fixture
def cluster(ray_cluster: Cluster) -> dict[str, str]:
    """The environment in which commands reach it."""
    return {**ray_cluster.env, "RAY_ADDRESS": f"http://{ray_cluster.dashboard}"}


def test_submitted_pipeline_runs_with_code_of_its_own_and_can_be_watched(
    ray_cluster: Cluster, cluster: dict[str, str], pairs: Path
) -> None:
    (pairs.parent / "loud_words.py").write_text(STAGE)
    file = pairs.parent / "p.yaml"
    file.write_text(FILE)
    done = pairmill("submit", str(file), "--env", "MARK", MARK="?!", **cluster)
    assert done.returncode == 0, done.stdout + done.stderr
    job = done.stdout.splitlines()[0].strip()
    assert "rows to decide" in done.stdout
    assert "rows in" in done.stdout
    rows = pl.read_parquet(pairs.parent / "out/00000.parquet")
    assert set(rows["loud"].str.slice(-2)) == {"?!"}
    assert json.loads((pairs.parent / "out/manifest.json").read_text())["samples"] == 40
    shards = len([*pairs.parent.glob("workspace/shards/*.parquet")])
    counts = {"rows": 40, "computed": 40, "shards": shards}
    expected = {(name, s): n for name, n in counts.items() for s in ("loud", "text_rules")}

    def counted() -> dict[tuple[str, str], float]:
        every = scraped(f"http://{ray_cluster.metrics}/metrics")
        return {key: value for key, value in every.items() if key[0] in counts}

    wait_for(lambda: counted() == expected, 120)
    assert counted() == expected
    assert "SUCCEEDED" in pairmill("status", job, **cluster).stdout
    jobs = pairmill("list", **cluster).stdout
    assert job in jobs
    assert next((pairs.parent / "workspace/runs").iterdir()).name in jobs
    assert "package:" in pairmill("logs", job, **cluster).stdout
    assert "had ended already" in pairmill("stop", job, **cluster).stdout


def scraped(url: str) -> dict[tuple[str, str], float]:
    """pairmill's metrics as Prometheus sees them: (name, stage) → value."""
    text = urllib.request.urlopen(url, timeout=10).read().decode()
    found = re.findall(r'^ray_pairmill_(\w+)_total\{.*stage="(\w+)".*\} (\S+)$', text, re.MULTILINE)
    return {(name, stage): float(value) for name, stage, value in found}


def test_wrong_job_variable_address_and_failing_run_say_so(
    cluster: dict[str, str], pairs: Path
) -> None:
    body = STAGE.index("    def __call__")
    (pairs.parent / "loud_words.py").write_text(
        STAGE[:body] + "    def __call__(self, rows): raise ValueError('a broken stage')\n"
    )
    file = pairs.parent / "p.yaml"
    file.write_text(FILE.replace("${MARK}", "!"))
    failing = pairmill("submit", str(file), **cluster)
    assert failing.returncode == 1
    assert "ValueError: a broken stage" in failing.stdout
    ended = next(x for x in failing.stderr.splitlines() if "the job ended as FAILED" in x)
    assert "ValueError: a broken stage" in ended
    assert "no job" in pairmill("status", "raysubmit_none", **cluster).stderr
    unknown = pairmill("logs", "raysubmit_none", "-f", **cluster)
    assert unknown.returncode == 1
    assert "no job" in unknown.stderr
    assert (
        "NOT_SET_HERE: the variable is not set here"
        in pairmill("submit", str(file), "--env", "NOT_SET_HERE", **cluster).stderr
    )
    nobody = pairmill("list", "--address", "http://127.0.0.1:1")
    assert nobody.returncode == 1
    assert "no Ray cluster answers" in nobody.stderr


def slow(log: Path, most: int) -> str:
    """The failure schedules' pipeline with its batches told to `log`, and up to `most` workers of
    its slow stage.
    """
    assert "log: ${LOG:-}" in SLOW
    assert "replicas: [1, 2]" in SLOW
    return SLOW.replace("${LOG:-}", str(log)).replace(
        "replicas: [1, 2]", f"replicas: [{max(1, most // 2)}, {most}]"
    )


def joined(cluster: Cluster, **options: Any) -> subprocess.Popen[bytes]:
    """A second node, once the head counts it, and no longer counts the one that an earlier test
    killed.
    """
    assert wait_for(lambda: cluster.alive() == 1)
    node = cluster.join(**options)
    assert wait_for(lambda: cluster.alive() == 2)
    return node


def workers_of(log: Path) -> set[int]:
    return {json.loads(line)["pid"] for line in log.read_text().splitlines()}


@pytest.mark.filterwarnings("ignore")
def test_killed_node_loses_nothing(ray_cluster: Cluster, pairs: Path) -> None:
    """A second node joins, and dies with its workers while they hold shards.  A worker has
    2.05 cores, so that the one that is left, with two, holds none: the phase starts anew with
    smaller shares, and the package is that of an undisturbed run.
    """
    file, log = pairs.parent / "p.yaml", pairs.parent / "log"
    file.write_text(slow(log, most=2).replace("cpus: 1, replicas: [1, 2]", "cpus: 5, replicas: 2"))
    Pipeline.from_yaml(file).run(local=True, progress=False)
    undisturbed = {f.name: f.read_bytes() for f in (pairs.parent / "out").iterdir() if f.is_file()}
    (pairs.parent / "workspace").rename(pairs.parent / "old")
    for name in undisturbed:
        (pairs.parent / "out" / name).unlink()
    log.unlink()
    env = {**os.environ, **ray_cluster.env, "RAY_ADDRESS": ray_cluster.gcs, "PAUSE_S": "0.4"}
    node = joined(ray_cluster, cpus=7)
    try:
        run = subprocess.Popen(
            [sys.executable, "-m", "pairmill.cli", "run", str(file)],
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert wait_for(
            lambda: (
                run.poll() is not None
                or (log.exists() and bool(workers_of(log) & set(descendants(node.pid))))
            )
        )
        killed_pids = {int(p) for p in descendants(node.pid)}
        assert run.poll() is None, run.communicate()[0].decode()
        ray_cluster.kill(node)
        told = run.communicate()[0].decode()
    finally:
        ray_cluster.kill(node)
    assert run.returncode == 0, told
    assert "the phase goes on with smaller shares" in " ".join(told.split())
    (kept,) = pairs.parent.glob("workspace/runs/*/log.jsonl")
    lines = [json.loads(line) for line in kept.read_text().splitlines()]
    assert sum("smaller shares" in line["message"] for line in lines) == 1
    assert workers_of(log) & killed_pids  # the node that died had computed rows
    assert {
        f.name: f.read_bytes() for f in (pairs.parent / "out").iterdir() if f.is_file()
    } == undisturbed


def test_stage_that_wants_a_gpu_runs_on_the_node_that_has_one_and_waits_for_another(
    ray_cluster: Cluster, pairs: Path
) -> None:
    """The node says that it has a GPU; Ray takes its word for it.  It dies; what the run waits for
    is told, and the next node with a GPU does the rest.
    """
    file, log, said = (pairs.parent / name for name in ("p.yaml", "log", "said"))
    file.write_text(slow(log, most=2).replace("cpus: 1, replicas: [1, 2]", "cpus: 1, gpus: 1"))
    node = joined(ray_cluster, gpus=1)
    try:
        with said.open("wb") as stream:
            run = subprocess.Popen(
                [sys.executable, "-m", "pairmill.cli", "run", str(file)],
                stdout=stream,
                stderr=stream,
                env={
                    **os.environ,
                    **ray_cluster.env,
                    "RAY_ADDRESS": ray_cluster.gcs,
                    "PAUSE_S": "0.2",
                    "COLUMNS": "300",
                },
            )
        assert wait_for(lambda: run.poll() is not None or (log.exists() and bool(workers_of(log))))
        there = set(descendants(node.pid))
        ray_cluster.kill(node)
        assert wait_for(lambda: run.poll() is not None or "waiting for" in said.read_text())
        waits = next(x for x in said.read_text().splitlines() if x.startswith("waiting for"))
        assert re.match(r"waiting for .*1 GPU.*not have that; node \S+ \(2 CPU, 1 GPU.*died", waits)
        dead, node = workers_of(log), joined(ray_cluster, gpus=1)
        assert wait_for(lambda: run.poll() is not None or workers_of(log) > dead)
        while run.poll() is None:  # workers may be replaced on the way
            there |= set(descendants(node.pid))
            time.sleep(0.2)
        assert run.wait() == 0, said.read_text()
    finally:
        run.kill()
        run.wait()
        ray_cluster.kill(node)
    assert workers_of(log) <= there
    report = json.loads(next(pairs.parent.glob("workspace/runs/*/report/data.json")).read_text())
    assert report["stages"]["slow"]["gpus"] == 1
    assert report["stages"]["slow"]["busy_s"] <= report["stages"]["slow"]["held_s"]


def test_gpu_that_no_node_has_is_named_before_anything_is_computed(
    ray_cluster: Cluster, pairs: Path
) -> None:
    file = pairs.parent / "p.yaml"
    text = slow(pairs.parent / "log", most=2)
    assert text.index("stage: text_rules") < text.index("cpus: 1, replicas: [1, 2]")
    file.write_text(text.replace("cpus: 1, replicas: [1, 2]", "cpus: 1, gpus: 1"))
    done = pairmill("run", str(file), **ray_cluster.env, RAY_ADDRESS=ray_cluster.gcs)
    assert done.returncode == 1
    assert "no node holds one of its workers" in done.stderr
    assert not list(pairs.parent.glob("workspace/columns/text_rules-*/*.parquet"))


def test_second_submit_of_a_run_that_goes_is_refused(cluster: dict[str, str], pairs: Path) -> None:
    file = pairs.parent / "p.yaml"
    file.write_text(slow(pairs.parent / "log", most=1))
    there = ["--address", cluster["RAY_ADDRESS"].removeprefix("http://")]
    other = {**cluster, "RAY_ADDRESS": "http://127.0.0.1:1", "PAUSE_S": "5"}  # --address counts
    command = ["submit", str(file), "--env", "PAUSE_S", *there]
    first = pairmill(*command, "--no-wait", **other)
    assert first.returncode == 0, first.stderr
    job = first.stdout.strip()
    try:
        second = pairmill(*command, **other)
        assert second.returncode == 1
        assert f"the job {job} does this run already" in second.stderr
    finally:
        pairmill("stop", job, *there, **other)


def test_node_without_access_is_named_before_work_starts(ray_cluster: Cluster, pairs: Path) -> None:
    """The second node has another file system where the workspace lies: nothing but an empty
    folder.
    """
    if subprocess.run(
        ["unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True
    ).returncode:
        pytest.skip("needs the right to make a mount namespace")
    file = pairs.parent / "p.yaml"
    file.write_text(slow(pairs.parent / "log", most=2))
    hidden = f'mount -t tmpfs none {pairs.parent} && exec "$@"'
    node = joined(ray_cluster, before=("unshare", "-m", "sh", "-c", hidden, "sh"))
    try:
        told = pairmill("run", str(file), **{**ray_cluster.env, "RAY_ADDRESS": ray_cluster.gcs})
    finally:
        ray_cluster.kill(node)
    assert told.returncode == 1
    assert f"does not see what the driver wrote to {pairs.parent}/workspace" in told.stderr
    assert not (pairs.parent / "log").exists()
    assert list((pairs.parent / "workspace").glob(".tmp-*")) == []
