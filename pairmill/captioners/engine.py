"""What an engine that answers prompts is, whatever runs the model.

A stage asks an `Engine` request by request, many at a time, in its event loop; `open_engine`
(captioners/opening.py) makes the one that `engine:` names.  A new kind of engine is a class with
the four members of `Engine`, a name in `EngineConfig.engine`, and a line in opening.py.  An engine
that answers in batches is a `BatchEngine`, and `Batched` (captioners/batches.py) asks it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from pairmill.errors import RowError


@dataclass(frozen=True)
class Message:
    """One turn: RGB images and text.  Turns of the assistant before the last of the user show how
    to answer.
    """

    role: Literal["system", "user", "assistant"]
    text: str
    images: tuple[Any, ...] = ()
    text_first: bool = False
    """Whether the text stands before the images."""

    def parts(self, images: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The turn's content in order, `images` as who answers takes them."""
        text = {"type": "text", "text": self.text}
        return [text, *images] if self.text_first else [*images, text]


@dataclass(frozen=True)
class Request:
    """Turns to be answered; `key` seeds the row's own chance where the engine samples; `schema`: a
    JSON schema that the answer should fit.
    """

    messages: tuple[Message, ...]
    key: str = ""
    schema: Mapping[str, Any] | None = None

    def images(self) -> list[Any]:
        """All images, in order."""
        return [image for message in self.messages for image in message.images]

    def size(self) -> tuple[int, int]:
        """(pixels, characters): what an answer costs, roughly."""
        pixels = sum(image.width * image.height for image in self.images())
        return pixels, sum(len(message.text) for message in self.messages)


@dataclass(frozen=True)
class Answer:
    """`finish_reason` is `stop`, or `length` where the token limit cut the text off; `tokens`
    counts generated ones, `prompt_tokens` those of the request (each None where the engine does
    not say).

    `reasoning` is what the model thought before it answered, None where it did not; `text` is None
    where the limit cut it off while it thought.  `logprobs`: natural logarithm of each generated
    token's probability, where they were asked for.
    """

    text: str | None
    finish_reason: str
    tokens: int | None
    reasoning: str | None = None
    prompt_tokens: int | None = None
    logprobs: tuple[float, ...] | None = None


class RefusedAnswer(RowError):
    """The model, or a filter of its server, keeps the answer back; `tokens` and `prompt_tokens` as
    an Answer's, since refusals are paid, too.
    """

    def __init__(
        self, message: str, tokens: int | None = None, prompt_tokens: int | None = None
    ) -> None:
        super().__init__("refused", message)
        self.tokens, self.prompt_tokens = tokens, prompt_tokens

    def __reduce__(self) -> Any:
        return type(self), (str(self), self.tokens, self.prompt_tokens)


@dataclass(frozen=True)
class Sampling:
    """How tokens are chosen: greedy at temperature 0."""

    max_new_tokens: int = 128
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    chat_template_kwargs: dict[str, Any] = field(default_factory=dict)
    logprobs: bool = False


class Engine(Protocol):
    """Answers requests, each by itself."""

    structured: bool
    """Whether an answer is bound to a request's `schema` while it is made; else who asks reads the
    answer and checks it.
    """

    @property
    def note(self) -> str:
        """Where and how precisely the model runs, for the report."""

    def neutral(self, text: str) -> str:
        """A column's text as it may stand in a prompt: no control token of the model is left in it
        that the engine would not treat as plain text by itself.
        """

    async def answer(self, request: Request) -> Answer:
        """Raises RowError for a failure of the request's own, and PairmillError where no request
        can be answered.
        """

    async def close(self) -> None:
        """Gives back what the engine took."""


class BatchEngine(Protocol):
    """Answers requests in batches."""

    streams: int
    """Batches that `answer` takes at a time, in as many threads."""

    @property
    def note(self) -> str:
        """As an Engine's."""

    def neutral(self, text: str) -> str:
        """As an Engine's."""

    def begin(self, requests: Sequence[Request]) -> Any:
        """What can be done without the model, in a thread, while it answers others."""

    def answer(self, begun: Any) -> "list[Answer | RowError]":
        """One answer a request, in order, or why it has none; raises what the model raises."""
