"""Choices among all elements of a block: against brute force, whatever the parents' shards are, and
as the report shows them.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pairmill.api import Pipeline
from tests.report_pages import Opened, browser  # noqa: F401  (a fixture)

KIND = pa.struct([("label", pa.string()), ("quality", pa.float64())])
FILE = """
name: chosen
source: {{type: pairs, path: pairs.parquet, columns: {{things: things, text: text}},
  rows_per_shard: {rows}}}
stages:
  - {{stage: filter, keep: text <> 'dead'}}
  - each: things
    stages:
      - {{stage: select, by: quality, fraction: 0.4, ties: keep, per: [label], control: true}}
      - {{stage: balance, by: label, cap: 12}}
      - {{stage: mix, by: [label], shares: {{cat: 1, dog: 1}}, budget: 30, max_repeats: 3,
         keep: mix_repeats > 0}}
    collect: [selected, balanced, mix_repeats]
outputs:
  - {{type: table, path: out, columns: [text, selected, balanced, mix_repeats, things_kept]}}
"""


def lists(seed: int, rows: int) -> list[list[dict[str, Any] | None] | None]:
    """Elements with ties, without a label or a score; rows without elements, or without a list."""
    rng = np.random.default_rng(seed)
    labels, scores = ["cat", "cat", "cat", "dog", None], [0.1, 0.2, 0.2, 0.5, None, float("nan")]
    found: list[list[dict[str, Any] | None] | None] = []
    for _ in range(rows):
        count = int(rng.integers(0, 6))
        one = [
            {"label": labels[rng.integers(5)], "quality": scores[rng.integers(6)]}
            for _ in range(count)
        ]
        found.append(None if rng.random() < 0.1 else one)
    return found


def run(folder: Path, made: list[Any], rows: int, report: bool = False) -> Any:
    dead = ["dead" if i % 7 == 0 else f"text {i}" for i in range(len(made))]
    table = pa.table({"text": dead, "things": pa.array(made, pa.list_(KIND))})
    folder.mkdir(exist_ok=True)
    pq.write_table(table, folder / "pairs.parquet")
    (folder / "p.yaml").write_text(FILE.format(rows=rows))
    return Pipeline.from_yaml(folder / "p.yaml").run(
        local=True, processes=0, progress=False, write_report=report
    )


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[pl.DataFrame, Path]:
    """The elements with what was chosen of them, and the run's folder."""
    result = run(tmp_path_factory.mktemp("chosen") / "one", lists(1, 60), 16, report=True)
    return result.elements["things"].table(), Path(result.folder)


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "rows"), [(1, 60), (2, 5), (3, 1)])
def test_elements_are_chosen_as_brute_force_has_it_in_any_cut(
    tmp_path: Path, seed: int, rows: int
) -> None:
    made = lists(seed, rows)
    found, keys = {}, ["parent_uid", "place"]
    for cut in (1, 7, 100):
        result = run(tmp_path / str(cut), made, cut)
        elements = result.elements["things"].table()
        found[cut] = elements.sort(keys).select(
            *keys, "label", "quality", "selected", "balanced", "mix_repeats"
        )
    assert found[1].equals(found[7])
    assert found[1].equals(found[100])
    frame = found[1]
    living = sum(len(m or []) for i, m in enumerate(made) if i % 7)
    assert frame.height == living
    known = frame.filter(pl.col("quality").is_finite() & pl.col("label").is_not_null())
    without = frame.join(known, on=keys, how="anti")
    assert without["selected"].null_count() == without["balanced"].null_count() == without.height
    for _, group in known.group_by("label"):
        scores = group["quality"].sort(descending=True)
        least = scores[int(0.4 * len(scores))]  # DataComp's rule of ties
        assert group["selected"].to_list() == (group["quality"] >= least).to_list()
        assert group["balanced"].sum() == min(12, group.height)
    mixed = dict(frame.group_by("label").agg(pl.col("mix_repeats").sum()).iter_rows())
    sizes = dict(known.group_by("label").len().iter_rows())
    assert sum(times or 0 for times in mixed.values()) <= 30
    for label in ("cat", "dog"):
        assert mixed.get(label, 0) <= 3 * sizes.get(label, 0)
    if min(sizes.get(label, 0) for label in ("cat", "dog")) >= 5:
        assert (mixed["cat"], mixed["dog"]) == (15, 15)


def test_report_shows_the_choices_of_a_block_below_it(told: tuple[pl.DataFrame, Path]) -> None:
    elements, folder = told
    data = json.loads((folder / "report/data.json").read_text())
    made = {c["column"]: c for c in data["elements"]["things"]["choices"]}
    assert set(made) == {"selected", "balanced", "mix_repeats"}
    there = elements.drop_nulls("selected")
    assert made["selected"]["chosen"] == there["selected"].sum()
    assert made["selected"]["control"] == there["selected_control"].sum()
    assert made["mix_repeats"]["written"] == elements["mix_repeats"].sum()
    assert data["choices"] == []


def test_page_opens_with_them(told: tuple[pl.DataFrame, Path], browser: Any) -> None:  # noqa: F811
    opened = Opened(browser, told[1] / "report/index.html")
    assert opened.said == []
    assert "selected at select" in opened.page.locator("#elements-things").inner_text()
