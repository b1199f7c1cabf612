"""Another pipeline's kept rows as a source: values as they were computed, and every fault."""

import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from pairmill import Pipeline, RunResult
from pairmill.errors import PipelineFileError

Write = Callable[..., Path]
FIRST = """
name: first
source: {type: parquet, path: numbers.parquet, rows_per_shard: 20}
stages:
  - {stage: text_rules, keep: number >= 10}
  - {stage: sample, keep: sample < 0.5}
outputs: [{type: table, path: kept}]
"""
SECOND = """
name: second
source: {type: pairmill, pipeline: first.yaml, columns: [image, text_words, sample]}
stages: [{stage: filter, keep: sample < 0.25}]
outputs: [{type: parquet, path: out, shuffle: false}]
"""


def run(file: Path) -> RunResult:
    return Pipeline.from_yaml(file).run(local=True, progress=False, replace=True)


@pytest.mark.slow
def test_kept_rows_of_another_pipeline_are_a_source(write: Write, numbers: Path) -> None:
    """And a gate of it that moves moves them, in the same command; copied images are told."""
    run(write(FIRST, "first.yaml"))
    result = run(write(SECOND))
    kept = pl.read_parquet(numbers / "kept/data/*.parquet")
    assert result.funnel.rows == kept.height
    found = pl.read_parquet(numbers / "out/data/*.parquet")
    expected = kept.filter(pl.col("sample") < 0.25).sort("uid")
    assert (
        found.sort("uid")
        .select("uid", "text", "text_words", "sample")
        .equals(expected.select("uid", "text", "text_words", "sample"))
    )
    assert "number" not in found.columns
    assert found["image"].null_count() == 0
    assert any("rows with copied payload" in n and "first.yaml" in n for n in result.notes)
    assert result.warnings == ()
    run(write(FIRST.replace("number >= 10", "number >= 20"), "first.yaml"))
    again = run(write(SECOND))
    assert again.funnel.rows == kept.filter(pl.col("number") >= 20).height


def test_another_run_and_files_are_sources_together(write: Write, numbers: Path) -> None:
    run(write(FIRST, "first.yaml"))
    pl.DataFrame({"text": ["new"], "sample": [0.1]}).write_csv(numbers / "new.csv")
    run(write("""
name: both
source:
  old: {type: pairmill, pipeline: first.yaml, columns: [sample]}
  new: {type: pairs, path: new.csv}
  packed: {type: pairmill, package: kept, columns: [number]}
outputs: [{type: table, path: out, shuffle: false}]
"""))  # fmt: skip
    kept = pl.read_parquet(numbers / "kept/data/*.parquet").height
    found = pl.read_parquet(numbers / "out/data/*.parquet")
    assert found["source"].to_list() == ["old"] * kept + ["new"] + ["packed"] * kept
    assert found.filter(pl.col("source") == "packed")["number"].null_count() == 0
    assert found.filter(pl.col("source") == "packed")["sample"].null_count() == kept


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("first.yaml", "nowhere.yaml", "nowhere.yaml"),
        ("text_words, ", "text_wordz, ", "did you mean 'text_words'?"),
        ("pipeline: first.yaml", "pipeline: pipeline.yaml", "is its own source"),
        ("pipeline: first.yaml", "pipeline: later.yaml", "run it first"),
        ("pipeline: first.yaml, ", "", "give either `pipeline: FILE`"),
    ],
)
def test_faults_are_told_before_anything_runs(
    write: Write, numbers: Path, old: str, new: str, message: str
) -> None:
    run(write(FIRST, "first.yaml"))
    write(FIRST.replace("name: first", "name: later\nworkspace: another"), "later.yaml")
    with pytest.raises(PipelineFileError) as caught:
        Pipeline.from_yaml(write(SECOND.replace(old, new)))
    assert message in str(caught.value)
    assert "pipeline.yaml:3:" in str(caught.value)


def test_a_pipeline_that_stopped_halfway_is_no_source(write: Write, numbers: Path) -> None:
    file = write(FIRST, "first.yaml")
    Pipeline.from_yaml(file).run(local=True, progress=False, limit=20)
    with pytest.raises(PipelineFileError, match="rows wait; `pairmill run .*first.yaml` goes on"):
        Pipeline.from_yaml(write(SECOND))
    assert json.loads(next(numbers.glob("workspace/runs/*/metrics.json")).read_text())


TILES = """
name: tiles
source: {type: parquet, path: numbers.parquet, rows_per_shard: 20, columns: {position_in: number}}
stages:
  - {stage: "tests.stages_for_tests:TilesStage", store: kept}
  - {stage: "tests.stages_for_tests:TileCountStage", name: counted, keep: counted < 2}
outputs: [{type: table, path: tiled, columns: [uid]}]
"""


@pytest.mark.slow
def test_rows_whose_bytes_were_forgotten_are_told_and_not_taken_without(
    write: Write, numbers: Path
) -> None:
    """A stricter run forgot the tiles of rows that a looser one keeps and does not package."""
    run(write(TILES, "first.yaml"))
    run(write(TILES.replace("counted < 2", "counted < 3"), "first.yaml"))
    result = run(write("""
name: second
source: {type: pairmill, pipeline: first.yaml, columns: [tiles, counted]}
outputs: [{type: table, path: out, columns: [counted]}]
"""))  # fmt: skip
    assert result.funnel.steps[0].failed == 20
    assert set(pl.read_parquet(numbers / "out/data/*.parquet")["counted"]) == {0, 1}
    assert any("unreadable rows: 20" in w and "stored no more" in w for w in result.warnings)
