"""`plan --sample`: what a run will cost, by a drawn sample whose values are stored."""

import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from pairmill.api import Pipeline
from pairmill.demo.oracle import asking
from pairmill.demo.pictures import picture_bytes
from pairmill.demo.world import World
from pairmill.terminal.estimate_view import cells
from tests.conftest import CLIP, typed

Write = Callable[[str], Path]
STAGES = f"""
name: costed
source: {{type: parquet, path: pairs.parquet, rows_per_shard: 16}}
stages:
  - stage: text_rules
    keep: text_words >= 5
  - stage: dedup
    on: [text]
    keep: dup_of IS NULL
  - stage: filter
    name: after
    keep: cluster_size < 9
  - stage: clip
    model: {CLIP}
    image_processor: pil
    dtype: float32
    batch_size: 4
"""


@pytest.mark.slow
def test_sample_is_scaled_up_and_nothing_is_paid_twice(pairs: Path, write: Write) -> None:
    pipeline = Pipeline.from_yaml(write(STAGES))
    words = pl.read_parquet(pairs)["text"].str.split(" ").list.len()
    cost = pipeline.estimate(20)
    assert (cost.undecided, cost.sampled) == (40, 20)
    assert set(cost.left_out) == {"dedup", "after"}
    rules, clip = cost.stages
    assert rules.figures["computed"].value == 40
    assert (rules.sampled, rules.figures["computed"].low) == (20, 40)
    passing = (words >= 5).mean() * 40
    assert clip.figures["computed"].low <= passing <= clip.figures["computed"].high
    assert clip.figures["computed"].value == pytest.approx(clip.sampled * 2)
    assert clip.seconds_per_row is not None
    assert clip.hours(2.0).value == pytest.approx(
        clip.seconds_per_row.value * clip.sampled * 2 * 2 / 3600
    )
    assert clip.setup_s > 0
    assert rules.figures["bytes"].value == 40 * 42  # every row takes as many
    assert cells(clip)[-1] == "640 B"  # every row takes 16
    again = pipeline.estimate(40)
    result = pipeline.run(local=True, processes=0, progress=False)
    stages = pipeline_stages(result.folder)
    assert [stages.get(n, {}).get("computed", 0) for n in ("text_rules", "clip")] == [0, 0]
    assert len(result.table(["clip_score"])["clip_score"].drop_nulls()) > 0
    assert rules.sampled + again.stages[0].sampled == 40
    nothing = pipeline.estimate(5)
    assert (nothing.undecided, nothing.stages) == (0, [])


def pipeline_stages(folder: str) -> dict[str, dict[str, float]]:
    return dict(json.loads((Path(folder) / "metrics.json").read_text())["stages"])


@pytest.mark.slow
def test_tokens_and_dollars_of_a_server_are_told(tmp_path: Path) -> None:
    world = World(40, 5)
    rows = [world.row(i) for i in range(40)]
    pl.DataFrame(
        {"image": [picture_bytes(world, r) for r in rows], "text": [r.text for r in rows]}
    ).write_parquet(tmp_path / "pairs.parquet")
    with asking(40, 5, slow=0.0, busy=0.0) as address:
        file = tmp_path / "p.yaml"
        file.write_text(
            f"""
name: priced
source: {{type: parquet, path: pairs.parquet}}
stages:
  - stage: caption
    engine: openai
    base_url: {address}
    model: oracle
    prices: {{prompt: 1000, completion: 2000}}
"""
        )
        shown = typed("plan", str(file), "--sample", "12")
        told = json.loads(typed("plan", str(file), "--sample", "12", "--json").stdout)["cost"]
    assert "12 drawn rows of 40" in shown.stdout, shown.stderr
    assert "tokens in / out" in shown.stdout
    assert "…" not in shown.stdout.partition("What is left to do")[2]  # no figure is cut off
    (stage,) = told["stages"]
    assert (told["undecided_rows"], told["sampled_rows"]) == (28, 12)
    asked, made, dollars = (stage[k][0] for k in ("tokens_asked", "tokens", "dollars"))
    assert dollars == pytest.approx((asked * 1000 + made * 2000) / 1e6)
    assert stage["tokens"][1] <= made <= stage["tokens"][2]
    assert made > 28
