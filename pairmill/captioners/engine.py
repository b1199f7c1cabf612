"""What a captioning engine is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class Request:
    """One prompt, with an RGB image or without; `key` seeds the row's own chance where the engine
    samples.
    """

    prompt: str
    image: Any | None
    key: str


@dataclass(frozen=True)
class Answer:
    """`finish_reason` is `stop`, or `length` where the token limit cut the text off; `tokens`
    counts generated ones.
    """

    text: str
    finish_reason: str
    tokens: int


class Captioner(Protocol):
    """Answers prompts in batches."""

    def generate(self, requests: Sequence[Request]) -> list[Answer]:
        """One answer a request, in order; raises what the model raises."""
