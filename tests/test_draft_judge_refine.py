"""Draft, verdict and refined text in one answer (mmE5), asked of the oracle: wrong JSON, repairs,
refusals, a busy server, `kill -9` on the way, and how often the server is asked.
"""

import json
from collections import Counter
from pathlib import Path

import polars as pl
import pytest

from pairmill.api import Pipeline
from pairmill.demo.oracle import asking
from pairmill.demo.pictures import picture_bytes
from pairmill.demo.world import World
from tests.test_caption_kills import command, killed_after_a_commit

ROWS = 72
FILE = """
name: refined
seed: 1
source: {{type: parquet, path: pairs.parquet, rows_per_shard: 24}}
stages:
  - stage: rewrite
    image: image
    engine: openai
    base_url: {url}
    model: oracle
    prompt: {{id: draft-judge-refine}}
    text_from: refined
    max_new_tokens: 300
    max_failures: 1.0
    concurrency: 4
    prices: {{prompt: 1000, completion: 2000}}
    keep: rewrite_score >= 1
outputs:
  - {{type: table, path: out, columns: [uid, rewrite]}}
"""
RATES = {"bad_json": 0.4, "refused": 0.1, "busy": 0.1, "failing": 0.1, "slow": 0.0}
COLUMNS = ["rewrite", "rewrite_draft", "rewrite_evaluation", "rewrite_score"]


def rows_of(folder: Path) -> pl.DataFrame:
    """What is stored."""
    files = folder.glob("workspace/columns/rewrite-*/*.parquet")
    return pl.concat([pl.read_parquet(file) for file in files])


@pytest.mark.slow
def test_what_a_draft_judge_refine_run_asks_stores_and_says(tmp_path: Path) -> None:
    world = World(ROWS, 5)
    rows = [world.row(i) for i in range(ROWS)]
    pictures = [picture_bytes(world, row) for row in rows]
    texts = [f"{row.text} ({i})" for i, row in enumerate(rows)]
    pl.DataFrame({"image": pictures, "text": texts}).write_parquet(tmp_path / "pairs.parquet")
    log, file = tmp_path / "answers", tmp_path / "p.yaml"
    with asking(ROWS, 5, log=log, answer_s=0.2, **RATES) as url:
        file.write_text(FILE.format(url=url))
        killed_after_a_commit(tmp_path, file, "rewrite")
        before, answered = rows_of(tmp_path), len(log.read_text().split())
        process = command(file, tmp_path)
        assert process.wait() == 0, (tmp_path / "stderr").read_text()[-2000:]
        found, asked = rows_of(tmp_path), Counter(log.read_text().split())
        assert command(file, tmp_path).wait() == 0
        assert Counter(log.read_text().split()) == asked  # nothing is left to ask
        retried = command(file, tmp_path, arguments=["--retry", "bad_json"])
        assert retried.wait() == 0, (tmp_path / "stderr").read_text()[-2000:]
        again = Counter(log.read_text().split()) - asked
    failed = found.filter(pl.col("error").is_not_null())
    fine = found.filter(pl.col("error").is_null())
    assert len(found) == ROWS
    assert 0 < len(failed) < ROWS / 2
    assert set(failed["error"].struct.field("class")) == {"bad_json"}
    assert not any(fine[name].null_count() for name in COLUMNS)
    assert fine["rewrite_score"].is_between(1, 5).all()
    assert fine["rewrite_repaired"].any()
    # a row is asked once, and once more where it is repaired or failed
    twice = int(found["rewrite_repaired"].sum())
    assert failed["rewrite_repaired"].all()
    assert len(asked) == ROWS + twice
    # what was asked again had been answered, and was not stored yet, when the run was killed
    stored = len(before) + int(before["rewrite_repaired"].sum())
    assert 0 < len(before) < ROWS
    assert asked.total() - len(asked) == answered - stored
    assert len(again) == again.total() == 2 * len(failed)
    (metrics,) = tmp_path.glob("workspace/runs/*/metrics.json")
    told = json.loads(metrics.read_text())["stages"].get("rewrite", {})
    assert told["computed"] == len(failed)
    result = Pipeline.from_yaml(file).run(local=True, processes=0, progress=False)
    assert len(result.table(["rewrite"])) == ROWS
