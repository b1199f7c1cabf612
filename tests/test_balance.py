"""Balance and mixtures against brute force: ties, nulls, empty groups, any order of rows."""

import json
import random
from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pairmill.schemas.hashing import row_chance
from pairmill.stages.select.balance import BalanceConfig, BalanceStage
from pairmill.stages.select.mix import MixConfig, MixStage

GROUPS = st.lists(st.sampled_from(["en", "zh", "de", None]), min_size=1, max_size=60)
LISTS = st.lists(
    st.one_of(st.none(), st.lists(st.sampled_from("abcde"), max_size=4)), min_size=1, max_size=60
)


def uids(count: int) -> list[str]:
    return [f"{i:04d}" for i in range(count)]


def balanced(values: list[Any], **keys: Any) -> list[dict[str, Any]]:
    return answers(BalanceStage(BalanceConfig(by="group", **keys)), values)


def mixed(values: list[Any], **keys: Any) -> list[dict[str, Any]]:
    return answers(MixStage(MixConfig(by=["group"], **keys)), values)


def answers(stage: Any, values: list[Any]) -> list[dict[str, Any]]:
    """The answers for rows, checked to be the same for shuffled rows."""
    kind = pa.list_(pa.string()) if any(isinstance(v, list) for v in values) else pa.string()
    rows = pa.table({"uid": uids(len(values)), "group": pa.array(values, kind)})
    stage.bind(rows.schema)
    found = stage(rows).to_pylist()
    order = random.Random(len(values)).sample(range(len(values)), len(values))
    again = stage(rows.take(order)).to_pylist()
    assert again == [found[i] for i in order]
    return found


@settings(max_examples=60, deadline=None)
@given(values=LISTS, cap=st.integers(1, 6), seed=st.integers(0, 3))
def test_metaclips_draw_is_one_trial_for_each_concept(
    values: list[list[str] | None], cap: int, seed: int
) -> None:
    """The probability against the product of the published per-entry probabilities."""
    if not any(isinstance(v, list) for v in values):
        values = [*values, ["a"]]
    counts = Counter(c for v in values for c in set(v or []))
    found = balanced(values, cap=cap, seed=seed)
    for uid, value, row in zip(uids(len(values)), values, found, strict=True):
        missed = 1.0
        for concept in set(value or []):
            missed *= 1 - cap / max(cap, counts[concept])
        expected = 1 - missed if value else 0.0
        assert row["balanced_probability"] == pytest.approx(expected, abs=1e-12)
        chance = (row_chance(uid, seed, "balance") >> 11) / 2**53
        assert row["balanced"] == (chance < row["balanced_probability"])


@settings(max_examples=60, deadline=None)
@given(values=GROUPS, cap=st.integers(1, 12))
def test_of_single_groups_exactly_the_cap_stays(values: list[str | None], cap: int) -> None:
    found = balanced(values, cap=cap, without="keep")
    sizes = Counter(values)
    stays = Counter(v for v, row in zip(values, found, strict=True) if row["balanced"])
    assert stays == Counter({v: min(n, cap) if v else n for v, n in sizes.items()})


@settings(max_examples=60, deadline=None)
@given(counts=st.lists(st.integers(1, 40), min_size=1, max_size=8), tail=st.floats(0.01, 0.9))
def test_tail_share_finds_metaclips_cap(counts: list[int], tail: float) -> None:
    values = [[f"c{i}"] for i, n in enumerate(counts) for _ in range(n)]
    ordered = sorted(counts)
    shares = [sum(ordered[: i + 1]) / sum(ordered) for i in range(len(ordered))]
    t = ordered[int(np.abs(np.array(shares) - tail).argmin())]
    found = balanced(values, tail=tail)
    for value, row in zip(values, found, strict=True):
        count = counts[int(value[0][1:])]
        assert row["balanced_probability"] == pytest.approx(min(1, t / count))
    assert sum(r["balanced"] for r in balanced([v[0] for v in values], tail=tail)) == sum(
        min(n, t) for n in counts
    )


def test_each_language_has_caps_of_its_own() -> None:
    values = ["a"] * 20 + ["b"] * 4
    rows = pa.table({"uid": uids(24), "group": values, "lang": ["en", "zh"] * 12})
    stage = BalanceStage(BalanceConfig(by="group", per=["lang"], cap=3))
    chosen = stage(rows)["balanced"].to_pylist()
    pairs = zip(chosen, values, rows["lang"].to_pylist(), strict=True)
    assert Counter((v, lang) for yes, v, lang in pairs if yes) == {
        ("a", "en"): 3, ("a", "zh"): 3, ("b", "en"): 2, ("b", "zh"): 2,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"temperature": 0.0}, {"en": 10, "zh": 10}),
        ({"temperature": 1.0, "budget": 55}, {"en": 50, "zh": 5}),
        ({"temperature": 0.5, "budget": 20}, {"en": 15, "zh": 4}),
        ({"temperature": 0.0, "budget": 60, "short": "fill"}, {"en": 50, "zh": 10}),
        ({"ratio": {"en": 1, "zh": 1}}, {"en": 10, "zh": 10}),
        ({"ratio": {"en": 3, "zh": 1}, "budget": 20}, {"en": 15, "zh": 5}),
        ({"ratio": {"en": 1, "fr": 1}}, {}),
    ],
)
def test_temperature_and_ratio_give_groups_their_shares(
    keys: dict[str, Any], expected: dict[str, int]
) -> None:
    values = ["en"] * 100 + ["zh"] * 10
    found = balanced(values, **keys)
    assert Counter(v for v, r in zip(values, found, strict=True) if r["balanced"]) == expected


def unimax(sizes: dict[str, int], budget: int, most: int) -> dict[str, float]:
    """The published algorithm: smallest first, each an equal part of what is left, at most `most`
    times its size.
    """
    left, found = float(budget), {}
    order = sorted(sizes, key=lambda g: sizes[g])
    for i, group in enumerate(order):
        found[group] = min(left / (len(order) - i), float(sizes[group] * most))
        left -= found[group]
    return found


@settings(max_examples=60, deadline=None)
@given(values=GROUPS, budget=st.integers(1, 200), most=st.integers(1, 5))
def test_mix_without_shares_is_unimax_to_a_row(
    values: list[str | None], budget: int, most: int
) -> None:
    found = mixed(values, budget=budget, max_repeats=most)
    names = [v or "null" for v in values]
    sizes = Counter(names)
    written = Counter({g: 0 for g in sizes})
    for name, row in zip(names, found, strict=True):
        assert row["mix_group"] == name
        written[name] += row["mix_repeats"]
    expected = unimax(sizes, budget, most)
    for group in sizes:
        assert abs(written[group] - expected[group]) < 1
        each = {r["mix_repeats"] for n, r in zip(names, found, strict=True) if n == group}
        assert max(each) <= most
        assert max(each) - min(each) <= 1
    assert sum(written.values()) == min(budget, most * len(values))


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"shares": {"a": 45, "b": 45, "c": 10}, "budget": 1000, "max_repeats": 12}, (450, 450, 100)),
        ({"shares": {"a": 1, "b": 1}, "budget": 100}, (60, 40, 0)),
        ({"shares": {"a": 1, "b": 1}, "budget": 100, "short": "shrink"}, (40, 40, 0)),
        ({"shares": {"a": 1, "b": 1}, "short": "shrink", "max_repeats": 2}, (80, 80, 0)),
        ({"shares": {"a": 1, "z": 1}, "budget": 100, "short": "shrink"}, (0, 0, 0)),
        ({"max_repeats": 3}, (1800, 120, 30)),
    ],
)  # fmt: skip
def test_mix_reaches_shares_or_what_repetition_allows(
    keys: dict[str, Any], expected: tuple[int, ...]
) -> None:
    values = ["a"] * 600 + ["b"] * 40 + ["c"] * 10
    written = Counter({"a": 0, "b": 0, "c": 0})
    for value, row in zip(values, mixed(values, **keys), strict=True):
        written[value] += row["mix_repeats"]
    assert tuple(written.values()) == expected


@settings(max_examples=50, deadline=None)
@given(costs=st.lists(st.integers(0, 9), min_size=2, max_size=40), budget=st.integers(1, 150))
def test_a_mixture_of_words_ends_within_one_row_of_its_budget(
    costs: list[int], budget: int
) -> None:
    groups = ["a" if i % 3 else "b" for i in range(len(costs))]
    rows = pa.table({"uid": uids(len(costs)), "group": groups, "words": costs})
    stage = MixStage(MixConfig(by=["group"], cost="words", budget=budget, max_repeats=2))
    repeats = stage(rows)["mix_repeats"].to_pylist()
    stock = {g: 2 * sum(c for c, o in zip(costs, groups, strict=True) if o == g) for g in "ab"}
    asked = unimax({g: n for g, n in stock.items() if n}, budget, 1)
    for group, wanted in asked.items():
        spent = sum(r * c for r, c, g in zip(repeats, costs, groups, strict=True) if g == group)
        assert wanted - max(costs) <= spent <= wanted + 1e-6
    requested = json.loads(
        MixStage(MixConfig(by=["g"], shares={"x": 3, "y": 1}, short="shrink"))
        .writes().field("mix_repeats").metadata[b"requested"]
    )  # fmt: skip
    assert requested == {"x": 0.75, "y": 0.25}


@pytest.mark.parametrize(
    "keys", [{}, {"cap": 3, "tail": 0.1}, {"cap": 3, "budget": 5}, {"ratio": {"a": 0}}]
)
def test_contradicting_keys_are_refused(keys: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="`"):
        BalanceConfig(by="group", **keys)
