"""What a run tells while it works: its log, its counts, and the dashboard that shows them."""

import json
import re
from collections.abc import Callable
from pathlib import Path

from pairmill.api import Pipeline
from pairmill.cluster.metrics import COUNTED, metric

ROOT = Path(__file__).parent.parent
FILE = """
name: told
source: {type: parquet, path: numbers.parquet, rows_per_shard: 20}
stages:
  - {stage: "tests.stages_for_tests:DeadlyStage", name: picky, raises: [33]}
  - {stage: text_rules, keep: number < 50}
"""


def test_log_and_metrics_name_run_stage_shard_and_row(
    numbers: Path, write: Callable[[str], Path]
) -> None:
    result = Pipeline.from_yaml(write(FILE)).run(progress=False, local=True)
    folder = Path(result.folder)
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert {line["run"] for line in lines} == {result.run_id}
    (failure,) = [line for line in lines if line["level"] == "ERROR"]
    chain = result.run.chain
    shard = max(s for s in chain.shards() if chain.first_row(s) <= 33)
    row = 33 - chain.first_row(shard)
    assert (failure["stage"], failure["shard"], failure["row"]) == ("picky", shard, row)
    assert "ZeroDivisionError: row [33] is bad" in failure["message"]
    assert "Traceback" in failure["traceback"]
    passed = {
        (line["stage"], line["shard"]): line["rows"]
        for line in lines
        if line["message"] == "shard passed"
    }
    assert passed == {
        **{("picky", s): chain.rows_of(s) for s in chain.shards()},
        **{("text_rules", s): chain.rows_of(s) - (s == shard) for s in chain.shards()},
    }
    counted = json.loads((folder / "metrics.json").read_text())["stages"]
    assert {k: counted["text_rules"][k] for k in ("shards", "rows", "dropped", "failed")} == {
        "shards": len(chain.shards()),
        "rows": 59,
        "dropped": 10,
        "failed": 0,
    }
    assert COUNTED.keys() <= counted["picky"].keys()


def test_dashboard_is_current_and_shows_metrics_that_exist() -> None:
    from pairmill.cluster.dashboard import dashboard

    text = (ROOT / "docs/grafana.json").read_text()
    assert json.loads(text) == dashboard(), "run `make docs`"
    shown = set(re.findall(r"ray_(pairmill_\w+)_total", text))
    assert shown <= {metric(key) for key in (*COUNTED, "shards")}
    assert len(shown) >= 8
