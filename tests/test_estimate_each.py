"""`plan --sample` goes through the stages of `each` blocks."""

from pathlib import Path

import polars as pl
import pytest

from pairmill.api import Pipeline
from pairmill.workspace.contents import unused
from pairmill.workspace.storage import Storage
from tests.tiled import TILES, ShadeStage, pictures_in, table_of

LATER = """
  - stage: filter
    name: after
    keep: shade IS NOT NULL
  - stage: text_rules
outputs:"""
WITHIN = """
      - {stage: derive, name: double, expression: shade * 2}
    collect:"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    pictures_in(tmp_path, 15)  # ten of them are wide, with four tiles each
    (tmp_path / "p.yaml").write_text(TILES.format(wide=30, shade=42))
    ShadeStage.seen.clear()
    return tmp_path / "p.yaml"


def with_more(file: Path, old: str, new: str) -> None:
    file.write_text(file.read_text().replace(old, new, 1))


def test_elements_of_the_sample_go_through_the_block_and_are_not_computed_again(
    file: Path,
) -> None:
    cost = Pipeline.from_yaml(file).estimate(15)
    assert (cost.undecided, cost.sampled, cost.left_out) == (15, 15, {})
    shade = cost.stages[-1]
    assert [s.name for s in cost.stages] == ["resolution", "tiles", "shade"]
    assert [s.figures["computed"].value for s in cost.stages] == [15, 10, 40]
    assert (shade.sampled, len(ShadeStage.seen)) == (40, 40)
    assert shade.seconds_per_row is not None
    assert unused(Storage(str(file.parent / "workspace"))) == []
    Pipeline.from_yaml(file).run(local=True, processes=0, progress=False)
    assert len(ShadeStage.seen) == 40
    assert table_of(file.parent / "parts").height == 36


def test_a_second_sample_and_the_run_compute_the_elements_that_are_left(file: Path) -> None:
    first = Pipeline.from_yaml(file).estimate(6)
    *_, shade = first.stages
    drawn = len(ShadeStage.seen)
    assert shade.sampled == drawn
    assert 0 < drawn < 40
    assert shade.figures["computed"].value == pytest.approx(drawn * 15 / 6)
    Pipeline.from_yaml(file).estimate(15)
    assert len(ShadeStage.seen) == 40
    Pipeline.from_yaml(file).run(local=True, processes=0, progress=False)
    assert len(ShadeStage.seen) == 40
    done = Pipeline.from_yaml(file).estimate(5)
    assert (done.undecided, done.stages) == (0, [])


def test_stages_behind_a_block_say_what_they_wait_for_and_others_are_sampled(file: Path) -> None:
    with_more(file, "\noutputs:", LATER)
    cost = Pipeline.from_yaml(file).estimate(15)
    assert cost.left_out == {"after": "needs the answer of each tiles"}
    assert [s.name for s in cost.stages] == ["resolution", "tiles", "text_rules", "shade"]
    assert cost.stages[2].figures["computed"].value == 10


def test_rows_that_have_come_to_a_block_are_drawn_where_only_it_is_left(file: Path) -> None:
    Pipeline.from_yaml(file).run(local=True, processes=0, progress=False)
    with_more(file, "\n    collect:", WITHIN)
    cost = Pipeline.from_yaml(file).estimate(5)
    assert (cost.undecided, cost.sampled) == (10, 5)
    shade, double = cost.stages[-2:]
    assert (shade.name, shade.sampled) == ("shade", 0)
    assert (double.name, double.figures["computed"].value) == ("double", 36)  # four are darker
    assert len(ShadeStage.seen) == 40


def test_a_block_with_a_limit_is_told_not_to_be_sampled(file: Path) -> None:
    with_more(file, "- each: tiles\n", "- each: tiles\n    limit: 3\n")
    cost = Pipeline.from_yaml(file).estimate(15)
    assert "has a `limit`" in cost.left_out["each tiles"]
    assert ShadeStage.seen == []


NESTED = """
name: nested
source: {type: pairs, path: texts.parquet, rows_per_shard: 8}
stages:
  - {stage: sentences}
  - each: sentences
    stages:
      - {stage: derive, name: low, expression: lower(sentences)}
      - {stage: sentences, name: parts, text: low}
      - each: parts
        stages:
          - {stage: derive, name: size, expression: length(parts)}
          - {stage: dedup, on: [parts]}
        collect: [size]
      - {stage: derive, name: total, expression: length(low) + parts_kept}
    collect: [total]
"""


def test_a_block_within_a_block_is_sampled_as_far_as_its_stages_see_rows_alone(
    tmp_path: Path,
) -> None:
    texts = [f"One ball {i}. Two blue stars. And a third." for i in range(20)]
    pl.DataFrame({"text": texts}).write_parquet(tmp_path / "texts.parquet")
    (tmp_path / "p.yaml").write_text(NESTED)
    cost = Pipeline.from_yaml(tmp_path / "p.yaml").estimate(10)
    assert cost.left_out == {
        "dedup": "looks at all rows; taken as if it stopped none",
        "total": "needs the answer of each parts",
    }
    figures = {s.name: (s.figures["computed"].value, s.sampled) for s in cost.stages}
    assert figures == {"sentences": (20, 10), "low": (60, 30), "parts": (60, 30), "size": (60, 30)}
    rest = Pipeline.from_yaml(tmp_path / "p.yaml").estimate(20)
    assert [s.sampled for s in rest.stages] == [10, 30, 30, 30]
