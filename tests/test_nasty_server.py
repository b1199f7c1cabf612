"""`engine: openai` against a bad server: bounded answers, no way to another server, and every
answer that was paid is counted and kept.
"""

import asyncio
import gzip
import json
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest
from pydantic import ValidationError

from pairmill.captioners.bounded_http import most_bytes
from pairmill.errors import StageBroken
from pairmill.stages.caption import CaptionConfig, CaptionStage
from tests.nasty_server import NastyServer, completion, http, nasty, telling

REFUSED = {"message": {"refusal": "I will not"}}
SCHEMA = {
    "type": "object",
    "required": ["score"],
    "properties": {"score": {"type": "integer"}},
}


@pytest.fixture
def server() -> Iterator[NastyServer]:
    with nasty() as one:
        yield one


def config(url: str, **options: Any) -> CaptionConfig:
    values = {"model": "m", "image": None, "prompt": "Say {text}", "request_retries": 0}
    return CaptionConfig(engine="openai", base_url=url, **{**values, **options})


def captions(url: str, rows: int = 1, **options: Any) -> list[dict[str, Any]]:
    stage = CaptionStage(config(url, request_timeout_s=20.0, **options))
    stage.setup()
    try:
        uids = [f"u{i}" for i in range(rows)]
        return list(stage(pa.table({"text": uids, "uid": uids})).to_pylist())
    finally:
        stage.close()


async def endless(server: NastyServer, writer: asyncio.StreamWriter, asked: str) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"100000\r\n" + b" " * 0x100000 + b"\r\n")
        await writer.drain()


MUCH = json.dumps(completion()).encode() + b" " * (most_bytes(128) + 1)
GZIP = "Content-Encoding: gzip"


@pytest.mark.parametrize(
    "how",
    [
        endless,
        telling(http(MUCH)),
        telling(http(gzip.compress(MUCH), "200 OK", GZIP)),
        telling(http(gzip.compress(gzip.compress(MUCH)), "200 OK", GZIP, GZIP)),
        telling(http(MUCH, "500 Oops")),
    ],
    ids=["endless", "huge", "bomb", "bomb in a bomb", "error"],
)
def test_answer_without_an_end_fails_its_row_by_name_and_is_not_asked_for_again(
    server: NastyServer, how: Any
) -> None:
    server.how = how
    (row,) = captions(server.url, request_retries=3)
    assert row["error"]["class"] == "too_large"
    assert server.chats() == 1


@pytest.mark.parametrize("times", [1, 2])
def test_packed_answers_are_read_as_often_as_they_are_packed(
    server: NastyServer, times: int
) -> None:
    body = json.dumps(completion()).encode()
    for _ in range(times):
        body = gzip.compress(body)
    server.how = telling(http(body, "200 OK", *[GZIP] * times))
    assert captions(server.url)[0]["caption"] == "a red ball"


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, gzip, gzip", "gzip"])
def test_answer_that_is_packed_unasked_or_badly_fails_its_row(
    server: NastyServer, coding: str
) -> None:
    server.how = telling(http(b"nonsense", "200 OK", f"Content-Encoding: {coding}"))
    assert captions(server.url)[0]["error"]["class"] == "protocol"


@pytest.mark.parametrize("status", ["301", "302", "303", "307", "308"])
def test_no_request_follows_a_redirect_to_another_server(
    server: NastyServer, status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CAPTION_SERVICE", "hush-4711-hush")
    with nasty("127.0.0.2") as other:
        there = f"Location: http://127.0.0.2:{other.port}/v1/chat/completions"
        away = http(b"", f"{status} Away", there)
        server.how = telling(away)
        with pytest.raises(StageBroken, match=r"sends requests on to http://127\.0\.0\.2"):
            captions(server.url, api_key_env="CAPTION_SERVICE")
        server.how = telling(http(completion()), away)
        first, second = captions(server.url, rows=2, concurrency=1)
        assert (first["error"], second["error"]["class"]) == (None, "protocol")
        assert other.seen == []


def test_redirect_within_a_server_is_followed_and_a_loop_of_them_ends(server: NastyServer) -> None:
    server.how = telling(
        http(b"", "307 There", "Location: /there/chat/completions"), http(completion())
    )
    (row,) = captions(server.url)
    assert row["caption"] == "a red ball"
    assert server.seen[1][0].startswith("POST /there/chat")
    assert server.seen[0][1] == server.seen[1][1]
    server.how = telling(http(b"", "307 There", "Location: /v1/chat/completions"))
    with pytest.raises(StageBroken, match="more than 5 times"):
        captions(server.url)


def test_key_has_no_blanks_around_it_and_is_refused_where_no_header_can_hold_it(
    server: NastyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CAPTION_SERVICE", "hush-4711-hush\n")
    captions(server.url, api_key_env="CAPTION_SERVICE")
    assert "Bearer hush-4711-hush\r\n" in server.seen[0][0]
    for key in ("hush-one\nX-More: 1", "hush-schlüssel"):
        monkeypatch.setenv("CAPTION_SERVICE", key)
        with pytest.raises(StageBroken, match="CAPTION_SERVICE") as raised:
            captions(server.url, api_key_env="CAPTION_SERVICE")
        assert "hush" not in str(raised.value)
    assert server.chats() == 1


def test_another_s_server_does_not_learn_the_account_at_openai(
    server: NastyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_ORG_ID", "org-4711")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-4711")
    captions(server.url)
    assert "4711" not in server.seen[0][0]


def test_proxy_and_certificates_of_the_environment_that_cannot_be_used_are_named(
    server: NastyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere.pem")
    with pytest.raises(StageBroken, match="SSL_CERT_FILE"):
        captions(server.url)


@pytest.mark.parametrize(
    "url",
    [
        "http://",
        "http:///v1",
        "http://a b/v1",
        "http://host:99999/v1",
        "http://host:x/v1",
        "http://[::1/v1",
        "http://host:0/v1",
        "http://host/v1\n",
        "http://host/v1?api-version=1",
        "http://host/v1#x",
        "file:///v1",
    ],
)
def test_address_that_is_none_is_told_before_a_run(url: str) -> None:
    with pytest.raises(ValidationError, match="is no address"):
        config(url)


def test_the_choice_of_number_0_counts_wherever_it_stands(server: NastyServer) -> None:
    one, two = (completion(t, choice={"index": i})["choices"][0] for i, t in ((1, "b"), (0, "a")))
    server.how = telling(http(completion(choices=[one, two])))
    assert captions(server.url)[0]["caption"] == "a"


def test_a_refusal_s_tokens_are_counted_and_one_among_samples_costs_no_other(
    server: NastyServer,
) -> None:
    server.how = telling(http(completion(None, **REFUSED)))
    (row,) = captions(server.url)
    assert row["error"] == {"class": "refused", "message": "I will not"}
    assert (row["caption_tokens"], row["caption_prompt_tokens"]) == (3, 5)
    server.how = telling(http(completion("a")), http(completion(None, **REFUSED)))
    (row,) = captions(server.url, samples=2, temperature=1.0, concurrency=1)
    assert row["error"] is None
    assert row["caption"] == ["a", None]
    assert row["caption_tokens"] == 6


def test_what_was_answered_before_a_row_failed_is_counted(server: NastyServer) -> None:
    server.how = telling(http(completion("no json")), http({}, "500 Oops"))
    (row,) = captions(server.url, json_schema=SCHEMA)
    assert row["error"]["class"] == "http_5xx"
    assert (row["caption_tokens"], row["caption_prompt_tokens"]) == (3, 5)
    server.how = telling(http(completion("a")), http({}, "500 Oops"), http(completion("b")))
    (row,) = captions(server.url, samples=3, temperature=1.0, concurrency=1)
    assert row["error"]["class"] == "http_5xx"
    assert row["caption_tokens"] == 6
    server.how = telling(http({}, "500 Oops"))
    (row,) = captions(server.url)
    assert row["caption_tokens"] is None  # nothing was answered


@pytest.mark.parametrize(
    ("error", "kind", "chats"),
    [
        ({"message": "Rate limited", "code": 429}, "http_429", 2),
        ({"message": "Upstream died", "code": "502"}, "http_5xx", 2),
        ({"message": "Too long", "code": 400}, "http_4xx", 1),
        ({"message": "flagged by moderation", "code": 403}, "refused", 1),
        ({"message": "Something"}, "protocol", 2),
        ({"message": "Something", "code": 7}, "protocol", 2),
    ],
)
def test_error_in_the_place_of_an_answer_means_what_its_status_would(
    server: NastyServer, error: Any, kind: str, chats: int
) -> None:
    server.how = telling(http({"error": error}))  # as gateways send what their own servers tell
    (row,) = captions(server.url, request_retries=1)
    assert row["error"]["class"] == kind
    assert server.chats() == chats


@pytest.mark.parametrize(
    ("choice", "kind"),
    [
        ({"finish_reason": "abort"}, "protocol"),
        ({"finish_reason": "error"}, "protocol"),
        ({"finish_reason": "error", "error": {"code": 502, "message": "gone"}}, "http_5xx"),
    ],
)
def test_answer_that_the_server_broke_off_is_asked_for_again(
    server: NastyServer, choice: Any, kind: str
) -> None:
    broken = http(completion("a red", choice=choice))
    server.how = telling(broken, http(completion("a red ball")))
    (row,) = captions(server.url, request_retries=1)
    assert (row["caption"], row["error"]) == ("a red ball", None)
    server.how = telling(broken)
    (row,) = captions(server.url, request_retries=1)
    assert row["error"]["class"] == kind


@pytest.mark.parametrize(
    ("code", "words"), [(401, "does not take the key"), (402, "wants to be paid")]
)
def test_error_in_the_place_of_an_answer_stops_the_run_where_nothing_will_be_answered(
    server: NastyServer, code: int, words: str
) -> None:
    server.how = telling(http({"error": {"message": "no", "code": code}}))
    with pytest.raises(StageBroken, match=words):
        captions(server.url, rows=20, request_retries=5, concurrency=1)
    assert server.chats() == 1


def test_counts_of_tokens_that_are_nonsense_are_unknown(server: NastyServer) -> None:
    usage = {"prompt_tokens": 2**31 - 1, "completion_tokens": 2**31 - 1}
    server.how = telling(http(completion(usage=usage)))
    (row,) = captions(server.url, samples=3, temperature=1.0)
    assert (row["error"], row["caption_tokens"]) == (None, None)
