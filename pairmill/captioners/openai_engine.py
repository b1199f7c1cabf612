"""Answers by a server with OpenAI's API: vLLM, SGLang, llama.cpp, `transformers serve`, hosted
ones.
"""

import asyncio
import itertools
import random
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, NoReturn

from pairmill.captioners.bounded_http import UNREADABLE, AnswerTooLarge, LeadsElsewhere
from pairmill.captioners.completion import ErrorInside, completion
from pairmill.captioners.engine import Answer, RefusedAnswer, Request, Sampling
from pairmill.captioners.openai_client import DEFAULT_KEY, client_of, turn
from pairmill.captioners.window import Window
from pairmill.errors import RowError, StageBroken, first_line
from pairmill.schemas.hashing import row_chance
from pairmill.shares import Ask, follow

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0
IMAGE_TOKENS = 500
"""Tokens of an image, as long as no answer has told."""
CHARACTERS_PER_TOKEN = 4
OUR_FAULT = {401: "it does not take the key", 402: "it wants to be paid", 403: "it refuses"}
"""Statuses after which no request is answered, and what they mean."""
FLAGGED = ("moderation", "flagged", "content_filter", "content filter", "content policy", "safety")
"""Words of a server that refuses a request for what it says or shows, not for who asks."""
NO_QUOTA = ("insufficient_quota", "billing_hard_limit_reached")
GONE = 5
"""Requests in a row that find no model at a server which has answered, each in all its attempts:
then it is not about the rows, and the run stops.
"""


@dataclass(frozen=True)
class Failed:
    """An attempt without an answer: the class and message of the failure, whether another may
    succeed, whether the server is overloaded, and the pause it asks for.
    """

    kind: str
    message: str
    again: bool = True
    overload: bool = False
    pause_s: float = 0.0
    gone: bool = False
    """Whether the server says that it has no such model, though it has answered by it."""


class OpenAIEngine:
    """Asks one server; lives in one event loop."""

    def __init__(self, stage: str, config: Any, ask: Ask | None = None) -> None:
        self.stage, self.config, self.structured = stage, config, True
        self.sampling: Sampling = config.sampling()
        self.client = client_of(stage, config)
        self.window = Window(
            f"{stage} {self.client.base_url}",
            config.in_flight(),
            config.requests_per_minute,
            config.tokens_per_minute,
            shared=ask is not None,
            wide=config.serves_vllm(),
        )
        self.sharing = asyncio.ensure_future(follow(self.window, ask)) if ask else None
        self.encoders = ThreadPoolExecutor(2, "encode")
        self.has_answered = False
        self.without_model = 0
        """Requests since the last answer to which the server said until the end that it has none.
        """
        self.ended: str | None = None
        """Why nothing is asked any more: an answer that will be the same to every request."""

    @property
    def note(self) -> str:
        """The server, for the report."""
        more = ", which sent more than it was asked for" if self.client.http.sends_more else ""
        return f"{self.config.model} at {self.client.base_url.host}{more}"

    def neutral(self, text: str) -> str:
        """As it is: what a server does with control tokens in texts is its own affair."""
        return text

    async def close(self) -> None:
        """Gives back the share of the run's limits, and the connections."""
        if self.sharing:
            self.sharing.cancel()
            await asyncio.gather(self.sharing, return_exceptions=True)
        await self.client.close()
        self.encoders.shutdown(wait=False, cancel_futures=True)

    async def answer(self, request: Request) -> Answer:
        """Attempts until there is an answer; RowError with the class of the last failure."""
        turns = await asyncio.get_running_loop().run_in_executor(
            self.encoders, lambda: [turn(m) for m in request.messages]
        )
        for attempt in itertools.count():
            found = await self.attempt(turns, request)
            if isinstance(found, Answer):
                return found
            if not found.again or attempt >= self.config.request_retries:
                self.without_model += found.gone
                if self.without_model >= GONE:
                    self.stop(self.no_model(found.message))
                raise RowError(found.kind, found.message)
            pause = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2**attempt) * random.uniform(0.5, 1.5)
            await asyncio.sleep(max(pause, found.pause_s))
        raise AssertionError

    async def attempt(self, turns: list[dict[str, Any]], request: Request) -> Answer | Failed:
        """One request to the server, in its turn."""
        async with self.window.turn(self.expected_tokens(request)):
            if self.ended is not None:  # while this one waited
                raise StageBroken(self.ended)
            began = time.monotonic()
            try:
                found: Any = await asyncio.wait_for(
                    self.client.chat.completions.create(**self.options(turns, request)),
                    self.config.request_timeout_s,
                )
                answer = completion(found)
            except RefusedAnswer as refused:
                self.counted(began, refused)
                raise
            except RowError:
                raise
            except Exception as error:  # servers, proxies and networks raise many kinds
                try:
                    failed = self.failed(error, request)
                except StageBroken as broken:
                    self.stop(broken)
                if failed.overload:
                    self.window.overloaded(began, failed.pause_s)
                return failed
            self.counted(began, answer)
            return answer

    def stop(self, why: StageBroken) -> NoReturn:
        """Raises why nothing is asked any more, and lets whoever waits for a place know."""
        self.ended = str(why)
        self.window.end()
        raise why

    def counted(self, began: float, answer: Answer | RefusedAnswer) -> None:
        """Counts an answer to a request that began then."""
        self.has_answered, self.without_model = True, 0
        self.window.answered(began, (answer.prompt_tokens or 0) + (answer.tokens or 0))

    def expected_tokens(self, request: Request) -> int:
        """A guess at what a request takes."""
        _, characters = request.size()
        images = IMAGE_TOKENS * len(request.images())
        return images + characters // CHARACTERS_PER_TOKEN + self.sampling.max_new_tokens

    def options(self, turns: list[dict[str, Any]], request: Request) -> dict[str, Any]:
        """What the server is asked."""
        s, c = self.sampling, self.config
        limit = "max_tokens" if c.base_url else "max_completion_tokens"
        asked: dict[str, Any] = {
            "model": c.model,
            "messages": turns,
            "temperature": s.temperature,
            limit: s.max_new_tokens,
        }
        if s.temperature > 0:
            asked["seed"] = row_chance(request.key, s.seed, "caption") % 2**31
        if s.top_p < 1:
            asked["top_p"] = s.top_p
        if s.logprobs:
            asked["logprobs"] = True
        if request.schema is not None and self.structured:
            strict = request.schema.get("additionalProperties") is False
            form = {"name": "answer", "schema": dict(request.schema), "strict": strict}
            asked["response_format"] = {"type": "json_schema", "json_schema": form}
        extra = dict(c.extra_body)
        if s.chat_template_kwargs:
            extra["chat_template_kwargs"] = s.chat_template_kwargs
        return {**asked, "extra_body": extra} if extra else asked

    def failed(self, error: Exception, request: Request) -> Failed:
        """What an error means; raises StageBroken where no request can be answered."""
        import openai

        said = first_line(error)
        cause = error.__cause__ if isinstance(error, openai.APIConnectionError) else error
        if isinstance(cause, UNREADABLE):
            return self.unreadable(cause)
        if isinstance(error, (openai.APITimeoutError, asyncio.TimeoutError)):
            late = f"no answer within {self.config.request_timeout_s:g} s (request_timeout_s)"
            return Failed("timeout", late, overload=True)
        if isinstance(error, openai.APIStatusError):
            return self.refused(error, request, with_words(said, error.body))
        if isinstance(error, ErrorInside):
            return self.refused(error, request, said)
        if isinstance(error, openai.APIConnectionError):
            return Failed("connect", f"{said}: {first_line(cause or error)}", overload=True)
        return Failed("protocol", said)

    def unreadable(self, error: BaseException) -> Failed:
        """What it means that an answer was not read to its end."""
        why = first_line(error)
        if isinstance(error, AnswerTooLarge):
            return Failed("too_large", why, again=False)
        if isinstance(error, LeadsElsewhere) and not self.has_answered:
            raise StageBroken(f"stage {self.stage!r}: {self.client.base_url}: {why}")
        return Failed("protocol", why)

    def refused(self, error: Any, request: Request, said: str) -> Failed:
        """What a status means."""
        status, where = error.status_code, self.client.base_url
        if status in (400, 403, 451) and flags(error, said):
            raise RefusedAnswer(said, 0, 0)
        if status == 403 and self.has_answered:  # so the key is good
            return Failed("http_4xx", said, again=False)
        if status in OUR_FAULT:
            variable = self.config.api_key_env or DEFAULT_KEY
            raise StageBroken(
                f"stage {self.stage!r}: {where} answers {status}, {OUR_FAULT[status]} "
                f"(api_key_env: {variable}): {said}"
            )
        if status == 404 and not self.has_answered:
            raise self.no_model(said)
        if status == 429 and getattr(error, "code", None) in NO_QUOTA:
            raise StageBroken(
                f"stage {self.stage!r}: {where} says that the account has no credit left: {said}"
            )
        if status == 400 and request.schema is not None and self.structured and names_form(said):
            self.structured = False  # who asks checks the answer
            return Failed("http_4xx", said)
        if status in (408, 409, 425, 429) or status >= 500:
            pause = retry_after_s(error)
            kind = "http_429" if status == 429 else "http_5xx" if status >= 500 else "http_4xx"
            closed = pause > self.config.max_retry_after_s
            overload = status in (429, 503, 529)
            return Failed(kind, said, not closed, overload, 0.0 if closed else pause)
        if status == 404:  # a gateway whose server starts anew says so for a while
            return Failed("http_4xx", said, gone=True)
        return Failed("http_4xx", said, again=False)

    def no_model(self, said: str) -> StageBroken:
        """Why a run stops where the server has no such model."""
        return StageBroken(
            f"stage {self.stage!r}: {self.client.base_url} knows no model {self.config.model!r}, "
            f"or no chat completions (is `base_url` right, with its /v1?): {said}"
        )


def with_words(said: str, body: Any) -> str:
    """A status with the server's words where they are no JSON, which the client leaves out."""
    words = first_line(ValueError(body)) if isinstance(body, str) and body.strip() else ""
    return f"{said}: {words}" if words and words not in said else said


def flags(error: Any, said: str) -> bool:
    """Whether a refusal is about what this one request says or shows."""
    words = f"{getattr(error, 'code', None)} {said}".lower()
    return any(word in words for word in FLAGGED)


def names_form(said: str) -> bool:
    """Whether a refusal is about the form of the answer that was asked for."""
    return any(word in said.lower() for word in ("response_format", "json_schema", "schema"))


def retry_after_s(error: Any) -> float:
    """The pause that a server asks for, in seconds or up to a date; 0 where it says nothing that
    can be read.
    """
    try:
        asked = str(error.response.headers.get("retry-after", 0))
        if "GMT" not in asked:
            return max(0.0, float(asked))
        return max(0.0, parsedate_to_datetime(asked).timestamp() - time.time())
    except (ValueError, AttributeError):
        return 0.0
