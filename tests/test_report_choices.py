"""What the report says of choices among all rows, against counts over the run's table; the page's
links to their rows.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from pairmill.api import Pipeline
from tests.report_pages import Opened, browser  # fixtures among them

FILE = """
name: choices
source: {type: pairs, path: pairs.parquet, rows_per_shard: 64}
stages:
  - stage: concepts
    concepts: {ball: [], tree: [], house: [], rare lamp: []}
  - stage: select
    by: CASE WHEN quality >= 0.1 THEN quality END
    budget: 600
    cost: size * 2
    per: [lang]
    quotas: {en: 2, de: 1}
    control: true
  - {stage: select, name: best, by: quality, fraction: 0.5, per: [style], keep: best}
  - {stage: balance, by: concepts, cap: 40, keep: balanced}
  - {stage: mix, by: [style], shares: {photo: 1, 'draw''n': 3}, budget: 120, max_repeats: 3,
     keep: mix_repeats > 0 AND size > 0}
outputs:
  - {type: table, path: out, repeats: mix_repeats}
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """400 rows of two languages and two styles, some without a score or concept, chosen four
    times over."""
    folder, rng, n = tmp_path_factory.mktemp("choices"), np.random.default_rng(3), 400
    words = ["a ball", "a ball and a tree", "a house", "nothing", "a rare lamp by a tree"]
    said = rng.choice(5, n, p=[0.5, 0.2, 0.15, 0.1, 0.05])
    quality = [None if i % 9 == 0 else float(q) for i, q in enumerate(rng.random(n))]
    pl.DataFrame(
        {
            "text": [f"{words[w]} {i}" for i, w in enumerate(said)],
            "lang": [("en", "en", "en", "de", "fr")[i % 5] for i in range(n)],
            "style": ["draw'n" if i % 4 == 0 else "photo" for i in range(n)],
            "size": rng.integers(1, 5, n),
            "quality": quality,
        }
    ).write_parquet(folder / "pairs.parquet")
    (folder / "p.yaml").write_text(FILE)
    pipeline = Pipeline.from_yaml(folder / "p.yaml")
    result = pipeline.run(local=True, progress=False)
    return result, json.loads((Path(result.folder) / "report/data.json").read_text())


def the(data: dict[str, Any], column: str) -> dict[str, Any]:
    return next(c for c in data["choices"] if c["column"] == column)


@pytest.mark.slow
def test_reasons_are_counted_and_each_names_the_rows_it_counts(finished: Any) -> None:
    result, data = finished
    assert [(c["column"], c["stage"]) for c in data["choices"]] == [
        ("selected", "select"), ("best", "best"), ("balanced", "balance"), ("mix_repeats", "mix"),
    ]  # fmt: skip
    assert {o["name"] for o in the(data, "selected")["outcomes"]} == {
        "chosen", "below the cut of its group", "no score", "drawn by chance, to compare",
    }  # fmt: skip
    for choice in data["choices"]:
        for outcome in choice["outcomes"]:
            found = result.rows(columns=["text"], where=outcome["where"])
            assert found.height == outcome["rows"] > 0, outcome
            there = [s for s in data["samples"] if outcome["tag"] in s["tags"]]
            assert there
            assert {s["uid"] for s in there} <= set(found["uid"])
        outcomes = [o for o in choice["outcomes"] if not o["name"].startswith("drawn by chance")]
        assert sum(o["rows"] for o in outcomes) == choice["rows"]
        assert sum(o["chosen"] for o in outcomes) == choice["chosen"]


def test_chosen_rows_stand_beside_their_control(finished: Any) -> None:
    result, data = finished
    rows = result.rows(where="selected IS NOT NULL")  # some have no quality, and do not come
    choice = the(data, "selected")
    assert choice["rows"] == rows.height < 400
    parts = {
        "came": rows, "chosen": rows.filter("selected"), "control": rows.filter("selected_control"),
    }  # fmt: skip
    assert choice["control"] == choice["chosen"] == parts["chosen"].height
    assert choice["scores"] == [
        {"name": "quality", **{k: pytest.approx(p["quality"].median()) for k, p in parts.items()}}
    ]
    language = choice["shares"][0]
    assert language["group"] == "language"
    for value in language["values"]:
        for name, part in parts.items():
            assert value[name] == part.filter(pl.col("lang") == value["value"]).height
    assert choice["scores"][0]["chosen"] > choice["scores"][0]["control"]
    assert "control" not in the(data, "best")["scores"][0]


def test_shares_requested_are_told_with_those_achieved(finished: Any) -> None:
    result, data = finished
    rows = result.rows()
    cost = rows.filter("selected").group_by("lang").agg((pl.col("size") * 2).sum().alias("cost"))
    spent = dict(cost.rows())
    asked = the(data, "selected")["requested"]
    assert (asked["per"], asked["cost"], asked["equal"]) == ("lang", "size * 2", False)
    groups = {g["group"]: g for g in asked["groups"]}
    assert {n: g["requested"] for n, g in groups.items()} == {
        "en": pytest.approx(2 / 3, abs=1e-5), "de": pytest.approx(1 / 3, abs=1e-5), "fr": 0,
    }  # fmt: skip
    for name, group in groups.items():
        share = spent.get(name, 0) / sum(spent.values())
        assert group["achieved"] == pytest.approx(share, abs=1e-5)
    mixed = {g["group"]: g for g in the(data, "mix_repeats")["requested"]["groups"]}
    written = rows.filter(pl.col("mix_repeats") > 0).group_by("style").agg(pl.sum("mix_repeats"))
    assert {n: g["written"] for n, g in mixed.items()} == dict(written.rows())
    assert the(data, "mix_repeats")["written"] == written["mix_repeats"].sum()
    assert mixed["draw'n"]["requested"] == 0.75
    assert mixed["draw'n"]["came"] < mixed["draw'n"]["achieved"]
    assert [the(data, c)["requested"] for c in ("best", "balanced")] == [None, None]
    assert {s["group"] for s in the(data, "best")["shares"]} == {"language", "style"}


def test_concepts_of_what_came_and_of_what_was_chosen(finished: Any) -> None:
    result, data = finished
    rows = result.rows().filter(pl.col("balanced").is_not_null())
    [shown] = the(data, "balanced")["concepts"]
    for key, part in (("came", rows), ("kept", rows.filter("balanced"))):
        named = part.explode("concepts", empty_as_null=True).drop_nulls("concepts")
        counts = dict(named["concepts"].value_counts().rows())
        assert {v["concept"]: v[key] for v in shown["values"] if v[key]} == counts
        assert shown["totals"][key] == named.height
    assert shown["tail_kept"] > shown["tail_came"]
    [tail] = the(data, "selected")["concepts"]
    drawn = result.rows(where="selected_control").explode("concepts", empty_as_null=True)
    assert tail["totals"]["control"] == drawn["concepts"].drop_nulls().len()


def test_page_opens_the_rows_of_a_reason(finished: Any, browser: Any) -> None:
    result, data = finished
    opened = Opened(browser, Path(result.folder) / "report/index.html",
                    viewport={"width": 390, "height": 800})  # fmt: skip
    card = opened.page.locator("[data-choice=selected]")
    outcome = next(o for o in the(data, "selected")["outcomes"] if o["name"] == "no score")
    card.locator("tr", has_text="no score").locator("button").click()
    there = sum(outcome["tag"] in s["tags"] for s in data["samples"])
    said = opened.page.inner_text("#count")
    assert said == f"{there} of {len(data['samples'])} samples, of {outcome['rows']} such rows"
    assert "\\\"selected_reason\\\" = 'no score'" in opened.page.inner_text("#samples")
    assert opened.page.locator("#choices .card").count() == 4
    assert opened.said == []
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= 390
