"""Figures of the report that need little of a run: caption measures, thresholds of gates, stops of
sliders.
"""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from pairmill.api import Pipeline
from pairmill.report.captions import measures
from pairmill.report.effects import effect
from pairmill.report.gather import ReportRows
from pairmill.report.page import json_for_html
from pairmill.report.scores import beyond, stops_of, thresholds
from tests.report_pages import HOSTILE


def test_caption_measures() -> None:
    same = [
        "a photo of a cat",
        "a photo of a cat",
        "I'm sorry, I cannot describe it",
        "it may perhaps be a dog <eos>",
    ]
    found = measures(
        same, ["Felix 2019 in Rome", "a cat", "x", "y"], ["stop", "length", "stop", "stop"]
    )
    assert found["duplicate_rate"] == 0.25
    assert found["refusal_rate"] == 0.25
    assert found["truncated_rate"] == 0.25
    assert found["leak_rate"] == 0.25
    assert found["alt_retention"] == 0
    assert found["hedges_per_100_words"] == pytest.approx(
        100 * 2 / sum(len(t.replace("<eos>", "eos").split()) for t in same), rel=0.01
    )
    assert measures(["Rome in 2019"], ["seen in Rome, 2019"], None)["alt_retention"] == 1


def test_thresholds_are_read_off_gates_and_stops_are_round_numbers() -> None:
    gate = "clip_score >= 0.28 AND (aspect <= 3 OR 5 < words) AND width > height"
    assert [thresholds(gate, c) for c in ("clip_score", "aspect", "words", "width")] == [
        [(">=", 0.28)],
        [("<=", 3.0)],
        [(">", 5.0)],
        [],
    ]
    stops = stops_of(-0.4238, 0.7701, False, [0.283])
    assert 0.283 in stops
    assert 0.3 in stops
    assert 100 < len(stops) < 260
    assert stops_of(1, 7, True, []) == [1, 2, 3, 4, 5, 6, 7]


def test_a_threshold_stops_what_the_gate_stops_in_the_columns_own_type() -> None:
    values = np.array([0.1, 0.7, 0.9], np.float32)
    stopped = [beyond(values, sign, 0.7) for sign in (">=", ">", "<=", "<")]
    assert stopped == [1, 2, 1, 2]
    assert beyond(np.array([1, 2, 3]), ">", 2.5) == 2


def test_rare_values_of_a_mix_are_counted_with_the_others() -> None:
    domains = ["a"] * 2000 + ["b"] * 3 + [f"c{i}" for i in range(5)]
    frame = pl.DataFrame({"domain": domains, "at": [1] * len(domains)})
    found = effect(ReportRows(frame, [], ["one"], [None]), "domain")
    assert found is not None
    assert [(v["value"], v["rows"][0]) for v in found["values"]] == [
        ("a", 2000), ("b", 3), ("5 others", 5),
    ]  # fmt: skip


def test_json_cannot_leave_its_element() -> None:
    text = json_for_html({"a": HOSTILE + "\u2028", "b": [1.5, None]})
    assert not {"<", ">", "\u2028"} & set(text)
    assert json.loads(text)["a"] == HOSTILE + "\u2028"


def test_row_without_an_address_is_of_no_domain(tmp_path: Path) -> None:
    rows = "http://127.0.0.1:9/1.jpg,one\n,two\nhttp://127.0.0.1:9/2.jpg,three\n"
    (tmp_path / "in.csv").write_text("url,text\n" + rows)
    download = "{stage: download, retries: 0, max_failures: 1, allow_private_hosts: [127.0.0.1]}"
    (tmp_path / "p.yaml").write_text(
        f"name: d\nsource: {{type: pairs, path: in.csv}}\nstages: [{download}]\n"
    )
    result = Pipeline.from_yaml(tmp_path / "p.yaml").run(local=True, processes=0, progress=False)
    told = json.loads(Path(result.report).with_name("data.json").read_text())["downloads"]
    assert [(h["domain"], h["rows"]) for h in told["hosts"]] == [("127.0.0.1", 2)]
    assert (told["host_count"], told["classes"]["url"]) == (1, 1)
