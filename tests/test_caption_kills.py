"""Kill -9 during captions, with each engine: what was committed is not asked for again."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

import polars as pl
import pytest

from pairmill.demo.oracle import asking
from tests.conftest import CAPTIONER

ROWS = {"openai": 64, "transformers": 96}
"""Several shards, or seconds."""
FILE = """
name: captions
seed: 1
source: {{type: pairs, path: texts.parquet, rows_per_shard: 32}}
stages:
  - stage: caption
    image: null
    prompt: "Web text: {{text}}\\nCaption: {{text}}\\nMerge both into one caption that keeps the names."
    {engine}
outputs:
  - {{type: table, path: out, columns: [uid, caption]}}
"""
ENGINES = {
    "transformers": f"model: {CAPTIONER}\n    dtype: float32\n    batch_size: 2\n"
    "    max_new_tokens: 8",
    "openai": "model: oracle\n    engine: openai\n    base_url: {url}\n    concurrency: 4\n"
    "    prices: {{prompt: 1000, completion: 2000}}",
}


@contextmanager
def oracle(log: Path) -> Iterator[str]:
    with asking(10, log=log, answer_s=0.25, slow=0) as url:
        yield url


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_answers_that_were_committed_are_not_asked_for_again(tmp_path: Path, engine: str) -> None:
    rows = ROWS[engine]
    texts = [f"Kalodor number {i}: a red ball and two blue stars in a meadow" for i in range(rows)]
    uids = [f"u{i:03d}" for i in range(rows)]
    pl.DataFrame({"uid": uids, "text": texts}).write_parquet(tmp_path / "texts.parquet")
    log, file = tmp_path / "answers", tmp_path / "pipeline.yaml"
    with oracle(log) if engine == "openai" else nullcontext("") as url:
        file.write_text(FILE.format(engine=ENGINES[engine].format(url=url)))
        kept = killed_after_a_commit(tmp_path, file)
        assert kept < rows
        answered = len(log.read_text().split()) if log.exists() else 0
        process = command(file, tmp_path)
        assert process.wait() == 0, (tmp_path / "stderr").read_text()[-2000:]
    (metrics,) = tmp_path.glob("workspace/runs/*/metrics.json")
    found = json.loads(metrics.read_text())["stages"]["caption"]
    assert found["computed"] == rows - kept
    assert stored(tmp_path) == rows
    if engine == "openai":
        times = Counter(log.read_text().split())
        assert len(times) == rows
        # what was asked twice was answered and not stored yet when the run was killed
        assert sum(times.values()) - rows == answered - kept
        assert "cost $" in (tmp_path / "stderr").read_text()


def killed_after_a_commit(folder: Path, file: Path, stage: str = "caption") -> int:
    """Runs, and kills the run after its first commit; gives the number of rows stored by then."""
    process = command(file, folder)
    while process.poll() is None and not stored(folder, stage):
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    ended(folder / "answers")
    assert stored(folder, stage)
    return stored(folder, stage)


def ended(log: Path) -> None:
    """Until the server, if there is one, has ended what it was at: it logs an answer after a quarter
    of a second, and none came for seconds.
    """
    size = -1
    while log.exists() and size != (size := log.stat().st_size):
        time.sleep(3)


def command(
    file: Path, folder: Path, arguments: Sequence[str] = (), **variables: str
) -> subprocess.Popen[bytes]:
    """`pairmill run`, begun."""
    root = str(Path(__file__).parent.parent)
    with (folder / "stderr").open("ab") as err:
        return subprocess.Popen(
            [sys.executable, "-m", "pairmill.cli", "run", "--local", str(file), *arguments],
            env={**os.environ, "PYTHONPATH": root, **variables},
            stdout=err,
            stderr=err,
        )


def stored(folder: Path, stage: str = "caption") -> int:
    """Rows whose answers are stored."""
    files = [*folder.glob(f"workspace/columns/{stage}-*/*.parquet")]
    return sum(pl.scan_parquet(f).select(pl.len()).collect().item() for f in files)
