"""Conversations with a model, one for each row, whatever answers them.

A talk is a generator: it yields the requests of one round and is sent their answers; what it
returns is the row's result.  It neither waits nor knows an engine, so the same talk is held in
batches with others or by itself in an event loop.
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

from pairmill.captioners.engine import Answer, Message, Request
from pairmill.captioners.structured import BadAnswer, instruction, parsed
from pairmill.errors import RowError

Talk = Generator[list[Request], list[Answer], dict[str, Any]]
Ask = Callable[[list[Request]], list[Answer]]
Result = dict[str, Any] | RowError
REPAIR = (
    "Your answer cannot be used: {fault}. Answer again, with one JSON object alone that fits the "
    "schema."
)


@dataclass
class Told:
    """A model's answer as it was taken: with the values of its JSON, and all that it took."""

    text: str | None
    finish_reason: str
    tokens: int
    reasoning: str | None = None
    values: dict[str, Any] = field(default_factory=dict)
    repaired: bool = False
    fault: str | None = None
    """Why the answer is of no use."""


def told_in(
    requests: list[Request], schema: dict[str, Any] | None
) -> Generator[list[Request], list[Answer], list[Told]]:
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
        second.tokens += found[i].tokens
        second.repaired = True
        found[i] = second
    return found


def with_schema(request: Request, schema: dict[str, Any]) -> Request:
    """The request, its last turn saying what the answer has to fit."""
    *before, last = request.messages
    text = f"{last.text}\n{instruction(schema)}"
    return Request((*before, Message(last.role, text, last.images)), request.key)


def repair(request: Request, answer: Told) -> Request:
    """Asks for an answer once more, with the one that was wrong and what is wrong with it."""
    turns = (
        Message("assistant", answer.text or ""),
        Message("user", REPAIR.format(fault=answer.fault)),
    )
    return Request((*request.messages, *turns), f"{request.key}!")


def read(answer: Answer, schema: dict[str, Any] | None) -> Told:
    """An answer with the values of its JSON, or what is wrong with it."""
    told = Told(answer.text, answer.finish_reason, answer.tokens, answer.reasoning)
    if answer.text is None:
        told.fault = "the token limit cut the model off while it thought; raise max_new_tokens"
    elif schema is not None:
        try:
            told.values = parsed(answer.text, schema)
        except BadAnswer as error:
            cut = " (the token limit cut it off)" if answer.finish_reason == "length" else ""
            told.fault = f"{error}{cut}"
    return told


class Round:
    """Talks that go on together: their requests of one round, flat, and where answers belong."""

    def __init__(self, talks: Sequence[Talk | RowError]) -> None:
        self.talks = list(talks)
        self.results: list[Result | None] = [None] * len(self.talks)
        self.open: list[tuple[int, list[Request]]] = []
        for i, talk in enumerate(self.talks):
            if isinstance(talk, RowError):
                self.results[i] = talk
            else:
                self.go_on(i, None)

    def requests(self) -> list[Request]:
        """What the engine is asked now; empty where every talk has ended."""
        return [request for _, own in self.open for request in own]

    def take(self, answers: Sequence[Answer]) -> None:
        """Sends each talk its answers."""
        waiting, self.open = self.open, []
        first = 0
        for i, own in waiting:
            self.go_on(i, list(answers[first : first + len(own)]))
            first += len(own)

    def go_on(self, i: int, answers: list[Answer] | None) -> None:
        talk = self.talks[i]
        assert not isinstance(talk, RowError), "a row that failed has no talk"
        try:
            requests = next(talk) if answers is None else talk.send(answers)
        except StopIteration as end:
            self.results[i] = end.value
        except RowError as error:
            self.results[i] = error
        else:
            self.open.append((i, requests))


def held(talks: Sequence[Talk | RowError], ask: Ask) -> list[Result]:
    """The result of each talk, all rounds of all of them held together."""
    going = Round(talks)
    while requests := going.requests():
        going.take(ask(requests))
    assert all(result is not None for result in going.results), "every talk has ended"
    return [result for result in going.results if result is not None]
