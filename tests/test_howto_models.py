"""The how-to pages on duplicates, captions, engines and clusters, followed as those in
tests/test_howto.py are; the demo's oracle is the server, and knows its world's pictures.
"""

import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import typer
from ruamel.yaml import YAML

from pairmill.api import Pipeline
from pairmill.cli import app
from pairmill.demo.oracle import asking
from pairmill.demo.pictures import picture_bytes
from pairmill.demo.texts import SHORT_PROMPT
from pairmill.demo.world import World
from tests.test_howto import Reader, crawl, here, with_small_models

pytestmark = pytest.mark.slow
__all__ = ["crawl", "here"]
ROWS = 8


@pytest.fixture(scope="module")
def oracle() -> Iterator[str]:
    with asking(rows=ROWS, wrong=0.0, invented=0.0, bad_json=0.0, refused=0.0, busy=0.0) as url:
        yield url


@pytest.fixture
def scenes(here: Path) -> pl.DataFrame:
    """Pictures that the oracle knows, and texts of others beside them."""
    world = World(ROWS, 0)
    rows = [world.row(i) for i in range(ROWS)]
    found = pl.DataFrame(
        {
            "image": [picture_bytes(world, row) for row in rows],
            "text": [f"Kalodor archive number {100 + i}, a street by the sea" for i in range(ROWS)],
            "objects": [["car", "tree"]] * ROWS,
        }
    )
    found.write_parquet(here / "in.parquet")
    return found


def follow(reader: Reader, stages: list[dict[str, Any]], said: str = "package:") -> pl.DataFrame:
    """Runs stages as they stand on a page; gives what the package holds."""
    pipeline = {
        "name": "page",
        "source": {"type": "parquet", "path": "in.parquet"},
        "stages": stages,
        "outputs": [{"type": "table", "path": "out"}],
    }
    text = with_small_models(json.dumps(pipeline))
    (reader.folder / "pipeline.yaml").write_text(text)
    assert said in reader.types("pairmill run pipeline.yaml --replace --no-report")
    return pl.read_parquet(reader.folder / "out/data/*.parquet")


def yaml(reader: Reader, number: int) -> Any:
    return YAML(typ="safe").load(reader.blocks("yaml")[number])


def test_deduplication(here: Path, crawl: pl.DataFrame) -> None:
    """Two pictures stand among the tests, two were packaged before, two stand twice."""
    reader = Reader("deduplication.md", here)
    (here / "evals/imagenet").mkdir(parents=True)
    for i in (1, 2):
        (here / f"evals/imagenet/{i}.jpg").write_bytes(crawl["image"][i])
    crawl[3:5].write_parquet(here / "in.parquet")
    kept = follow(reader, [{"stage": "image_hash"}])
    assert kept.height == 2
    (here / "packages").mkdir()
    (here / "out").rename(here / "packages/may")
    pl.concat([crawl, crawl[8:10].with_columns(uid="again" + pl.col("uid"))]).write_parquet(
        here / "in.parquet"
    )
    kept = follow(reader, yaml(reader, 0))
    assert kept.height == 24 - 4
    merged = kept.filter(pl.col("cluster_size") == 2)
    assert merged["merged_url"].list.len().to_list() == [2, 2]


def test_a_server(here: Path, scenes: pl.DataFrame, oracle: str, monkeypatch: Any) -> None:
    reader = Reader("engines.md", here)
    monkeypatch.setenv("CAPTION_SERVICE_KEY", "a-key-of-the-page")
    stages = yaml(reader, 0)["stages"]
    assert stages[0]["base_url"].startswith("http://")
    stages[0] |= {"base_url": oracle, "model": "oracle", "prompt": SHORT_PROMPT}
    found = follow(reader, stages, "in this run cost $")
    assert found["caption"].null_count() == 0
    written = [f.read_bytes() for f in here.rglob("*") if f.is_file()]
    assert not any(b"a-key-of-the-page" in content for content in written)
    own = yaml(reader, 1)["stages"]
    own[0] |= {"model": with_small_models(json.dumps(own[0]["model"])).strip('"')}
    served = {"name": "own", "source": {"type": "parquet", "path": "in.parquet"}, "stages": own}
    (here / "own.yaml").write_text(json.dumps(served))
    Pipeline.from_yaml(here / "own.yaml").plan()


def test_captions(here: Path, scenes: pl.DataFrame, oracle: str) -> None:
    """Asked by a prompt, fused by one of the library, checked; the page's file is asked at last."""
    reader = Reader("captions.md", here)
    asked = {"engine": "openai", "base_url": oracle, "model": "oracle", "concurrency": 4}
    named, written, filed = (yaml(reader, n) for n in (1, 2, 3))
    synthetic = {"stage": "caption", "name": "synthetic", **asked, "prompt": SHORT_PROMPT}
    fused = {"stage": "rewrite", "name": "fused", **asked, **named}
    checks, templates = yaml(reader, 0)
    del checks["keep"], templates["keep"]  # eight drawings have eight captions of one kind
    found = follow(reader, [synthetic, fused, checks, templates])
    assert found["fused"].null_count() == 0
    assert {"check_refusal", "check_leak", "check_hedges", "check_ungrounded"} <= {*found.columns}
    (here / "prompts").mkdir()
    (here / filed["prompt_file"]).write_text(json.dumps(written))
    ways = [
        {"stage": "caption", "name": f"way_{i}", **asked, **w}
        for i, w in enumerate((written, filed))
    ]
    first, second = (
        found[f"way_{i}_prompt_id"] for found in [follow(reader, ways)] for i in (0, 1)
    )
    assert first.to_list() == second.to_list()


def test_cluster() -> None:
    """Every command of the page is one, with options that there are; tests/test_cluster.py types
    them to a cluster.
    """
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    typed = [shlex.split(line, comments=True) for line in Reader("cluster.md", Path()).commands()]
    names = [words[1] for words in typed if words[0] == "pairmill"]
    assert names == ["submit", "submit", "list", "status", "logs", "stop"]
    for words in typed:
        if words[0] == "pairmill":
            commands[words[1]].make_context(words[1], words[2:])
