"""What the plan says of a stage that finds duplicates."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pairmill import Pipeline
from tests.conftest import CLIP


def notes(folder: Path, *stages: str) -> dict[str, list[str]]:
    rows = {"text": ["a red ball"], "image": [b"x"], "h": pa.array([1], pa.uint64())}
    pq.write_table(pa.table(rows), folder / "rows.parquet")
    file = folder / "p.yaml"
    body = "".join(f"  - {stage}\n" for stage in stages)
    file.write_text(f"name: n\nsource: {{type: parquet, path: rows.parquet}}\nstages:\n{body}")
    return {s["name"]: s["notes"] for s in Pipeline.from_yaml(file).plan()["stages"]}


def test_plan_tells_what_minhash_misses(tmp_path: Path) -> None:
    told = notes(tmp_path, "{stage: dedup, kind: text, on: [text], threshold: 0.7}")["dedup"]
    assert told == [
        "MinHash: 24 bands of 4 values; of pairs at a similarity of 0.7 or more 0.01% are expected "
        "to be missed, of those just at it 0.1%"
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scorer", "warned"),
    [
        (f"{{stage: clip, model: {CLIP}}}", True),
        ("{stage: text_rules}", False),
    ],
)
def test_plan_warns_where_the_embedder_scores_the_pairs(
    tmp_path: Path, scorer: str, warned: bool
) -> None:
    embed = f"{{stage: embed, model: {CLIP}}}"
    told = notes(tmp_path, embed, "{stage: dedup, kind: semantic, on: [image_embedding]}", scorer)
    warnings = [line for line in told["dedup"] if line.startswith("warning")]
    assert bool(warnings) == warned
    if warned:
        assert "'dedup' compares embeddings of 'embed', the encoder by which 'clip'" in warnings[0]
