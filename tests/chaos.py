"""Seeded schedules of failures against runs on a cluster of several nodes; `tests/test_chaos.py`
runs some, `tools/soak.py` many.

A schedule is one to three events, each struck when the run has made a chosen amount of progress, so
that the same seed strikes at the same work on any machine.  A run either ends well or stops with
one message; then it is started again.
"""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from pairmill.api import Pipeline
from tests.clusters import Cluster, name_of
from tests.hung_process import ended

STARTS = 6
"""Times that a run is started at most; every event stops it once at worst."""
RUN_S = 240
QUIET_S = 8.0
"""An event whose progress does not come within this time strikes anyway."""
LAST, STEP = 24, 3.0
"""Steps of progress up to which events strike, and shards stored and batches computed in each; the
whole run makes about 85 of these.
"""

FILLER = "door/real/filler"
FILE = """
name: chaos
source:
  first: {type: parquet, path: pairs.parquet, rows_per_shard: 8}
  again: {type: parquet, path: pairs.parquet, rows_per_shard: 8, set: {license: cc-by}}
stages:
  - {stage: text_rules}
  - {stage: dedup, "on": [text], keep: dup_of IS NULL}
  - {stage: sentences}
  - each: sentences
    stages:
      - {stage: text_rules, name: part, text: sentences, keep: part_words > 1}
    collect: [part_words]
  - stage: tests.stages_for_tests:PickyStage
    name: slow
    batch_size: 4
    pause_s: ${PAUSE_S:-0}
    log: ${LOG:-}
    resources: {cpus: 1, replicas: [1, 2]}
outputs:
  - {type: webdataset, path: out, samples_per_shard: 16}
  - {type: table, path: parts, rows: sentences, samples_per_shard: 16}
"""


@dataclass(frozen=True)
class Event:
    kind: str
    progress: int

    def __str__(self) -> str:
        return f"{self.kind}@{self.progress}"


KINDS = ("worker", "worker", "node", "driver", "pause", "storage", "disk")


def schedule(seed: int) -> list[Event]:
    rng = random.Random(seed)
    return sorted(
        (
            Event(rng.choice(KINDS), round(STEP * rng.randrange(LAST)))
            for _ in range(rng.randint(1, 3))
        ),
        key=lambda e: e.progress,
    )


@dataclass
class Trial:
    """What became of one schedule."""

    events: list[Event]
    struck: list[Event] = field(default_factory=list)
    starts: int = 0
    seconds: float = 0.0
    messages: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    hung: str = ""
    """What a start did that came to no end."""


@dataclass
class Chaos:
    """A folder with the input, the package of an undisturbed run, and a cluster to strike at."""

    folder: Path
    cluster: Cluster
    undisturbed: dict[str, bytes] = field(default_factory=dict)
    run_s: float = RUN_S
    """What a start has for coming to an end."""

    def prepare(self) -> None:
        (self.folder / "p.yaml").write_text(FILE)
        Pipeline.from_yaml(self.folder / "p.yaml").run(local=True, progress=False)
        self.undisturbed = self.package(self.folder)

    def package(self, folder: Path) -> dict[str, bytes]:
        return {
            f"{package}/{f.name}": f.read_bytes()
            for package in ("out", "parts")
            for f in (folder / package).iterdir()
            if f.is_file()
        }

    def trial(self, seed: int, again: str = "") -> Trial:
        events = schedule(seed)
        found = Trial(events)
        place = self.folder / f"seed-{seed}{again}"
        place.mkdir()
        (place / "pairs.parquet").symlink_to(self.folder / "pairs.parquet")
        (place / "p.yaml").write_text(FILE)
        (place / "door/real").mkdir(parents=True)
        (place / "workspace").symlink_to(place / "door/real")
        small = mounted(place / "door/real") if any(e.kind == "disk" for e in events) else False
        began = time.monotonic()
        try:
            self.run_to_end(place, found, [e for e in events if e.kind != "disk" or small])
        finally:
            found.seconds = time.monotonic() - began
            if small:
                subprocess.run(["umount", "-l", str(place / "door/real")], check=True)
        return found

    def run_to_end(self, place: Path, found: Trial, events: list[Event]) -> None:
        waiting = list(events)
        code = 1
        while code and found.starts < STARTS:
            found.starts += 1
            printed = place / f"printed-{found.starts}"
            process = self.start(place, printed)
            self.strike(place, process, waiting, found.struck)
            try:
                process.wait(self.run_s)
            except subprocess.TimeoutExpired:
                found.hung = ended(process, printed)
                found.faults.append(f"a start came to no end within {self.run_s:g} s")
                return
            said = printed.read_text()
            (place / FILLER).unlink(missing_ok=True)
            code = process.returncode
            if code > 0:  # it stopped by itself, so it must say why
                message = ["", "", *said.strip().splitlines()][-2:]
                found.messages.append(message[0])
                if (
                    "Traceback" in said
                    or "(raylet)" in said
                    or "the same command" not in message[-1]  # goes on, or is to be run again
                ):
                    found.faults.append(f"no clear message: {said[-2000:]}")
        found.faults += self.faults(place, code)

    def start(self, place: Path, printed: Path) -> subprocess.Popen[bytes]:
        env = {
            **os.environ,
            **self.cluster.env,
            "RAY_ADDRESS": self.cluster.gcs,
            "PAUSE_S": "0.05",
            "LOG": str(place / "log"),
            "COLUMNS": "300",
        }
        command = [sys.executable, "-m", "pairmill.cli", "run", str(place / "p.yaml")]
        with printed.open("wb") as out:  # a pipe would fill, or be held open by who outlives it
            return subprocess.Popen(
                command, env=env, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
            )

    def strike(
        self,
        place: Path,
        process: subprocess.Popen[bytes],
        waiting: list[Event],
        struck: list[Event],
    ) -> None:
        """Strikes the waiting events while the run lives; those that come after its end or its
        driver's death are left.
        """
        while waiting and process.poll() is None:
            event, since, seen = waiting[0], time.monotonic(), -1
            while process.poll() is None and (now := progress(place)) < event.progress:
                if now != seen:
                    seen, since = now, time.monotonic()
                if time.monotonic() - since > (QUIET_S if seen > 0 else self.run_s):
                    break
                time.sleep(0.02)
            if process.poll() is not None:
                return
            waiting.pop(0)
            if getattr(self, event.kind)(place, process):
                struck.append(event)

    def worker(self, place: Path, process: subprocess.Popen[bytes]) -> bool:
        """A process that works for the run, its own actor among them."""
        workers = [pid for pid in self.cluster.workers() if "IDLE" not in name_of(pid)]
        if workers:
            kill(random.Random(len(workers)).choice(workers), signal.SIGKILL)
        return bool(workers)

    def node(self, place: Path, process: subprocess.Popen[bytes]) -> bool:
        self.cluster.kill(self.cluster.nodes[0])
        self.cluster.join(cpus=2)
        return True

    def driver(self, place: Path, process: subprocess.Popen[bytes]) -> bool:
        process.kill()
        process.wait()
        return True

    def pause(self, place: Path, process: subprocess.Popen[bytes]) -> bool:
        """All workers stand still for a while."""
        for number in (signal.SIGSTOP, signal.SIGCONT):
            for pid in self.cluster.workers():
                kill(pid, number)
            time.sleep(1.5 if number == signal.SIGSTOP else 0)
        return True

    def storage(self, place: Path, process: subprocess.Popen[bytes]) -> bool:
        """The workspace is away for a while."""
        (place / "door").rename(place / "away")
        time.sleep(1.0)
        (place / "away").rename(place / "door")
        return True

    def disk(self, place: Path, process: subprocess.Popen[bytes]) -> bool:
        """The workspace's disk is full until the run has ended."""
        with (place / FILLER).open("wb") as stream:
            os.posix_fallocate(stream.fileno(), 0, 80 * 2**20)
        return True

    def faults(self, place: Path, code: int) -> list[str]:
        if code != 0:
            return [f"did not finish in {STARTS} starts"]
        package = self.package(place)
        wrong = sorted(
            n
            for n in package.keys() | self.undisturbed.keys()
            if package.get(n) != self.undisturbed.get(n)
        )
        found = [f"differs from an undisturbed run: {', '.join(wrong)}"] if wrong else []
        if left := [str(f.relative_to(place)) for f in place.rglob("lease.json")]:
            found.append(f"leases left: {left}")
        return found


def mounted(folder: Path) -> bool:
    """A small file system of its own there: a run leaves 512 MiB free, so 64 MiB are left to it.
    Needs root.
    """
    return (
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=576m", "none", str(folder)], capture_output=True
        ).returncode
        == 0
    )


def kill(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def progress(place: Path) -> int:
    """Column files stored and batches computed so far."""
    log = place / "log"
    batches = log.read_bytes().count(b'"uids"') if log.exists() else 0
    return batches + sum(1 for _ in (place / "door/real").glob("columns/*/*.parquet"))
