"""`engine: openai` and a server that sends more than it was asked for: no row gets an answer that
is another's.
"""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest

from pairmill.stages.caption import CaptionConfig, CaptionStage
from tests.nasty_server import NastyServer, completion, http, nasty

ROWS = 12


@pytest.fixture
def server() -> Iterator[NastyServer]:
    with nasty() as one:
        yield one


def answers(url: str, concurrency: int = 1) -> tuple[list[dict[str, Any]], str]:
    """The rows' captions, and what the stage says of its server."""
    options = {"image": None, "prompt": "Say {text}", "concurrency": concurrency}
    stage = CaptionStage(CaptionConfig(engine="openai", base_url=url, model="m", **options))
    stage.setup()
    try:
        texts = [f"word-{i}" for i in range(ROWS)]
        return list(stage(pa.table({"text": texts, "uid": texts})).to_pylist()), stage.note
    finally:
        stage.close()


def echo(asked: str, number: int) -> bytes:
    """An answer that says what it was asked, with an id of its own."""
    word = json.loads(asked)["messages"][-1]["content"].removeprefix("Say ")
    return http(completion(word, id=f"answer-{number}"))


def check_own(rows: list[dict[str, Any]]) -> None:
    """Each row has its own answer."""
    assert [row["error"] for row in rows] == [None] * ROWS
    assert [row["caption"] for row in rows] == [f"word-{i}" for i in range(ROWS)]


OTHERS = {
    "answer": http(completion("another's answer", id="another")),
    "error": http({"error": {"message": "died"}}, "500 Oops"),
    "nonsense": b"\r\nnonsense",
}


@pytest.mark.parametrize("other", OTHERS)
def test_second_response_to_a_request_is_no_answer_to_the_next(
    server: NastyServer, other: str
) -> None:
    async def twice(one: NastyServer, writer: asyncio.StreamWriter, asked: str) -> None:
        writer.write(echo(asked, one.chats()) + OTHERS[other])

    server.how = twice
    rows, note = answers(server.url)
    check_own(rows)
    assert server.chats() == ROWS
    assert "sent more than it was asked for" in note


def test_second_response_that_comes_while_the_connection_rests_is_no_answer_to_the_next(
    server: NastyServer,
) -> None:
    async def twice(one: NastyServer, writer: asyncio.StreamWriter, asked: str) -> None:
        first, second = echo(asked, one.chats()), OTHERS["answer"]
        writer.write(first)
        await writer.drain()
        await asyncio.sleep(0.02)
        writer.write(second)

    server.how = twice
    for _ in range(3):
        stage = CaptionStage(
            CaptionConfig(
                engine="openai", base_url=server.url, model="m", image=None, prompt="Say {text}"
            )
        )
        stage.setup()
        try:
            for word in ("a", "b"):
                (row,) = stage(pa.table({"text": [word], "uid": [word]})).to_pylist()
                assert row["caption"] == word
                stage.wait_for(asyncio.sleep(0.1))
        finally:
            stage.close()


def test_answer_that_comes_again_behind_the_next_request_is_known_by_its_id(
    server: NastyServer,
) -> None:
    late: dict[asyncio.StreamWriter, bytes] = {}

    async def again(one: NastyServer, writer: asyncio.StreamWriter, asked: str) -> None:
        own = echo(asked, one.chats())
        if one.chats() == 4:
            late[writer] = own
        elif (before := late.pop(writer, None)) is not None:
            writer.write(before)
            await writer.drain()
            await asyncio.sleep(0.05)
        writer.write(own)

    server.how = again
    rows, note = answers(server.url)
    check_own(rows)
    assert server.chats() == ROWS + 1
    assert "sent more" not in note


def test_answer_to_another_request_is_known_where_a_server_names_the_request(
    server: NastyServer,
) -> None:
    asked_for: list[str] = []

    async def shifted(one: NastyServer, writer: asyncio.StreamWriter, asked: str) -> None:
        head = one.seen[-1][0]
        (mark,) = [li.split(": ")[1] for li in head.splitlines() if li.lower().startswith("x-requ")]
        asked_for.append(mark)
        word = json.loads(asked)["messages"][-1]["content"].removeprefix("Say ")
        if one.chats() == 5:  # as vLLM names its answers; this one is the fourth, told otherwise
            writer.write(http(completion("mixed up", id=f"chatcmpl-{asked_for[-2]}")))
        else:
            writer.write(http(completion(word, id=f"chatcmpl-{mark}")))

    server.how = shifted
    rows, _ = answers(server.url)
    check_own(rows)
    assert server.chats() == ROWS + 1
    assert len(set(asked_for)) == ROWS + 1


def test_cache_that_gives_an_answer_again_is_doubted_once(server: NastyServer) -> None:
    async def cached(one: NastyServer, writer: asyncio.StreamWriter, asked: str) -> None:
        marks = [head.lower().partition("x-request-id: ")[2].split()[0] for head, _ in one.seen]
        kept = marks[1] if one.chats() > 2 else marks[-1]  # the second answer, from then on
        writer.write(http(completion("same", id=f"chatcmpl-{kept}")))

    server.how = cached
    rows, _ = answers(server.url)
    assert [row["caption"] for row in rows] == ["same"] * ROWS
    assert server.chats() == ROWS + 1


@pytest.mark.parametrize(("ids", "doubts"), [(1, 0), (2, 1)])
def test_server_whose_answers_have_no_ids_of_their_own_is_doubted_once_at_most(
    server: NastyServer, ids: int, doubts: int
) -> None:
    async def same(one: NastyServer, writer: asyncio.StreamWriter, asked: str) -> None:
        writer.write(http(completion("good", id=f"chatcmpl-{one.chats() % ids}")))

    server.how = same
    rows, _ = answers(server.url)
    assert [row["caption"] for row in rows] == ["good"] * ROWS
    assert server.chats() == ROWS + doubts


def test_connection_is_kept_where_a_server_answers_as_it_should(server: NastyServer) -> None:
    writers: set[int] = set()

    async def fine(one: NastyServer, writer: asyncio.StreamWriter, asked: str) -> None:
        writers.add(writer.get_extra_info("peername")[1])
        writer.write(echo(asked, one.chats()))

    server.how = fine
    check_own(answers(server.url)[0])
    assert len(writers) == 1
