"""A pipeline as a job of a real Ray cluster with token authentication; workspaces on an S3 server."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from pairmill.pipeline.api import Pipeline
from pairmill.pipeline.storage import Storage
from tests.conftest import pairmill

pytestmark = [pytest.mark.xdist_group("ray"), pytest.mark.timeout(300)]
ROOT = Path(__file__).parent.parent
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
    def __call__(self, rows): return pa.table({self.column(): [t.upper() + self.config.mark for t in rows["text"].to_pylist()]})
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


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """One `ray start` head that wants a token; gives the environment in which commands reach it."""
    folder = tmp_path_factory.mktemp("cluster")
    ray = str(Path(sys.executable).parent / "ray")
    (folder / "token").write_text("a" * 64)
    env = {
        **os.environ,
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(folder / "token"),
        "PYTHONPATH": str(ROOT),
        "RAY_metrics_report_interval_ms": "500",
    }
    env["PATH"] = f"{Path(sys.executable).parent}:{env['PATH']}"
    port, gcs, metrics = free_port(), free_port(), free_port()
    command = [ray, "start", "--head", "--block", f"--port={gcs}", f"--dashboard-port={port}", "--num-cpus=4", "--include-dashboard=true",
               f"--dashboard-agent-listen-port={free_port()}", f"--metrics-export-port={metrics}", f"--temp-dir=/tmp/pm-{os.getpid()}", "--object-store-memory=300000000"]  # fmt: skip
    head = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(60):
            if pairmill("list", "--address", address, **token_of(env)).returncode == 0:
                break
            time.sleep(1)
        yield {**token_of(env), "RAY_ADDRESS": address, "GCS": f"127.0.0.1:{gcs}", "METRICS": f"http://127.0.0.1:{metrics}/metrics"}
    finally:
        os.killpg(head.pid, signal.SIGKILL)
        head.wait(30)


def token_of(env: dict[str, str]) -> dict[str, str]:
    return {name: env[name] for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN_PATH", "PYTHONPATH", "PATH")}


def test_submitted_pipeline_runs_with_code_of_its_own_and_can_be_watched(cluster: dict[str, str], pairs: Path) -> None:
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
    for _ in range(20):
        counted = scraped(cluster["METRICS"])
        if counted.get(("rows", "text_rules")) == 40:
            break
        time.sleep(0.5)
    assert {name: value for name, value in counted.items() if name[0] in ("rows", "computed", "shards")} == {
        **{("rows", s): 40 for s in ("loud", "text_rules")},
        **{("computed", s): 40 for s in ("loud", "text_rules")},
        **{("shards", s): 4 for s in ("loud", "text_rules")},
    }
    assert "SUCCEEDED" in pairmill("status", job, **cluster).stdout
    assert job in pairmill("list", **cluster).stdout
    assert "package:" in pairmill("logs", job, **cluster).stdout
    assert "had ended already" in pairmill("stop", job, **cluster).stdout


def scraped(url: str) -> dict[tuple[str, str], float]:
    """pairmill's metrics as Prometheus sees them: (name, stage) → value."""
    text = urllib.request.urlopen(url, timeout=10).read().decode()
    found = re.findall(r'^ray_pairmill_(\w+)_total\{.*stage="(\w+)".*\} (\S+)$', text, re.MULTILINE)
    return {(name, stage): float(value) for name, stage, value in found}


def test_wrong_job_variable_address_and_failing_run_say_so(cluster: dict[str, str], pairs: Path) -> None:
    body = STAGE.index("    def __call__")
    (pairs.parent / "loud_words.py").write_text(STAGE[:body] + "    def __call__(self, rows): raise ValueError('a broken stage')\n")
    file = pairs.parent / "p.yaml"
    file.write_text(FILE.replace("${MARK}", "!"))
    failing = pairmill("submit", str(file), **cluster)
    assert failing.returncode == 1
    assert "ValueError: a broken stage" in failing.stdout
    assert "the job ended as FAILED" in failing.stderr
    assert "no job" in pairmill("status", "raysubmit_none", **cluster).stderr
    unknown = pairmill("logs", "raysubmit_none", "-f", **cluster)
    assert unknown.returncode == 1
    assert "no job" in unknown.stderr
    assert "NOT_SET_HERE: the variable is not set here" in pairmill("submit", str(file), "--env", "NOT_SET_HERE", **cluster).stderr
    nobody = pairmill("list", "--address", "http://127.0.0.1:1")
    assert nobody.returncode == 1
    assert "no Ray cluster answers" in nobody.stderr


SLOW = """
name: slow
source: {type: parquet, path: pairs.parquet, rows_per_shard: 8}
stages:
  - {stage: text_rules}
  - {stage: dedup, "on": [text], keep: dup_of IS NULL}
  - stage: tests.stages_for_tests:PickyStage
    name: slow
    batch_size: 2
    pause_s: ${PAUSE_S:-0}
    log: LOG
    resources: {cpus: 1, replicas: [2, 4]}
outputs:
  - {type: webdataset, path: out, samples_per_shard: 16}
"""


def descendants(pid: int) -> list[int]:
    """All processes below one, in the order found."""
    found = [int(p) for t in Path(f"/proc/{pid}/task").iterdir() for p in (t / "children").read_text().split()]
    return [d for child in found for d in (child, *descendants(child))]


def workers_of(log: Path) -> set[int]:
    return {json.loads(line)["pid"] for line in log.read_text().splitlines()}


@pytest.mark.filterwarnings("ignore")
def test_killed_node_loses_nothing(cluster: dict[str, str], pairs: Path) -> None:
    """A second node joins, and dies with its workers while they hold shards; the package is that of an undisturbed run."""
    file, log = pairs.parent / "p.yaml", pairs.parent / "log"
    file.write_text(SLOW.replace("LOG", str(log)))
    Pipeline.from_yaml(file).run(local=True, progress=False)
    undisturbed = {f.name: f.read_bytes() for f in (pairs.parent / "out").iterdir() if f.is_file()}
    (pairs.parent / "workspace").rename(pairs.parent / "old")
    for name in undisturbed:
        (pairs.parent / "out" / name).unlink()
    log.unlink()
    env = {**os.environ, **cluster, "RAY_ADDRESS": cluster["GCS"], "PAUSE_S": "0.4"}
    ray = str(Path(sys.executable).parent / "ray")
    node = subprocess.Popen(
        [ray, "start", "--block", f"--address={cluster['GCS']}", "--num-cpus=4", f"--dashboard-agent-listen-port={free_port()}"],
        env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        time.sleep(6)
        run = subprocess.Popen(
            [sys.executable, "-m", "pairmill.cli", "run", str(file)], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        for _ in range(600):
            if log.exists() and workers_of(log) & set(descendants(node.pid)):
                break
            time.sleep(0.1)
        killed_pids = {int(p) for p in descendants(node.pid)}
        assert run.poll() is None
        os.killpg(node.pid, signal.SIGKILL)
        told = run.communicate(timeout=200)[0].decode()
    finally:
        if node.poll() is None:
            os.killpg(node.pid, signal.SIGKILL)
        node.wait(30)
    assert run.returncode == 0, told
    assert workers_of(log) & killed_pids  # the node that died had computed rows
    assert {f.name: f.read_bytes() for f in (pairs.parent / "out").iterdir() if f.is_file()} == undisturbed


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """A real S3 endpoint (moto's server); gives a bucket's URL as pyarrow takes it."""
    pytest.importorskip("moto", reason="pip install 'pairmill[dev]'")
    port = free_port()
    server = subprocess.Popen(
        [str(Path(sys.executable).parent / "moto_server"), "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.environ |= {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_DEFAULT_REGION": "us-east-1"}
    try:
        from pyarrow import fs

        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", port), 0.2).close()
                break
            except OSError:
                time.sleep(0.2)
        storage = fs.S3FileSystem(endpoint_override=f"127.0.0.1:{port}", scheme="http", allow_bucket_creation=True)
        storage.create_dir("bucket")
        yield f"s3://bucket/{{}}?endpoint_override=127.0.0.1:{port}&scheme=http"
    finally:
        server.kill()
        server.wait()


def test_workspace_and_package_on_s3_are_those_on_a_disk(s3: str, pairs: Path) -> None:
    (pairs.parent / "loud_words.py").write_text(STAGE)
    here = pairs.parent / "p.yaml"
    here.write_text(FILE.replace("${MARK}", "!"))
    Pipeline.from_yaml(here).run(local=True, progress=False)
    there = pairs.parent / "s3.yaml"
    there.write_text(
        here.read_text()
        .replace("path: out,", f'path: "{s3.format("out")}",')
        .replace("name: job\n", f'name: job\nworkspace: "{s3.format("work")}"\n')
    )
    first = Pipeline.from_yaml(there).run(local=True, progress=False)
    remote = Storage(s3.format("out"))
    tars = [name for name, _ in remote.files() if name.endswith((".tar", "0.parquet"))]
    assert tars
    for name in tars:
        assert remote.read_bytes(name) == (pairs.parent / "out" / name).read_bytes()
    again = Pipeline.from_yaml(there).run(local=True, progress=False)
    assert again.funnel.to_json() == first.funnel.to_json()
    assert Storage(s3.format("work")).exists(f"runs/{first.run_id}/report/index.html")


def test_write_that_breaks_leaves_no_object_and_an_old_one_whole(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = Storage(s3.format("broken"))
    storage.write_bytes("old.bin", b"whole")
    copy = shutil.copyfileobj

    def breaks(source: object, target: object, size: int) -> None:
        target.write(b"half")  # type: ignore[attr-defined]
        raise KeyboardInterrupt

    monkeypatch.setattr(shutil, "copyfileobj", breaks)
    with pytest.raises(KeyboardInterrupt):
        storage.write_bytes("old.bin", b"x" * 1000)
    monkeypatch.setattr(shutil, "copyfileobj", copy)
    assert storage.read_bytes("old.bin") == b"whole"
    assert [name for name, _ in storage.files()] == ["old.bin"]

    def half() -> None:
        with storage.writing("shard.parquet") as stream:
            stream.write(b"half of it")
            raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011
        half()
    assert not storage.exists("shard.parquet")
