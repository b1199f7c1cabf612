"""`engine: openai` against a server that knew its model and says that it does not."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from pairmill.errors import StageBroken
from tests.nasty_server import NastyServer, completion, http, nasty
from tests.test_nasty_server import captions

ANSWERED = http(completion())


@pytest.fixture
def server() -> Iterator[NastyServer]:
    with nasty() as one:
        yield one


def gone(n: int, of: int, ever: int = 0) -> Any:
    """Says that there is no model to requests number `n` up to `of`; answers the others, from
    `ever` on none.
    """

    async def tell(server: NastyServer, writer: asyncio.StreamWriter, asked: str) -> None:
        number = server.chats()
        no = n <= number < of or 0 < ever <= number
        writer.write(http({"error": {"message": "no model m"}}, "404 No") if no else ANSWERED)

    return tell


def test_server_that_forgets_its_model_for_a_while_is_asked_again(server: NastyServer) -> None:
    server.how = gone(2, 4)
    rows = captions(server.url, 3, concurrency=1, request_retries=2)
    assert [row["error"] for row in rows] == [None] * 3
    assert server.chats() == 5


def test_server_that_forgets_its_model_for_some_rows_fails_them_and_for_all_stops_the_run(
    server: NastyServer,
) -> None:
    server.how = gone(2, 6)
    rows = captions(server.url, 8, concurrency=1)
    assert [row["error"] and row["error"]["class"] for row in rows].count("http_4xx") == 4
    server.seen.clear()
    server.how = gone(0, 0, ever=3)
    with pytest.raises(StageBroken, match="knows no model 'm'"):
        captions(server.url, 30, concurrency=1)
    assert server.chats() == 2 + 5
    server.seen.clear()
    server.how = gone(1, 2)
    with pytest.raises(StageBroken, match="knows no model 'm'"):
        captions(server.url, 3, concurrency=1)
    assert server.chats() == 1
