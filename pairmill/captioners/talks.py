"""Conversations with a model, one for each row, whatever answers them.

A talk is a generator: it yields the requests of one round and is sent their answers; what it
returns is the row's result.  It neither waits nor knows an engine, so the same talk is held in
batches with others or by itself in an event loop.
"""

import asyncio
from collections.abc import Awaitable, Callable, Generator, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from pairmill.captioners.completion import MOST_TOKENS
from pairmill.captioners.engine import Answer, Message, RefusedAnswer, Request
from pairmill.captioners.structured import BadAnswer, instruction, read_answer
from pairmill.errors import RowError

Answers = list[Answer | RefusedAnswer]
Talk = Generator[list[Request], Answers, dict[str, Any]]
REPAIR = (
    "Your answer cannot be used: {fault}. Answer again, with one JSON object alone that fits the "
    "schema."
)


class BrokenOff(RowError):
    """A talk that failed after answers had been paid: what these took."""

    def __init__(
        self, kind: str, message: str, tokens: int | None, prompt_tokens: int | None
    ) -> None:
        super().__init__(kind, message)
        self.tokens, self.prompt_tokens = tokens, prompt_tokens

    def __reduce__(self) -> Any:
        return type(self), (self.kind, str(self), self.tokens, self.prompt_tokens)


@dataclass
class TakenAnswer:
    """A model's answer as it was taken: with the values of its JSON, and all that it took."""

    text: str | None
    finish_reason: str | None
    tokens: int | None
    prompt_tokens: int | None = None
    reasoning: str | None = None
    values: dict[str, Any] = field(default_factory=dict)
    repaired: bool = False
    altered: bool = False
    """Whether values of its JSON are not as it spells them, but as they are meant."""
    fault: str | None = None
    """Why the answer is of no use."""
    refused: bool = False
    logprob: float | None = None
    """Mean of its tokens' log-probabilities."""

    def add(self, before: "TakenAnswer") -> None:
        """Counts the tokens of an answer before this one, too."""
        self.tokens = sum_known([self.tokens, before.tokens])
        self.prompt_tokens = sum_known([self.prompt_tokens, before.prompt_tokens])


def told_in(
    requests: list[Request], schema: dict[str, Any] | None
) -> Generator[list[Request], Answers, list[TakenAnswer]]:
    """Asks, and reads the answers; those that do not fit the schema are asked for once more.

    An answer that still does not fit has a `fault`.
    """
    answers = yield [with_schema(r, schema) for r in requests] if schema else requests
    found = [read(answer, schema) for answer in answers]
    wrong = [i for i, one in enumerate(found) if one.fault and one.text is not None]
    if not schema or not wrong:
        return found
    again = [repair(with_schema(requests[i], schema), found[i]) for i in wrong]
    answers = yield again
    for i, answer in zip(wrong, answers, strict=True):
        second = read(answer, schema)
        second.add(found[i])
        second.repaired = True
        found[i] = second
    return found


def with_schema(request: Request, schema: dict[str, Any]) -> Request:
    """The request, its last turn saying what the answer has to fit."""
    *before, last = request.messages
    text = f"{last.text}\n{instruction(schema)}"
    return Request((*before, replace(last, text=text)), request.key, schema)


def repair(request: Request, answer: TakenAnswer) -> Request:
    """Asks for an answer once more, with the one that was wrong and what is wrong with it."""
    turns = (
        Message("assistant", answer.text or ""),
        Message("user", REPAIR.format(fault=answer.fault)),
    )
    return Request((*request.messages, *turns), f"{request.key}!", request.schema)


def read(answer: Answer | RefusedAnswer, schema: dict[str, Any] | None) -> TakenAnswer:
    """An answer with the values of its JSON, or what is wrong with it."""
    if isinstance(answer, RefusedAnswer):
        refused = TakenAnswer(None, None, answer.tokens, answer.prompt_tokens)
        refused.fault, refused.refused = str(answer), True
        return refused
    told = TakenAnswer(
        answer.text, answer.finish_reason, answer.tokens, answer.prompt_tokens, answer.reasoning
    )
    if answer.logprobs:
        told.logprob = sum(answer.logprobs) / len(answer.logprobs)
    if answer.text is None:
        told.fault = "the token limit cut the model off while it thought; raise max_new_tokens"
    elif schema is not None:
        try:
            told.values, told.altered = read_answer(answer.text, schema)
        except BadAnswer as error:
            cut = " (the token limit cut it off)" if answer.finish_reason == "length" else ""
            told.fault = f"{error}{cut}"
    return told


async def hold(talk: Talk, answer: Callable[[Request], Awaitable[Answer]]) -> dict[str, Any]:
    """The result of a talk; requests of one round are asked at the same time.

    A request's failure is the talk's (the first one's, where several fail), but for a refusal
    beside answers, which the talk is sent.  Raises BrokenOff where something had been answered.
    """
    taken: list[Answer | RefusedAnswer] = []
    try:
        requests = next(talk)
        while True:
            answers = await asyncio.gather(*map(answer, requests), return_exceptions=True)
            taken += [one for one in answers if isinstance(one, (Answer, RefusedAnswer))]
            failures = [one for one in answers if isinstance(one, BaseException)]
            others = [one for one in failures if not isinstance(one, RefusedAnswer)]
            if others or len(failures) == len(answers):
                raise (others or failures)[0]
            requests = talk.send(answers)  # type: ignore[arg-type]
    except StopIteration as end:
        return dict(end.value)
    except RowError as error:
        taken = [one for one in taken if (one.tokens, one.prompt_tokens) != (0, 0)]
        if not taken:
            raise
        tokens, asked = (
            sum_known(getattr(one, name) for one in taken) for name in ("tokens", "prompt_tokens")
        )
        raise BrokenOff(error.kind, str(error), tokens, asked) from error


def sum_known(numbers: Iterable[int | None]) -> int | None:
    """Their sum; None where one is not known, or the sum is no count (a server told nonsense)."""
    every = list(numbers)
    total = sum(n for n in every if n is not None)
    return None if None in every or total > MOST_TOKENS else total
