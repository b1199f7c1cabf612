"""`plan --sample` against what a run takes: exact counts where they are certain, and what it says
of rows that failed or were not counted.
"""

import asyncio
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pairmill.api import Pipeline
from pairmill.errors import BadRequest, PipelineFileError, StageBroken
from pairmill.pipeline.drawn_rows import shares_of
from pairmill.terminal.estimate_view import remarks
from tests.conftest import typed
from tests.nasty_server import NastyServer, completion, http, nasty, telling

ROWS = 40
FILE = """
name: costed
source: {type: pairs, path: texts.parquet, rows_per_shard: 16}
stages:
  - stage: caption
    engine: openai
    base_url: URL
    model: m
    image: null
    prompt: "Say {text}"
    request_retries: 0
    max_failures: 1.0
    prices: {prompt: 1000, completion: 2000}
"""


@pytest.fixture
def server() -> Iterator[NastyServer]:
    with nasty() as one:
        yield one


@pytest.fixture
def pipeline(server: NastyServer, tmp_path: Path) -> Pipeline:
    texts = pl.DataFrame({"text": [f"text {i}" for i in range(ROWS)]})
    texts.write_parquet(tmp_path / "texts.parquet")
    (tmp_path / "p.yaml").write_text(FILE.replace("URL", server.url))
    return Pipeline.from_yaml(tmp_path / "p.yaml")


def spent(pipeline: Pipeline) -> dict[str, Any]:
    """What the run took, as its metrics say."""
    result = pipeline.run(local=True, processes=0, progress=False)
    told = json.loads((Path(result.folder) / "metrics.json").read_text())
    return dict(told["stages"].get("caption", {}))


def test_sample_and_run_together_ask_each_row_once_and_cost_what_was_told(
    server: NastyServer, pipeline: Pipeline
) -> None:
    cost = pipeline.estimate(12)
    (stage,) = cost.stages
    told = {name: stage.figures[name].value for name in ("tokens_asked", "tokens", "dollars")}
    assert told == {
        "tokens_asked": 5 * ROWS,
        "tokens": 3 * ROWS,
        "dollars": pytest.approx(ROWS * (5 * 1000 + 3 * 2000) / 1e6),
    }
    run = spent(pipeline)
    assert run["dollars"] == pytest.approx(told["dollars"] * (ROWS - 12) / ROWS)
    bodies = [body for head, body in server.seen if head.startswith("POST")]
    assert len(bodies) == len(set(bodies)) == ROWS


def test_bytes_have_their_interval(server: NastyServer, pipeline: Pipeline) -> None:
    server.how = telling(*(http(completion("a" * size)) for size in (1, 10, 100)))
    stored = pipeline.estimate(20).stages[0].figures["bytes"]
    assert stored.low < stored.value < stored.high


@pytest.mark.parametrize("rows", [ROWS, 10**6])
def test_sample_of_all_rows_takes_them_all(
    server: NastyServer, pipeline: Pipeline, rows: int
) -> None:
    cost = pipeline.estimate(rows)
    assert (cost.undecided, cost.sampled, server.chats()) == (ROWS, ROWS, ROWS)
    assert spent(pipeline) == {}


def test_row_of_a_small_shard_weighs_no_more_than_one_of_a_large_shard() -> None:
    waiting = {0: 1000, 1: 30}
    shares = [shares_of(waiting, 100, 10, random.Random(seed)) for seed in range(500)]
    assert {share.total() for share in shares} == {100}
    assert 2 < sum(share[1] for share in shares) / 500 < 4  # 30 of 1,030
    assert shares_of(waiting, 5000, 500, random.Random(0)) == waiting
    assert shares_of({3: 1}, 1, 1, random.Random(0)) == {3: 1}


def test_sample_without_a_row_is_refused(pipeline: Pipeline) -> None:
    for rows in (0, -3):
        with pytest.raises(BadRequest, match="at least one"):
            pipeline.estimate(rows)


def test_rows_of_the_sample_that_failed_are_told_beside_what_they_did_not_cost(
    server: NastyServer, pipeline: Pipeline
) -> None:
    server.how = telling(http({}, "500 Oops"))
    cost = pipeline.estimate(5)
    (stage,) = cost.stages
    assert (stage.failed, stage.sampled, stage.figures["dollars"].value) == (5, 5, 0)
    assert any("failed on 5 of 5" in line for line in remarks(cost))
    assert cost.to_json()["stages"][0]["failed"] == 5


def test_answers_whose_tokens_nobody_counted_are_told_beside_the_dollars(
    server: NastyServer, pipeline: Pipeline
) -> None:
    server.how = telling(http(completion(usage=None)), http(completion()))
    cost = pipeline.estimate(10)
    assert cost.stages[0].uncounted == 5
    assert any("5 answers" in line for line in remarks(cost))
    assert spent(pipeline)["uncounted"] == 15


@pytest.mark.parametrize("price", [".inf", ".nan", "-1", "1e300", "'3'", "true"])
def test_price_that_is_no_amount_is_told(tmp_path: Path, pipeline: Pipeline, price: str) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(file.read_text().replace("prompt: 1000", f"prompt: {price}"))
    with pytest.raises(PipelineFileError, match=r"prices\.prompt"):
        Pipeline.from_yaml(file)


def test_a_sample_that_is_stopped_says_what_it_has_cost(
    server: NastyServer, pipeline: Pipeline, tmp_path: Path
) -> None:
    async def poor(one: NastyServer, writer: asyncio.StreamWriter, asked: str) -> None:
        no = http({"error": {"message": "pay"}}, "402 Pay")
        models = http({"object": "list", "data": [{"id": "m", "object": "model"}]})
        writer.write(models if not asked else no if one.chats() > 9 else http(completion()))

    server.how = poor
    with pytest.raises(StageBroken, match="wants to be paid") as stopped:
        pipeline.estimate(20)
    (note,) = stopped.value.__notes__
    stored = sum(
        pl.read_parquet(f)["caption"].count() for f in tmp_path.rglob("columns/caption-*/*.parquet")
    )
    assert stored == 9
    assert "45 tokens asked and 27 answered in this sample cost $0.10; that is stored" in note
    server.seen.clear()
    told = typed("plan", str(tmp_path / "p.yaml"), "--sample", "20")
    assert told.returncode == 1
    assert "45 tokens asked and 27 answered in this sample cost $0.10" in told.stderr
