"""What an engine that answers prompts is, whatever runs the model."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol


@dataclass(frozen=True)
class Message:
    """One turn: RGB images, then text."""

    role: Literal["system", "user", "assistant"]
    text: str
    images: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Request:
    """Turns to be answered; `key` seeds the row's own chance where the engine samples."""

    messages: tuple[Message, ...]
    key: str = ""

    def images(self) -> list[Any]:
        return [image for message in self.messages for image in message.images]


@dataclass(frozen=True)
class Answer:
    """`finish_reason` is `stop`, or `length` where the token limit cut the text off; `tokens`
    counts generated ones.

    `reasoning` is what the model thought before it answered, None where it did not; `text` is None
    where the limit cut it off while it thought.
    """

    text: str | None
    finish_reason: str
    tokens: int
    reasoning: str | None = None


@dataclass(frozen=True)
class Sampling:
    """How tokens are chosen: greedy at temperature 0."""

    max_new_tokens: int = 128
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    chat_template_kwargs: dict[str, Any] = field(default_factory=dict)


class Captioner(Protocol):
    """Answers requests in batches."""

    @property
    def note(self) -> str:
        """Where and how precisely the model runs, for the report."""

    def neutral(self, text: str) -> str:
        """A column's text as it may stand in a prompt: no control token of the model is left in it
        that the engine would not treat as plain text by itself.
        """

    def begin(self, requests: Sequence[Request]) -> Any:
        """What can be done without the model, in a thread, while it answers others."""

    def answer(self, begun: Any) -> list[Answer]:
        """One answer a request, in order; raises what the model raises."""
