"""What rows cost of a budget: nothing, more than anything, or what is no number."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pairmill.api import Pipeline
from pairmill.schemas.hash_columns import row_chances
from pairmill.stages.select.mix import MixConfig, MixStage
from pairmill.stages.select.stage import SelectConfig, SelectStage

INFINITE, NAN = float("inf"), float("nan")


def table(costs: list[float], groups: str, scores: list[float] | None = None) -> pa.Table:
    return pa.table(
        {
            "uid": [f"u{i:03d}" for i in range(len(costs))],
            "#order": range(len(costs)),
            "group": list(groups),
            "cost": pa.array(costs, pa.float64()),
            "score": pa.array(scores or list(range(len(costs), 0, -1)), pa.float64()),
        }
    )


def mixed(rows: pa.Table, **keys: Any) -> pa.Table:
    return MixStage(MixConfig(by=["group"], cost="cost", **keys))(rows)


@pytest.mark.parametrize(
    "keys",
    [{}, {"budget": 100.0}, {"short": "shrink"}, {"shares": {"a": 1, "b": 1}, "short": "shrink"}],
)
@pytest.mark.parametrize("cost", [INFINITE, NAN])
def test_a_row_whose_cost_is_no_finite_number_fails_alone(cost: float, keys: Any) -> None:
    found = mixed(table([1, 2, cost, 3, cost], "aabbc"), **keys)
    assert found["mix_repeats"].to_pylist() == [1, 1, 0, 1, 0]
    classes = [e and e["class"] for e in found["error"].to_pylist()]
    assert classes == [None, None, "not_finite", None, "not_finite"]


def test_costs_that_are_too_much_for_a_number_are_refused() -> None:
    with pytest.raises(ValueError, match="`cost: cost` is in all more than a number can be"):
        mixed(table([1.5e308, 1e308], "ab"))


@pytest.mark.parametrize(
    ("keys", "repeats"),
    [
        ({}, [1, 1, 3, 3]),
        ({"budget": 5.0}, [1, 1, 3, 2]),
        ({"budget": 5.0, "short": "shrink"}, [1, 1, 3, 2]),
        ({"budget": 4.0, "shares": {"a": 9, "b": 1}}, [1, 1, 2, 2]),
        ({"budget": 4.0, "shares": {"b": 1}}, [0, 0, 2, 2]),
    ],
)
def test_a_group_that_costs_nothing_is_written_once_and_has_no_share(
    keys: Any, repeats: list[int]
) -> None:
    rows = table([0, 0, 1, 1], "aabb")
    found = mixed(rows, max_repeats=3, **keys)["mix_repeats"].to_pylist()
    assert (found[:2], sorted(found[2:])) == (repeats[:2], sorted(repeats[2:]))


def test_what_costs_nothing_is_told_at_the_end_of_every_run(tmp_path: Path) -> None:
    rows = {"caption": list("abcd"), "kind": ["x", "x", "y", "y"], "words": [0, 0, 3, 0]}
    pl.DataFrame(rows).write_parquet(tmp_path / "in.parquet")
    (tmp_path / "p.yaml").write_text("""
name: free
source: {type: pairs, path: in.parquet}
stages: [{stage: mix, by: [kind], cost: words, budget: 3, keep: mix_repeats > 0}]
outputs: [{type: table, path: out}]
""")
    for _ in range(2):
        result = Pipeline.from_yaml(tmp_path / "p.yaml").run(
            local=True, processes=0, progress=False, write_report=False
        )
        assert result.warnings == (
            "mix: the rows of 'x' (2) cost nothing by 'words': they are written once, and have no "
            "share of the budget",
        )


@given(
    rows=st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from([0, 0.5, 1, 1, 3])), min_size=1, max_size=25
    ),
    budget=st.sampled_from([None, 1, 4.5, 20, 500]),
    shares=st.sampled_from([{}, {"a": 1, "b": 3}, {"a": 1, "d": 1}, {"b": 0, "c": 2}]),
    most=st.integers(1, 4),
    short=st.sampled_from(["fill", "shrink"]),
)  # fmt: skip
def test_a_mixture_is_within_its_budget_and_repeats_are_even(
    rows: list[tuple[str, float]], budget: float | None, shares: Any, most: int, short: Any
) -> None:
    if budget is None and short == "fill" and shares:
        return
    groups, costs = "".join(g for g, _ in rows), [c for _, c in rows]
    asked = table(costs, groups)
    keys = {"budget": budget, "shares": shares, "max_repeats": most, "short": short}
    found = mixed(asked, **keys)["mix_repeats"].to_pylist()
    chance = row_chances(asked["uid"], 0, "mix")
    spent: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for group in sorted(set(groups)):
        mine = sorted((i for i, g in enumerate(groups) if g == group), key=lambda i: chance[i])
        spent[group] = sum(costs[i] * found[i] for i in mine)
        total[group] = sum(costs[i] for i in mine)
        times = [found[i] for i in mine]
        assert times == sorted(times, reverse=True)  # those that chance puts first have one more
        assert times[0] - times[-1] <= 1
        assert times[0] <= most
        if shares and not shares.get(group):
            assert not any(times)
        elif not total[group]:
            assert set(times) == {1}
    assert sum(spent.values()) <= (budget or INFINITE) + 1e-9
    wanted = {g: s for g, s in (shares or dict.fromkeys(total, 1)).items() if s}
    wanted = {g: s for g, s in wanted.items() if g not in total or total[g]}
    for group, share in wanted.items():
        if short == "shrink":  # by the group of which there is least
            whole = min(most * total[g] / s for g, s in wanted.items()) * sum(wanted.values())
            mine = min(whole, budget or INFINITE) * share / sum(wanted.values())
        else:
            mine = filled(budget or INFINITE, wanted, total, most)[group]
        times = sorted((found[i], i) for i, g in enumerate(groups) if g == group)
        left = mine - spent[group]
        assert left >= -1e-9
        if times and times[0][0] < most:  # the next one does not fit
            order = sorted((i for _, i in times), key=lambda i: chance[i])
            following = next((i for i in order if found[i] == times[0][0]), order[0])
            assert costs[following] > left - 1e-9


def filled(budget: float, shares: Any, total: Any, most: int) -> dict[str, float]:
    """Water-filling: groups that are short give what they leave to the others, by shares."""
    found, open_ = {}, dict(shares)
    while open_:
        every = sum(open_.values())
        full = {g for g, s in open_.items() if most * total[g] <= budget * s / every}
        for group in full or set(open_):
            found[group] = most * total[group] if full else budget * open_[group] / every
        budget -= sum(found[g] for g in full)
        open_ = {g: s for g, s in open_.items() if g not in found}
    return found


def selected(rows: pa.Table, **keys: Any) -> list[bool]:
    stage = SelectStage(SelectConfig(by="score", cost="cost", **keys))
    return stage(rows)["selected"].to_pylist()


@pytest.mark.parametrize("cost", [INFINITE, NAN])
@pytest.mark.parametrize("shares", ["equal", "proportional"])
def test_a_row_of_infinite_cost_ends_no_selection(cost: float, shares: str) -> None:
    rows = table([1, cost, 1, 1], "abab")
    assert selected(rows, budget=2.0, shares=shares) == [True, False, True, False]
    chosen = selected(rows, budget=2.0, shares=shares, per=["group"])
    assert (chosen[1], sum(chosen)) == (False, 2 if shares == "equal" else 1)


@pytest.mark.parametrize("short", ["fill", "shrink"])
def test_rows_that_cost_nothing_of_groups_that_get_nothing_are_not_selected(short: str) -> None:
    rows = table([0, 1, 0, 1], "aabb")
    quotas = {"a": 1.0}
    found = selected(rows, budget=1.0, per=["group"], quotas=quotas, short=short)
    assert found == [True, True, False, False]


def test_numpy_and_the_stage_agree_on_a_cut_by_cost() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        costs = rng.choice([0, 1, 2, 5], 30).astype(float)
        scores = rng.choice([1, 2, 3, np.nan], 30)
        rows = table(costs.tolist(), "a" * 30, scores.tolist())
        order = sorted(
            (i for i in range(30) if scores[i] == scores[i]), key=lambda i: (-scores[i], i)
        )
        fits = [i for i, spent in zip(order, np.cumsum(costs[order]), strict=True) if spent <= 17]
        assert np.flatnonzero(selected(rows, budget=17.0)).tolist() == sorted(fits)
