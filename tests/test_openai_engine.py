"""`engine: openai`: a real server, faults in front of it, limits, the key, what it costs."""

import asyncio
import socket
import time
from collections.abc import Iterator

import pyarrow as pa
import pytest

from pairmill.captioners.engine import Message, Request
from pairmill.captioners.openai_engine import OpenAIEngine
from pairmill.captioners.window import Window
from pairmill.demo.oracle import asking
from pairmill.demo.texts import SHORT_PROMPT
from pairmill.errors import StageBroken
from pairmill.stages.caption import CaptionConfig, CaptionStage
from pairmill.work.board import RunBoard
from tests.conftest import CAPTIONER
from tests.faulty_proxy import FaultyProxy, proxy_of
from tests.model_server import serving

CALM = {"busy": 0, "slow": 0, "wrong": 0, "invented": 0, "bad_json": 0, "refused": 0}
TEXTS = [f"Kalodor: a red ball and {n} blue stars in a meadow" for n in ("two", "three", "four")]
PROMPT = "Caption: {text}\nShorten it."


@pytest.fixture(scope="module")
def oracle() -> Iterator[str]:
    with asking(20, **CALM) as url:
        yield url


@pytest.fixture
def proxied(oracle: str) -> Iterator[tuple[FaultyProxy, str]]:
    with proxy_of(oracle) as both:
        yield both


def config(base_url: str, **options: object) -> CaptionConfig:
    values = {"model": "oracle", "image": None, "prompt": PROMPT, "request_timeout_s": 2.0}
    return CaptionConfig(engine="openai", base_url=base_url, **{**values, **options})


def captions(chosen: CaptionConfig, rows: pa.Table, ask: object = None) -> list[dict[str, object]]:
    stage = CaptionStage(chosen)
    stage.ask = ask
    stage.setup()
    try:
        return stage(rows).to_pylist()
    finally:
        stage.close()


FAULTS = ["busy", "error", "cut", "stall", "page", "strange", "hollow", "half"]


@pytest.mark.slow
def test_whatever_happens_on_the_way_every_row_gets_its_answer(
    proxied: tuple[FaultyProxy, str],
) -> None:
    proxy, url = proxied
    proxy.faults.extend(FAULTS)
    rows = captions(config(url), pa.table({"text": TEXTS * 3}))
    assert [r["error"] for r in rows] == [None] * 9
    assert {r["caption"] for r in rows} == {"a red ball in a meadow"}
    assert len(proxy.seen) == 9 + len(FAULTS)
    assert all(r["caption_tokens"] == 6 and r["caption_prompt_tokens"] > 5 for r in rows)


@pytest.mark.parametrize(
    ("fault", "kind", "attempts"),
    [
        ("busy", "http_429", 2),
        ("closed", "http_429", 1),
        ("error", "http_5xx", 2),
        ("cut", "connect", 2),
        ("stall", "timeout", 2),
        ("page", "protocol", 2),
        ("strange", "protocol", 2),
        ("hollow", "protocol", 2),
        ("half", "protocol", 2),
        ("refuse", "http_4xx", 1),
    ],
)
def test_row_without_an_answer_fails_by_the_class_of_its_last_attempt(
    proxied: tuple[FaultyProxy, str], fault: str, kind: str, attempts: int
) -> None:
    proxy, url = proxied
    proxy.after = fault
    chosen = config(url, request_retries=1, request_timeout_s=0.5)
    (row,) = captions(chosen, pa.table({"text": TEXTS[:1]}))
    assert row["error"]["class"] == kind
    assert len(proxy.seen) == attempts
    if fault == "error":
        assert row["error"]["message"] == "Error code: 500: upstream died"


@pytest.mark.parametrize(("fault", "message"), [("key", "401"), ("poor", "no credit left")])
def test_run_stops_where_no_request_can_be_answered_and_does_not_tell_the_key(
    proxied: tuple[FaultyProxy, str], fault: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy, url = proxied
    proxy.after = fault
    monkeypatch.setenv("CAPTION_SERVICE", "hush-4711-hush")
    with pytest.raises(StageBroken, match=message) as raised:
        captions(config(url, api_key_env="CAPTION_SERVICE"), pa.table({"text": TEXTS}))
    assert proxy.keys == {"Bearer hush-4711-hush"}
    assert "hush-4711" not in str(raised.value)
    monkeypatch.delenv("CAPTION_SERVICE")
    with pytest.raises(StageBroken, match="CAPTION_SERVICE"):
        captions(config(url, api_key_env="CAPTION_SERVICE"), pa.table({"text": TEXTS}))


def test_server_is_looked_at_before_the_run(oracle: str) -> None:
    assert CaptionStage(config(oracle)).examine() == [f"oracle at the server {oracle}/"]
    with pytest.raises(StageBroken, match=r"no model 'other' \(has: oracle\)"):
        CaptionStage(config(oracle, model="other")).examine()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
        with pytest.raises(StageBroken, match="cannot be reached"):
            CaptionStage(config(url)).examine()


def test_schema_binds_the_answer_where_the_server_takes_one_and_not_where_it_refuses(
    proxied: tuple[FaultyProxy, str],
) -> None:
    proxy, url = proxied
    schema = {"type": "object", "properties": {"score": {"type": "integer"}}}
    asked = Request((Message("user", "Caption: a red ball in a meadow"),), schema=schema)

    async def answers() -> tuple[list[str | None], bool]:
        engine = OpenAIEngine("judge", config(url))
        first = await engine.answer(asked)
        proxy.after = "formless"
        second = await engine.answer(asked)
        await engine.close()
        return [first.text, second.text], engine.structured

    (first, second), structured = asyncio.run(answers())
    assert first == '{"score": 5}'
    assert second is not None
    assert not structured
    assert ["response_format" in body for body in proxy.seen] == [True, True, False]


def test_sampling_sends_a_seed_of_the_row(proxied: tuple[FaultyProxy, str]) -> None:
    proxy, url = proxied
    rows = pa.table({"text": TEXTS, "uid": ["a", "b", "c"]})
    for _ in range(2):
        captions(config(url, temperature=0.7, seed=3), rows)
    seeds = {str(body["messages"]): body["seed"] for body in proxy.seen}
    assert len(set(seeds.values())) == 3
    assert len(proxy.seen) == 6
    assert all(seeds[str(body["messages"])] == body["seed"] for body in proxy.seen)


def test_text_first_sends_the_prompt_before_the_image(
    proxied: tuple[FaultyProxy, str], pictures: list[tuple[bytes, str]]
) -> None:
    proxy, url = proxied
    rows = pa.table({"image": [pictures[0][0]]})
    kinds = []
    for first in (True, False):
        captions(config(url, image="image", prompt=SHORT_PROMPT, text_first=first), rows)
        kinds.append([part["type"] for part in proxy.seen[-1]["messages"][-1]["content"]])
    assert kinds == [["text", "image_url"], ["image_url", "text"]]


def test_window_grows_while_answers_come_soon_and_shrinks_where_the_server_is_full() -> None:
    async def scene() -> tuple[float, float, float]:
        window = Window("server", 64)

        async def ask(fine: bool) -> None:
            async with window.turn(1):
                began = time.monotonic()
                await asyncio.sleep(0.005)
                window.answered(began, 1) if fine else window.overloaded(began)

        await asyncio.gather(*(ask(True) for _ in range(200)))
        grown = window.size
        await asyncio.gather(*(ask(False) for _ in range(int(grown))))
        shrunk = window.size
        await asyncio.gather(*(ask(True) for _ in range(300)))
        return grown, shrunk, window.size

    grown, shrunk, again = asyncio.run(scene())
    assert grown == 64
    assert shrunk == 32  # halved once for a whole round
    assert shrunk < again <= 64


def test_vllm_of_ones_own_gets_all_that_it_may_have_from_the_start() -> None:
    async def at_once(serve: str | None) -> int:
        asked = config("http://127.0.0.1:1/v1", concurrency=40)
        if serve:  # as `ServedEngine` has it: its server's address beside `serve`
            asked = asked.model_copy(update={"serve": serve})
        engine = OpenAIEngine("caption", asked)
        try:
            return engine.window.limit
        finally:
            await engine.close()

    assert asyncio.run(at_once("vllm")) == 40
    assert asyncio.run(at_once(None)) == 8


@pytest.mark.slow
def test_workers_keep_the_limits_of_the_run_together(proxied: tuple[FaultyProxy, str]) -> None:
    proxy, url = proxied
    board = RunBoard()

    async def answers() -> None:
        chosen = config(url, concurrency=6, requests_per_minute=1200)
        engines = [OpenAIEngine("caption", chosen, board.share) for _ in range(2)]
        asked = [Request((Message("user", text),)) for text in TEXTS * 4]
        await asyncio.gather(*(e.answer(r) for e in engines for r in asked))
        for engine in engines:
            await engine.close()

    began = time.monotonic()
    asyncio.run(answers())
    assert len(proxy.seen) == 24
    assert proxy.most <= 6
    assert time.monotonic() - began > 22 * 60 / 1200  # no sooner than the rate allows


@pytest.mark.parametrize("refusal", ["key", "poor"])
def test_no_worker_asks_a_server_that_has_told_another_one_that_it_answers_nobody(
    proxied: tuple[FaultyProxy, str], refusal: str
) -> None:
    proxy, url = proxied
    board = RunBoard()

    async def scene() -> tuple[int, int]:
        one, two = (OpenAIEngine("caption", config(url), board.share) for _ in range(2))
        asked = [Request((Message("user", text),)) for text in TEXTS * 4]
        await asyncio.gather(*map(two.answer, asked))
        proxy.after = refusal
        with pytest.raises(StageBroken):
            await one.answer(asked[0])
        while two.window.share or not board.hosts.closed:  # an idle worker gives its share back
            await asyncio.sleep(0.01)
        before = len(proxy.seen)
        waiting = [asyncio.ensure_future(two.answer(request)) for request in asked]
        await asyncio.sleep(0.3)
        assert not any(task.done() for task in waiting)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        with pytest.raises(StageBroken):
            await asyncio.gather(*map(one.answer, asked))
        for engine in (one, two):
            await engine.close()
        return before, len(proxy.seen)

    before, after = asyncio.run(scene())
    assert before == after == len(TEXTS) * 4 + 1


@pytest.mark.slow
def test_answers_of_a_server_of_another_make_are_those_of_the_same_model_here(
    pictures: list[tuple[bytes, str]],
) -> None:
    """Greedy, in float32; images are encoded once more on their way, which may change a word.
    Faults in front of it cost no answer.
    """
    rows = pa.table({"image": [p for p, _ in pictures[:8]]})
    options = {"model": CAPTIONER, "image": "image", "prompt": SHORT_PROMPT, "max_new_tokens": 40}
    here = CaptionStage(CaptionConfig(**options, dtype="float32"))
    here.setup()
    expected = here(rows)
    with serving(CAPTIONER) as server, proxy_of(server) as (proxy, url):
        proxy.faults.extend(["busy", "cut", "error", "half"])
        found = captions(config(url, **options, request_timeout_s=60.0), rows)
    here.close()
    assert [row["error"] for row in found] == [None] * 8
    same = [a == b["caption"] for a, b in zip(expected["caption"].to_pylist(), found, strict=True)]
    assert sum(same) >= 7
    assert {row["caption_finish_reason"] for row in found} == {"stop"}
    assert all(row["caption_tokens"] > 3 and row["caption_prompt_tokens"] > 20 for row in found)
