"""After any end of a run no process, no thread and no temporary file of it is left, and nothing that
it was at has become a failure.
"""

import json
import os
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pairmill.api import Pipeline
from pairmill.errors import StageFailed
from tests.clusters import descendants, wait_for
from tests.ray_world import sound_world
from tests.test_serve import SERVER, alive, interrupted_when, pids

pytestmark = pytest.mark.slow
ROWS = 80
FILE = """
name: left
source: {type: pairs, path: pairs.parquet, rows_per_shard: 16}
stages:
  - {stage: download, timeout: 20, retries: 0, resolve: RESOLVE}
  - {stage: tests.stages_for_tests:DeadlyStage, batch_size: 4, max_failures: 0.2, raises: []}
  - stage: caption
    engine: openai
    model: stubborn
    image: null
    prompt: "{text}"
    concurrency: 2
    serve: {command: SERVER}
"""
Ending = Callable[[Path, dict[str, Any]], None]


def well(file: Path, body: dict[str, Any]) -> None:
    Pipeline.from_yaml(file).run(progress=False, local=True, **body)


def failing(file: Path, body: dict[str, Any]) -> None:
    """Two rows of three, which the driver counts while other shards are at work."""
    sound = file.read_text()
    bad = [row for row in range(ROWS) if row % 3]
    file.write_text(sound.replace("raises: []", f"raises: {bad}"))
    with pytest.raises(StageFailed, match="'deadly'"):
        Pipeline.from_yaml(file).run(progress=False, local=True, **body)
    file.write_text(sound)


def interrupted(file: Path, body: dict[str, Any]) -> None:
    log = file.parent / "answers"
    with pytest.raises(KeyboardInterrupt):
        interrupted_when(lambda: log.exists() and log.read_text().count("\n") > 3, file, **body)


@pytest.mark.parametrize("body", [{"processes": 0}, {"processes": 2}], ids=["here", "processes"])
@pytest.mark.parametrize("ending", [well, failing, interrupted])
def test_run_leaves_nothing_behind_however_it_ends(
    tmp_path: Path, web: dict[str, str], ending: Ending, body: dict[str, Any]
) -> None:
    rows = sound_world(tmp_path, ROWS)
    pairs = pl.read_parquet(tmp_path / "pairs.parquet")
    pairs.with_row_index("number").write_parquet(tmp_path / "pairs.parquet")
    answers, file = tmp_path / "answers", tmp_path / "p.yaml"
    server = json.dumps([*SERVER, str(answers)])
    file.write_text(FILE.replace("RESOLVE", json.dumps(web)).replace("SERVER", server))
    temporary = Path(tempfile.gettempdir())
    children, threads = set(descendants(os.getpid())), set(threading.enumerate())
    files = set(temporary.glob("pairmill-*"))
    ending(file, body)

    def left() -> list[Any]:
        served = pids(answers) if Path(f"{answers}.pids").exists() else []
        processes = [p for p in {*descendants(os.getpid()), *served} - children if alive(p)]
        running = [t.name for t in threading.enumerate() if t not in threads]
        return [processes, running, set(temporary.glob("pairmill-*")) - files]

    wait_for(lambda: not any(left()), seconds=120)
    assert left() == [[], [], set()]
    result = Pipeline.from_yaml(file).run(progress=False, local=True, processes=0)
    steps = {step.stage: step for step in result.funnel.steps}
    assert result.funnel.rows == rows
    assert steps["deadly"].failed == steps["caption"].failed == 0
    gone = {k: v for k, v in steps["download"].reasons.items() if "decode" in k}
    assert sum(gone.values()) <= rows // 10  # pictures that the world has damaged
