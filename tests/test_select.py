"""Selection against brute force: ties, nulls, small groups, any order of rows."""

import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pairmill.api import Pipeline
from pairmill.errors import PipelineFileError
from pairmill.filters.derive import DeriveConfig, DeriveStage
from pairmill.schemas.expression_columns import columns_of
from pairmill.stages.select.stage import SelectConfig, SelectStage

Row = dict[str, Any]
SCORES = st.one_of(st.none(), st.sampled_from([0.1, 0.2, 0.3]), st.floats(-5, 5), st.just(float("nan")))  # fmt: skip
ROWS = st.lists(
    st.tuples(SCORES, st.sampled_from(["en", "zh", "de"]), st.integers(0, 9)), min_size=1, max_size=40
)  # fmt: skip


def table(rows: list[tuple[float | None, str, int]]) -> pa.Table:
    score, lang, words = zip(*rows, strict=True)
    uids = [f"{i:04d}" for i in range(len(rows))]
    return pa.table(
        {"uid": uids, "score": pa.array(score, pa.float64()), "lang": lang, "words": words}
    )


def selected(rows: pa.Table, **keys: Any) -> list[Row]:
    stage = SelectStage(SelectConfig(by="score", **keys))
    answer = stage(rows)
    together = zip(rows.to_pylist(), answer.to_pylist(), strict=True)
    return [{**row, **found} for row, found in together]


def has_score(row: Row) -> bool:
    return row["score"] is not None and row["score"] == row["score"]


def best_first(rows: list[Row]) -> list[Row]:
    return sorted(filter(has_score, rows), key=lambda r: (-r["score"], r["uid"]))


@settings(max_examples=150, deadline=None)
@given(rows=ROWS, fraction=st.sampled_from([0.1, 0.3, 0.5, 1.0]))
def test_top_fraction_is_datacomps_threshold_in_each_group(
    rows: list[tuple[float | None, str, int]], fraction: float
) -> None:
    found = selected(table(rows), fraction=fraction, per=["lang"])
    for lang in ("en", "zh", "de"):
        group = [r for r in found if r["lang"] == lang]
        scores = sorted((r["score"] for r in group if has_score(r)), reverse=True)
        threshold = scores[min(int(len(scores) * fraction), len(scores) - 1)] if scores else None
        for row in group:
            assert row["selected"] == (has_score(row) and row["score"] >= threshold)
            assert row["selected_reason"] == (
                "no score" if not has_score(row)
                else "chosen" if row["selected"] else "below the cut of its group"
            )  # fmt: skip
        ranks = [r["selected_rank"] for r in best_first(group)]
        assert ranks == list(range(1, len(ranks) + 1))


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(rows=ROWS, budget=st.integers(1, 60), seed=st.integers(0, 3))
def test_budget_of_words_ends_at_the_first_row_that_does_not_fit_in_any_order(
    rows: list[tuple[float | None, str, int]], budget: int, seed: int
) -> None:
    found = selected(table(rows), budget=budget, cost="words")
    left, expected = budget, set()
    for row in best_first(found):
        left -= row["words"]
        if left < 0:
            break
        expected.add(row["uid"])
    assert {r["uid"] for r in found if r["selected"]} == expected
    shuffled = table(rows).take(random.Random(seed).sample(range(len(rows)), len(rows)))
    again = selected(shuffled, budget=budget, cost="words")
    assert {r["uid"]: r["selected"] for r in again} == {r["uid"]: r["selected"] for r in found}


@settings(max_examples=100, deadline=None)
@given(rows=ROWS, budget=st.integers(1, 40))
def test_equal_shares_differ_only_where_a_group_is_exhausted_and_the_control_is_as_large(
    rows: list[tuple[float | None, str, int]], budget: int
) -> None:
    found = selected(table(rows), budget=budget, per=["lang"], control=True)
    taken, there = {}, {}
    for lang in {r["lang"] for r in found}:
        group = [r for r in found if r["lang"] == lang]
        chosen = [r for r in best_first(group) if r["selected"]]
        assert chosen == best_first(group)[: len(chosen)]
        taken[lang], there[lang] = len(chosen), len(best_first(group))
        assert sum(r["selected_control"] for r in group) == len(chosen)
    assert budget - len(taken) < sum(taken.values()) <= budget or taken == there
    for lang in taken:
        if taken[lang] < there[lang]:
            assert taken[lang] >= max(taken.values()) - 1


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"quotas": {"en": 1, "zh": 1}}, {"en": 10, "zh": 10, "de": 0}),
        ({"quotas": {"en": 3, "zh": 1}, "budget": 20}, {"en": 15, "zh": 5, "de": 0}),
        ({"quotas": {"en": 1, "zh": 1}, "budget": 50}, {"en": 10, "zh": 10, "de": 0}),
        ({"quotas": {"en": 1, "zh": 1}, "budget": 50, "short": "fill"}, {"en": 40, "zh": 10, "de": 0}),
        ({"quotas": {"en": 1, "fr": 1}}, {"en": 0, "zh": 0, "de": 0}),
        ({"budget": 30, "shares": "proportional"}, {"en": 20, "zh": 4, "de": 6}),
        ({"budget": 45}, {"en": 20, "zh": 10, "de": 15}),
    ],
)  # fmt: skip
def test_quotas_and_shares(keys: Row, expected: dict[str, int]) -> None:
    rows = [
        (i / 100, lang, 1) for lang, n in (("en", 50), ("zh", 10), ("de", 15)) for i in range(n)
    ]
    found = selected(table(rows), per=["lang"], **keys)
    counts = {lang: sum(r["selected"] for r in found if r["lang"] == lang) for lang in expected}
    assert counts == expected


def test_derived_level_is_computed_where_inputs_are_null_and_selected_by(tmp_path: Path) -> None:
    lines = [f"http://a.test/{i},t{i},{'' if i % 5 == 0 else i}\n" for i in range(20)]
    (tmp_path / "in.csv").write_text("url,text,clicks\n" + "".join(lines))
    (tmp_path / "p.yaml").write_text(
        "name: chosen\nworkspace: w\nsource: {type: pairs, path: in.csv}\nstages:\n"
        '  - {stage: derive, name: level, expression: "COALESCE(clicks, 100) * 1.0"}\n'
        "  - {stage: select, by: level, fraction: 0.25, ties: cut, keep: selected}\n"
    )
    result = Pipeline.from_yaml(tmp_path / "p.yaml").run(local=True, progress=False)
    assert result.funnel.kept == 5
    (tmp_path / "p.yaml").write_text(
        (tmp_path / "p.yaml").read_text().replace("by: level", "by: text")
    )
    with pytest.raises(PipelineFileError, match="`by: text` is no number"):
        Pipeline.from_yaml(tmp_path / "p.yaml")


@pytest.mark.parametrize(
    "keys",
    [{}, {"fraction": 0.1, "budget": 5}, {"quotas": {"en": 1}}, {"fraction": 0.1, "cost": "x"}],
)
def test_contradicting_keys_are_refused(keys: Row) -> None:
    with pytest.raises(ValueError, match="`"):
        SelectConfig(by="score", **keys)


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("clip_score", ["clip_score"]),
        ("box.width * box.height / area", ["area", "box"]),
        ("COALESCE(clicks, 100)", ["clicks"]),
        ("CASE WHEN", []),
    ],
)
def test_columns_of_an_expression_are_known_before_their_types(
    text: str, columns: list[str]
) -> None:
    assert columns_of(text) == columns


def test_field_of_a_struct_is_derived() -> None:
    stage = DeriveStage(DeriveConfig(name="wide", expression="box.width > 5"))
    rows = pa.table({"box": [{"width": 3}, {"width": 7}, None]})
    stage.bind(rows.schema)
    assert stage.reads() == ["box"]
    assert stage(rows.select(stage.reads())).column("wide").to_pylist() == [False, True, None]
