"""A run that is stopped stores what it was answered before its workers end: it may be paid."""

import asyncio
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pairmill.api import Pipeline
from pairmill.errors import StageBroken
from pairmill.work.loaded import LoadedStage, halt_all
from pairmill.workspace.written_before import remembered_as
from tests.nasty_server import NastyServer, completion, http, nasty, telling

ANSWERED = 20
FILE = """
name: halted
source: {{type: pairs, path: texts.parquet, rows_per_shard: {rows}}}
stages:
  - stage: caption
    engine: openai
    base_url: {url}
    model: m
    image: null
    prompt: "Say {{text}}"
    concurrency: 8
    resources: {{replicas: {workers}}}
"""


@pytest.fixture
def server() -> Iterator[NastyServer]:
    with nasty() as one:
        yield one


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_ctrl_c_keeps_what_was_answered_just_before(
    server: NastyServer, tmp_path: Path, workers: int
) -> None:
    """In this process, and in two others."""
    processes = workers if workers > 1 else 0
    stops_and_goes_on(server, tmp_path, workers, local=True, processes=processes)


@pytest.mark.slow
def test_ctrl_c_keeps_what_actors_were_answered(
    server: NastyServer, tmp_path: Path, shared_ray: None
) -> None:
    stops_and_goes_on(server, tmp_path, 2, local=False)


def stops_and_goes_on(server: NastyServer, tmp_path: Path, workers: int, **how: Any) -> None:
    """The server answers some requests at once and no others; answers are stored every 2 s."""
    pl.DataFrame({"text": [f"text {i}" for i in range(40)]}).write_parquet(
        tmp_path / "texts.parquet"
    )
    text = FILE.format(url=server.url, rows=40 // workers, workers=workers)
    (tmp_path / "p.yaml").write_text(text)

    async def stalls(one: NastyServer, writer: asyncio.StreamWriter, asked: str) -> None:
        if (number := one.chats()) <= ANSWERED:
            writer.write(http(completion()))
            return
        if number == ANSWERED + 1:
            await asyncio.sleep(0.5)
            os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(60)

    server.how = stalls
    with pytest.raises(KeyboardInterrupt):
        Pipeline.from_yaml(tmp_path / "p.yaml").run(**how, progress=False)
    files = tmp_path.rglob("columns/caption-*/*.parquet")
    assert sum(pl.read_parquet(file)["caption"].count() for file in files) == ANSWERED
    server.how, asked = telling(http(completion())), server.chats()
    Pipeline.from_yaml(tmp_path / "p.yaml").run(**how, progress=False)
    assert server.chats() - asked == 40 - ANSWERED


def test_every_stage_is_told_before_any_is_waited_for() -> None:
    """One that takes long to store its answers takes no time from the next."""
    slow, quick = LoadedStage(), LoadedStage()
    with slow.stores():
        halting = threading.Thread(target=halt_all, args=[[slow, quick]])
        halting.start()
        while not quick.halted:
            assert halting.is_alive()
        assert halting.is_alive()
    halting.join()
    with pytest.raises(StageBroken, match="the run ended"):
        quick.check_halted()


def test_a_package_is_remembered_by_whatever_link_leads_there(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    names = {remembered_as(str(tmp_path / way / "old")) for way in ("real", "link")}
    assert len(names) == 1
    assert remembered_as("s3://bucket/old") not in names
