"""Groups of rows: one name for each combination of values, and none for two."""

import datetime as dt
import itertools
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pairmill.api import Pipeline
from pairmill.schemas.group_names import group_names

TEXTS = [None, "", "null", "'null'", "'", "a", " ", "/", " /", "/ ", " / ", "//", "/ /", "a /", "/ a"]  # fmt: skip
TEXTS += ["\\/", "\\", "a \\/ b", "a / b"]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_no_two_combinations_of_texts_have_one_name(count: int) -> None:
    rows = list(itertools.product(TEXTS, repeat=count))
    columns = [f"c{i}" for i in range(count)]
    frame = pl.DataFrame(rows, schema=dict.fromkeys(columns, pl.String), orient="row")
    assert group_names(frame, columns).n_unique() == len(rows)


def test_names_are_what_a_person_writes() -> None:
    frame = pl.DataFrame({"a": ["zh", None, "x / y", "either/or"], "b": [1, 2, None, 3]})
    names = ["zh / 1", "null / 2", "x \\/ y / null", "either/or / 3"]
    assert group_names(frame, ["a", "b"]).to_list() == names
    assert group_names(frame, ["a"]).to_list() == ["zh", "null", "x / y", "either/or"]


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ([True, False, None], ["true", "false", "null"]),
        ([0.0, -0.0, float("nan"), None, 0.5], ["0.0", "0.0", "null", "null", "0.5"]),
        ([dt.date(2024, 1, 2), None], ["2024-01-02", "null"]),
        ([["a", "b"], [], [None], None], ['["a","b"]', "[]", "[null]", "null"]),
        ([{"a": 1}, {"a": None}, None], ['{"a":1}', '{"a":null}', "null"]),
        ([None, None], ["null", "null"]),
    ],
)
def test_values_of_every_type_have_names(values: list[Any], names: list[str]) -> None:
    frame = pl.DataFrame({"v": pl.Series(values, strict=False)})
    assert group_names(frame, ["v"]).to_list() == names


def test_quotas_mean_these_groups_and_what_is_absent_is_told(tmp_path: Path) -> None:
    """`x` with `y / z` and `x / y` with `z` were one group, and an empty text and null in `mix`."""
    rows = {
        "caption": list("abcdef"),
        "first": ["x", "x / y", "x", "x / y", "", None],
        "second": ["y / z", "z", "y / z", "z", "z", "z"],
        "score": [6, 5, 4, 3, 2, 1],
    }
    pl.DataFrame(rows).write_parquet(tmp_path / "in.parquet")
    (tmp_path / "p.yaml").write_text("""
name: groups
source: {type: pairs, path: in.parquet}
stages:
  - stage: select
    by: score
    budget: 3
    per: [first, second]
    short: fill
    quotas: {'x / y \\/ z': 1, 'x \\/ y / z': 1, ' / z': 1}
  - {stage: mix, by: [first]}
outputs: [{type: table, path: out, shuffle: false}]
""")
    result = Pipeline.from_yaml(tmp_path / "p.yaml").run(local=True, progress=False)
    assert not [w for w in (*result.warnings, *result.notes) if "asks for" in w]
    found = result.table(["text", "selected", "selected_rank", "mix_group"]).sort("text")
    assert found["selected"].to_list() == [True, True, False, False, True, None]
    assert found["selected_rank"].to_list() == [1, 1, 2, 2, 1, None]
    assert found["mix_group"].to_list() == ["x", "x / y", "x", "x / y", "", None]
