"""Ray clusters of several nodes on one machine, each in processes of its own, that tests may
kill.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pairmill.cluster.reaching import speaks_http2

ROOT = Path(__file__).parent.parent
TOKEN = "a" * 64
RAY = str(Path(sys.executable).parent / "ray")
HEADS, HEAD_S = 3, 120.0
"""Heads that are started at most, and seconds that each has to answer."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Cluster:
    """One `ray start` head that wants a token, and nodes that join and are killed.  `env`: how
    commands reach it.  `dashboard`: where jobs are submitted and nodes counted; a head without it
    is eight processes and not nineteen.
    """

    def __init__(self, folder: Path, head_cpus: int = 2, dashboard: bool = True) -> None:
        (folder / "token").write_text(TOKEN)
        self.token, self.log = folder / "token", folder / "ray.log"
        self.nodes: list[subprocess.Popen[bytes]] = []
        for _ in range(HEADS):
            self.head = self.start_head(head_cpus, dashboard)
            if wait_for(self.answers, HEAD_S) and self.head.poll() is None:
                return
            self.close()
        raise RuntimeError(f"no head of a cluster came up: {self.log.read_text()[-3000:]}")

    def start_head(self, cpus: int, dashboard: bool) -> subprocess.Popen[bytes]:
        """A head on free ports: one may be taken between its choice and its use."""
        self.dashboard, self.gcs, self.metrics = (f"127.0.0.1:{free_port()}" for _ in range(3))
        self.env = {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(self.token),
            "PYTHONPATH": str(ROOT),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "RAY_metrics_report_interval_ms": "500",
            "RAY_health_check_period_ms": "1000",
            "RAY_health_check_timeout_ms": "4000",
            "RAY_idle_worker_killing_time_threshold_ms": "20000",  # a new one is two CPU seconds
            # those that Ray starts ahead know nothing of a run's runtime environment
            "RAY_prestart_worker_first_driver": "0",
        }
        self.temp = f"/tmp/pm-{os.getpid()}-{port_of(self.gcs)}"
        return self.start(
            "--head",
            f"--port={port_of(self.gcs)}",
            f"--dashboard-port={port_of(self.dashboard)}",
            f"--num-cpus={cpus}",
            f"--include-dashboard={str(dashboard).lower()}",
            f"--metrics-export-port={port_of(self.metrics)}",
            f"--temp-dir={self.temp}",
            "--object-store-memory=300000000",
        )

    def answers(self) -> bool:
        """Whether the head does, or has ended."""
        try:
            return self.head.poll() is not None or speaks_http2("127.0.0.1", port_of(self.gcs))
        except OSError:
            return False

    def start(self, *options: str, before: tuple[str, ...] = ()) -> subprocess.Popen[bytes]:
        command = [
            *before,
            RAY,
            "start",
            "--block",
            f"--dashboard-agent-listen-port={free_port()}",
            *options,
        ]
        env = {**os.environ, **self.env}
        with self.log.open("ab") as log:
            return subprocess.Popen(
                command, env=env, stdout=log, stderr=log, start_new_session=True
            )

    def join(
        self, cpus: int = 2, gpus: int = 0, before: tuple[str, ...] = ()
    ) -> subprocess.Popen[bytes]:
        """A further node.  `before`: words before its command, such as another mount namespace."""
        has = (f"--num-cpus={cpus}", f"--num-gpus={gpus}", "--object-store-memory=100000000")
        self.nodes.append(self.start(f"--address={self.gcs}", *has, before=before))
        return self.nodes[-1]

    def alive(self) -> int:
        """Nodes that the head counts as alive; 0 while it does not answer."""
        listed = self.asked("api/v0/nodes")
        return (
            sum(n["state"] == "ALIVE" for n in listed["data"]["result"]["result"]) if listed else 0
        )

    def takes_jobs(self) -> bool:
        return self.asked("api/jobs/") is not None

    def asked(self, path: str) -> Any:
        """What the dashboard answers; None while it does not.  A command would take seconds."""
        request = urllib.request.Request(
            f"http://{self.dashboard}/{path}", headers={"Authorization": f"Bearer {TOKEN}"}
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.loads(answer.read())
        except OSError:
            return None

    def kill(self, node: subprocess.Popen[bytes]) -> None:
        if node.poll() is None:
            os.killpg(node.pid, signal.SIGKILL)
        node.wait()
        if node in self.nodes:
            self.nodes.remove(node)

    def workers(self) -> list[int]:
        """Processes of all nodes that work for a run or wait for work."""
        found = [pid for node in (self.head, *self.nodes) for pid in descendants(node.pid)]
        return [
            pid
            for pid in found
            if name_of(pid).startswith(
                ("ray::StageActor", "ray::stages_of_shard", "ray::RunActor", "ray::IDLE")
            )
        ]

    def close(self) -> None:
        for node in (*self.nodes, self.head):
            self.kill(node)
        shutil.rmtree(self.temp, ignore_errors=True)


def port_of(address: str) -> int:
    return int(address.rpartition(":")[2])


def name_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode()
    except OSError:
        return ""


def children(pid: int) -> list[int]:
    """The processes that one has started and that live, or have not been waited for."""
    try:
        return [
            int(p)
            for t in Path(f"/proc/{pid}/task").iterdir()
            for p in (t / "children").read_text().split()
        ]
    except OSError:
        return []


def descendants(pid: int) -> list[int]:
    """All processes below one, in the order found."""
    return [d for child in children(pid) for d in (child, *descendants(child))]


def wait_for(done: Callable[[], bool], seconds: float = 600, pause: float = 0.2) -> bool:
    """Whether a condition came true, on a machine that may be busy with other things."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if done():
            return True
        time.sleep(pause)
    return False
