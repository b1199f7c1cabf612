"""What a child table costs: what is new, whatever came before, and whatever was interrupted."""

import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pairmill.api import Pipeline
from pairmill.errors import StageBroken
from pairmill.workspace.contents import collect, unused
from pairmill.workspace.storage import Storage
from pairmill.workspace.verify import verify_workspace
from tests.tiled import TILES, ShadeStage, digests, pictures_in, run_tiles, shade_of, table_of


def fresh(tmp_path: Path, folder: Path, **keys: Any) -> dict[str, dict[str, str]]:
    """The packages of a workspace that saw nothing before, over the same input."""
    other = tmp_path / "fresh"
    shutil.rmtree(other, ignore_errors=True)
    other.mkdir()
    shutil.copy(folder / "pairs.parquet", other)
    run_tiles(other, **keys)
    return {name: digests(other / name) for name in ("out", "parts", "dark")}


@pytest.mark.slow
def test_a_looser_gate_on_parents_computes_elements_of_the_newly_living_alone(
    tmp_path: Path,
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    pictures_in(here, 15)
    run_tiles(here)
    assert len(ShadeStage.seen) == 40
    run_tiles(here)
    assert ShadeStage.seen == []
    run_tiles(here, shade=22)  # a gate inside computes nothing
    assert ShadeStage.seen == []
    run_tiles(here, wide=10)
    assert len(ShadeStage.seen) == 20  # of five small pictures
    found = {name: digests(here / name) for name in ("out", "parts", "dark")}
    assert found == fresh(tmp_path, here, wide=10)
    run_tiles(here, wide=30)
    assert ShadeStage.seen == []


@pytest.mark.slow
def test_rows_that_come_and_go_cost_their_own_elements(tmp_path: Path) -> None:
    here = tmp_path / "here"
    here.mkdir()
    pictures_in(here, 15)
    run_tiles(here)
    frame = pl.read_parquet(here / "pairs.parquet")
    new = frame[1:2].with_columns(text=pl.lit("another"))
    pl.concat([frame[:5], new, frame[7:]]).write_parquet(here / "pairs.parquet")
    run_tiles(here)
    assert len(ShadeStage.seen) == 4
    found = {name: digests(here / name) for name in ("out", "parts", "dark")}
    assert found == fresh(tmp_path, here)


@pytest.mark.slow
def test_gc_keeps_what_runs_use_of_child_tables_and_removes_the_rest(tmp_path: Path) -> None:
    pictures_in(tmp_path, 15)
    first = run_tiles(tmp_path, wide=10)
    storage = Storage(str(tmp_path / "workspace"))
    assert unused(storage) == []
    run_tiles(tmp_path, wide=30)
    assert unused(storage) == []
    shutil.rmtree(first.folder)
    gone = {s.folder.partition("-")[0] for s in unused(storage)}
    assert gone >= {"shards", "elements", "columns/each"}
    collect(storage, unused(storage))
    assert verify_workspace(storage).faults == []
    run_tiles(tmp_path, wide=30)
    assert ShadeStage.seen == []
    shutil.rmtree(tmp_path / "workspace/runs")
    collect(storage, unused(storage))
    left = [n for n, _ in storage.files(recursive=True) if n.endswith(".parquet")]
    assert left == []


def test_an_interrupted_block_goes_on_where_it_stopped(tmp_path: Path) -> None:
    pictures_in(tmp_path, 15)
    text = TILES.format(wide=30, shade=42).replace(
        "keep: shade", "batch_size: 3\n        keep: shade"
    )
    (tmp_path / "pipeline.yaml").write_text(text)
    ShadeStage.seen.clear()
    ShadeStage.stop_after = 20
    with pytest.raises(StageBroken, match="stopped here"):
        Pipeline.from_yaml(tmp_path / "pipeline.yaml").run(
            progress=False, write_report=False, replace=True
        )
    ShadeStage.stop_after = None
    Pipeline.from_yaml(tmp_path / "pipeline.yaml").run(
        progress=False, write_report=False, replace=True
    )
    assert len(ShadeStage.seen) <= 40 + 12  # a shard of four parents' tiles at most is lost
    assert table_of(tmp_path / "parts").height == 36


@pytest.mark.slow
def test_forgotten_bytes_of_lists_are_made_again_where_a_looser_gate_wants_them(
    tmp_path: Path,
) -> None:
    pictures_in(tmp_path, 15)
    text = TILES.format(wide=10, shade=90).replace("keep: tiles_count > 0", "store: kept\n    GATE")
    for gate in ("keep: width > 30", "keep: width > 10"):
        (tmp_path / "pipeline.yaml").write_text(text.replace("GATE", gate))
        ShadeStage.seen.clear()
        Pipeline.from_yaml(tmp_path / "pipeline.yaml").run(
            progress=False, write_report=False, replace=True
        )
    assert len(ShadeStage.seen) == 20
    parts = table_of(tmp_path / "parts")
    assert parts.height == 60
    assert all(shade_of(r["image"]["bytes"]) == r["shade"] for r in parts.iter_rows(named=True))


GATED = """
name: gated
source: {type: pairs, path: in.parquet}
stages:
  - {stage: filter, keep: "GATE"}
  - each: marks
    stages:
      - {stage: derive, name: twice, expression: place * 2}
      - {stage: filter, name: high, keep: "score > 1"}
    collect: [twice]
outputs:
  - {type: table, path: out, shuffle: false}
  - {type: table, path: parts, rows: marks, where: "n = 1", shuffle: false}
"""


def test_a_gate_that_reads_what_no_stage_does_goes_along_with_carried_values(
    tmp_path: Path,
) -> None:
    """A column that gates alone read has no address, and a looser gate ended with a traceback; the
    manifest of elements kept the text of the earlier pipeline where their rows were the same.
    """
    marks = [[{"score": 1}, {"score": 2}], [], None, [{"score": 3}, None]]
    pl.DataFrame({"caption": list("abcd"), "n": [1, 1, 2, 2], "marks": marks}).write_parquet(
        tmp_path / "in.parquet"
    )
    texts = [GATED.replace("GATE", gate) for gate in ("n < 2", "n < 3")]
    texts.append(f"{texts[1]}# of this the packages tell, too\n")
    for text in texts:
        (tmp_path / "p.yaml").write_text(text)
        Pipeline.from_yaml(tmp_path / "p.yaml").run(progress=False, replace=True)
    found = table_of(tmp_path / "out").sort("text")
    assert found["twice"].to_list() == [[None, 2], [], None, [0, None]]
    assert table_of(tmp_path / "parts")["twice"].to_list() == [2]
    for name in ("out", "parts"):
        assert json.loads((tmp_path / name / "manifest.json").read_text())["pipeline"] == texts[2]
