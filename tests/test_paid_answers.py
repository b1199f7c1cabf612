"""What a run with `engine: openai` has paid: kept, told, and not asked for again."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from pairmill.api import Pipeline
from pairmill.errors import StageBroken
from pairmill.pipeline.run import Runner, RunOutcome
from pairmill.pipeline.watcher import Watcher
from tests.nasty_server import NastyServer, completion, http, nasty, telling


@pytest.fixture
def server() -> Iterator[NastyServer]:
    with nasty() as one:
        yield one


FILE = """
name: poor
source: {{type: pairs, path: texts.parquet}}
stages:
  - stage: caption
    engine: openai
    base_url: {url}
    model: m
    image: null
    prompt: "Say {{text}}"
    concurrency: 1
"""


def test_what_was_answered_before_the_server_wants_money_is_kept(
    server: NastyServer, tmp_path: Path
) -> None:
    pl.DataFrame({"text": [f"text {i}" for i in range(30)]}).write_parquet(
        tmp_path / "texts.parquet"
    )
    (tmp_path / "p.yaml").write_text(FILE.format(url=server.url))

    async def poor(one: NastyServer, writer: asyncio.StreamWriter, asked: str) -> None:
        no = http({"error": {"message": "pay"}}, "402 Pay")
        writer.write(no if one.chats() > 20 else http(completion()))

    server.how = poor
    with pytest.raises(StageBroken, match="wants to be paid"):
        Pipeline.from_yaml(tmp_path / "p.yaml").run(local=True, processes=0, progress=False)
    assert server.chats() == 21  # once it is known that nothing will be answered, nobody asks
    server.seen.clear()
    Pipeline.from_yaml(tmp_path / "p.yaml").run(local=True, processes=0, progress=False)
    assert server.chats() == 10


@pytest.mark.parametrize("processes", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_a_run_that_is_stopped_says_what_it_has_cost(
    server: NastyServer, tmp_path: Path, processes: int
) -> None:
    pl.DataFrame({"text": [f"text {i}" for i in range(30)]}).write_parquet(
        tmp_path / "texts.parquet"
    )
    text = FILE.format(url=server.url).replace("parquet}", "parquet, rows_per_shard: 4}")
    (tmp_path / "p.yaml").write_text(f"{text}    prices: {{prompt: 1e6, completion: 1e6}}\n")

    async def poor(one: NastyServer, writer: asyncio.StreamWriter, asked: str) -> None:
        no = http({"error": {"message": "pay"}}, "402 Pay")
        writer.write(no if one.chats() > 26 else http(completion()))

    server.how = poor
    told: list[str] = []

    class NoteWatcher(Watcher):
        def note(self, text: str) -> None:
            told.append(text)

    def run() -> RunOutcome:
        found = Pipeline.from_yaml(tmp_path / "p.yaml")
        watcher = NoteWatcher()
        return Runner(found.checked, found.text, watcher, [], local=True, processes=processes).run()

    with pytest.raises(StageBroken, match="wants to be paid"):
        run()
    stored = paid(tmp_path)
    assert 24 < stored <= 26  # one answer may have been on its way
    (line,) = [t for t in told if "in this run cost $" in t]
    assert f"{5 * stored} tokens asked and {3 * stored} answered" in line
    assert f"cost ${8 * stored:,.2f}, by the time when it stopped" in line
    server.how, asked = telling(http(completion())), server.chats()
    done = run()
    assert server.chats() - asked == 30 - stored
    assert done.stages["caption"]["tokens"] == 3 * (30 - stored)


def test_a_run_says_how_many_answers_it_took_as_they_were_meant(
    server: NastyServer, tmp_path: Path
) -> None:
    pl.DataFrame({"text": ["a", "b", "c"]}).write_parquet(tmp_path / "texts.parquet")
    keys = "    json_schema: {type: object, properties: {score: {type: integer}}}\n"
    (tmp_path / "p.yaml").write_text(FILE.format(url=server.url) + keys)
    said = ('{"score": "4"}', '{"score": 3}', '{"score": "2"}')
    server.how = telling(*(http(completion(one)) for one in said))
    result = Pipeline.from_yaml(tmp_path / "p.yaml").run(local=True, processes=0, progress=False)
    assert sorted(result.table(["caption_score"])["caption_score"]) == [2, 3, 4]
    assert server.chats() == 3
    (line,) = [note for note in result.notes if "altered" in note]
    assert "stage 'caption': 2 answers altered" in line


def paid(folder: Path) -> int:
    """Rows whose answers are stored."""
    files = folder.rglob("columns/caption-*/*.parquet")
    return sum(pl.read_parquet(file)["caption"].count() for file in files)
