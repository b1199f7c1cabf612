"""The demo's oracle, a process of its own: a server with OpenAI's API that answers captions,
rewrites, translations and verdicts from the truth of the demo's world, with seeded errors.

    python -m pairmill.demo.oracle --rows 1000 --seed 0 [--port 0] [--wrong 0.2] …

It is no model, and its figures are none of a model: it tests what stands around models.  Prints
`base_url: http://…`, as a pipeline file wants it, then serves until it is stopped or its parent is
gone.
"""

import argparse
import asyncio
import contextlib
import hashlib
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from aiohttp import web

from pairmill.demo.oracle_answers import Oracle, Question, Rates
from pairmill.demo.oracle_reading import Pictures, image_of
from pairmill.demo.scenes import rng_for
from pairmill.demo.server import serve_until_orphaned
from pairmill.demo.traits import Traits, add_arguments, traits_of
from pairmill.demo.world import World
from pairmill.images import DecodeError

NAME = "oracle"
"""The model's name at the server."""
MOST_BYTES = 2**26
IMAGE_TOKENS = 64
SAID = "base_url: "
SCHEMA_IN_TEXT = "fits this schema: "


@dataclass(frozen=True)
class Manners:
    """How the server behaves, whatever it answers."""

    busy: float = 0.05
    """Share of requests that are told to come again (429), the first time they are asked."""
    failing: float = 0.0
    """Share of requests that fail (500), the first time they are asked."""
    slow: float = 0.02
    """Share of requests that take `slow_s`."""
    slow_s: float = 2.0
    answer_s: float = 0.0
    """Seconds that each answer takes."""
    places: int = 0
    """Requests at a time; whoever comes beside them gets 429.  0: as many as come."""


class OracleServer:
    """Answers `/v1/models` and `/v1/chat/completions`."""

    def __init__(self, world: World, rates: Rates, manners: Manners, log: Path | None) -> None:
        self.pictures, self.oracle = Pictures(world), Oracle(world.seed, rates)
        self.manners, self.log = manners, log
        self.asked: Counter[str] = Counter()
        self.active = 0

    async def models(self, request: web.Request) -> web.Response:
        """The only one."""
        return web.json_response({"object": "list", "data": [{"id": NAME, "object": "model"}]})

    async def chat(self, request: web.Request) -> web.Response:
        """A chat completion, or what the manners say."""
        body = await request.json()
        key = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
        self.asked[key] += 1
        rng, first = rng_for("manners", self.oracle.seed, key), self.asked[key] == 1
        full = bool(self.manners.places) and self.active >= self.manners.places
        if full or (rng.random() < self.manners.busy and first):
            return refusal(429, "the oracle is busy", {"Retry-After": "0.1"})
        if rng.random() < self.manners.failing and first:
            return refusal(500, "the oracle is not well", {})
        self.active += 1
        try:
            slow = self.manners.slow_s if rng.random() < self.manners.slow else 0.0
            await asyncio.sleep(self.manners.answer_s + slow)
            answered = await asyncio.get_running_loop().run_in_executor(None, self.answer, body)
        except (DecodeError, KeyError, TypeError, ValueError) as error:
            return refusal(400, f"no chat completion is asked for: {error!r}", {})
        finally:
            self.active -= 1
        if self.log is not None:
            with self.log.open("a") as stream:
                stream.write(f"{key}\n")
        return web.json_response(answered)

    def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        """The completion of a request."""
        question, images = self.question(body)
        words = self.oracle.answer(question).split(" ")
        most = body.get("max_completion_tokens") or body.get("max_tokens") or len(words)
        message = {"role": "assistant", "content": " ".join(words[:most])}
        reason = "stop" if len(words) <= most else "length"
        said = sum(len(str(m.get("content"))) for m in body["messages"] if not images)
        asked = IMAGE_TOKENS * images + (said or len(question.text)) // 4
        usage = {"prompt_tokens": asked, "completion_tokens": min(most, len(words))}
        return {
            "id": f"oracle-{time.time_ns()}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": NAME,
            "choices": [{"index": 0, "message": message, "finish_reason": reason}],
            "usage": {**usage, "total_tokens": sum(usage.values())},
        }

    def question(self, body: dict[str, Any]) -> tuple[Question, int]:
        """What a request asks, and the number of its images."""
        texts: dict[str, list[str]] = {"system": [], "user": [], "assistant": []}
        pictures = []
        for message in body["messages"]:
            content = message["content"]
            parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
            for part in parts:
                if part["type"] == "text":
                    texts[message["role"]].append(part["text"])
                elif (image := image_of(part)) is not None:
                    pictures.append(self.pictures.scene_of(image))
        schema = None
        form = body.get("response_format") or {}
        if form.get("type") == "json_schema":
            schema = form["json_schema"]["schema"]
        for turn in (*texts["system"], *texts["user"]):
            if schema is None and SCHEMA_IN_TEXT in turn:
                told = turn.partition(SCHEMA_IN_TEXT)[2]
                schema = json.JSONDecoder().raw_decode(told)[0]
        system, turns = "\n".join(texts["system"]), len(body["messages"])
        seed = int(body.get("seed") or 0)
        asked = first_prompt(texts["user"])
        return Question(asked, system, tuple(pictures), schema, seed, turns), len(pictures)


def first_prompt(users: list[str]) -> str:
    """What is asked: the last turn of the user, or, where that only says what was wrong with an
    answer, the one before.
    """
    return users[-1] if len(users) == 1 or "schema" not in users[-1] else users[-2]


def refusal(status: int, message: str, headers: dict[str, str]) -> web.Response:
    """An error as the API tells it."""
    body = {"error": {"message": message, "type": "oracle", "code": None}}
    return web.json_response(body, status=status, headers=headers)


def application(
    world: World,
    rates: Rates | None = None,
    manners: Manners | None = None,
    log: Path | None = None,
) -> web.Application:
    """The oracle of a world; `log` gets a line for each answer."""
    server = OracleServer(world, rates or Rates(), manners or Manners(), log)
    app = web.Application(client_max_size=MOST_BYTES)
    app.router.add_get("/v1/models", server.models)
    app.router.add_post("/v1/chat/completions", server.chat)
    return app


@contextlib.contextmanager
def asking(
    rows: int,
    seed: int = 0,
    log: Path | None = None,
    traits: Traits | None = None,
    **errors: float,
) -> Iterator[str]:
    """Starts an oracle of a world on a free port; gives its `base_url`.  `errors`: fields of Rates
    and Manners.
    """
    command = [
        sys.executable,
        "-m",
        "pairmill.demo.oracle",
        "--rows",
        str(rows),
        "--seed",
        str(seed),
        *(traits or Traits()).arguments(),
    ]
    command += [] if log is None else ["--log", str(log)]
    command += [f"--{name.replace('_', '-')}={value}" for name, value in errors.items()]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        try:
            told = child.stdout.readline()
            if not told.startswith(SAID):
                raise RuntimeError("the oracle did not start; its reason stands above")
            yield told.removeprefix(SAID).strip()
        finally:
            child.terminate()


def main() -> None:
    """Serves an oracle until it is ended."""
    parser = argparse.ArgumentParser(
        description="The demo's oracle: no model, but the truth with errors."
    )
    parser.add_argument("--rows", type=int, default=1000, help="of the world whose truth it knows")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--log", type=Path, help="file that gets a line for each answer")
    add_arguments(parser)
    kinds = [*fields(Rates), *fields(Manners)]
    for one in kinds:
        name = f"--{one.name.replace('_', '-')}"
        parser.add_argument(name, type=type(one.default), default=one.default)
    args = parser.parse_args()
    rates = Rates(**{f.name: getattr(args, f.name) for f in fields(Rates)})
    manners = Manners(**{f.name: getattr(args, f.name) for f in fields(Manners)})
    world = World(args.rows, args.seed, **asdict(traits_of(args)))
    app = application(world, rates, manners, args.log)
    with contextlib.suppress(KeyboardInterrupt):
        line = f"{SAID}http://127.0.0.1:{{port}}/v1"
        asyncio.run(serve_until_orphaned(app, args.port, line))


if __name__ == "__main__":
    main()
