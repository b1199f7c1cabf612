"""What a server with OpenAI's API answered, as an answer, whatever servers make of the format."""

from collections.abc import Mapping
from typing import Any

from pairmill.captioners.engine import Answer, RefusedAnswer
from pairmill.captioners.reasoning import split_reasoning
from pairmill.captioners.structured import sound
from pairmill.errors import RowError

MOST_TOKENS = 2**31 - 1
"""A count beyond it is none."""
BROKEN_OFF = ("error", "abort", "aborted")
"""Reasons to finish that are the server's, not the model's: what was written by then is no answer.
"""
MOST_TOLD = 2000
"""Characters of a refusal that are kept."""


class ErrorInside(ValueError):
    """An error that a server, or a gateway for what its own server told it, sends in place of an
    answer with status 200; `status_code`: the status it names.
    """

    def __init__(self, message: str, status_code: int, code: Any) -> None:
        super().__init__(message)
        self.status_code, self.code = status_code, code


def completion(found: Any) -> Answer:
    """The answer of a chat completion; raises RefusedAnswer where the model refuses, RowError where
    it calls a tool, ErrorInside or another ValueError where it is none.
    """
    choices: Any = getattr(found, "choices", None)
    choice = first_of(choices) if isinstance(choices, list) else None
    message: Any = getattr(choice, "message", None)
    if message is None or isinstance(message, (str, Mapping)):
        error = getattr(found, "error", None)
        what = f"an error, {error!r:.200}" if error else f"no chat completion: {found!r:.100}"
        said = f"the server's answer is {what}"
        status = status_in(error)
        raise ErrorInside(said, *status) if status else ValueError(said)
    usage = getattr(found, "usage", None)
    tokens, asked = (
        count(getattr(usage, name, None)) for name in ("completion_tokens", "prompt_tokens")
    )
    if getattr(message, "refusal", None):
        raise RefusedAnswer(sound(str(message.refusal))[:MOST_TOLD], tokens, asked)
    text, reasoning = text_of(getattr(message, "content", None)), None
    for name in ("reasoning", "reasoning_content"):
        reasoning = reasoning or getattr(message, name, None)
    reason = str(getattr(choice, "finish_reason", None) or "stop")
    if reason in BROKEN_OFF:
        inner = getattr(choice, "error", None)
        said = f"the server broke its answer off (finish_reason {reason!r}): {inner!r:.200}"
        status = status_in(inner)
        raise ErrorInside(said, *status) if status else ValueError(said)
    if reason == "content_filter" and not text:
        raise RefusedAnswer("the server's content filter kept the answer back", tokens, asked)
    if text is None and getattr(message, "tool_calls", None):
        raise RowError("protocol", "the model called a tool and wrote no text")
    if text is None and reason != "length":
        raise ValueError(f"the server's answer has no content (finish_reason {reason!r})")
    if text is not None and reasoning is None:
        reasoning, text = split_reasoning(text, False)
    told = getattr(choice, "logprobs", None)
    parts = getattr(told, "content", None) if told else None
    return Answer(
        text.strip() if text else text,
        reason,
        tokens,
        sound(str(reasoning)) if reasoning is not None else None,
        asked,
        chances(parts),
    )


def status_in(error: Any) -> tuple[int, Any] | None:
    """(the status that an error names, its code); None where it names none."""
    if not isinstance(error, Mapping):
        return None
    for name in ("status", "status_code", "code"):
        number = count(error.get(name))
        if number is not None and 400 <= number < 600:
            return number, error.get("type") or error.get("code")
    return None


def first_of(choices: list[Any]) -> Any:
    """The choice of index 0, wherever it stands; the first where none says so."""
    numbered = (choice for choice in choices if getattr(choice, "index", None) == 0)
    return next(numbered, choices[0] if choices else None)


def text_of(content: Any) -> str | None:
    """The text of a message, whose content some servers give in parts; raises ValueError."""
    if isinstance(content, list) and content:
        parts = [part.get("text") for part in content if isinstance(part, Mapping)]
        texts = [part for part in parts if isinstance(part, str)]
        content = "".join(texts) if len(texts) == len(content) else content
    if content is not None and not isinstance(content, str):
        raise ValueError(f"the content of the server's answer is no text: {content!r:.100}")
    return None if content is None else sound(content)


def chances(parts: Any) -> tuple[float, ...] | None:
    """The tokens' log-probabilities; None where the server does not tell all of them."""
    found = [getattr(part, "logprob", None) for part in parts] if isinstance(parts, list) else []
    known = [float(one) for one in found if isinstance(one, (int, float))]
    return tuple(known) if known and len(known) == len(found) else None


def count(tokens: Any) -> int | None:
    """A number of tokens; None where the server tells none, or what cannot be one."""
    try:
        number = int(tokens)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if 0 <= number <= MOST_TOKENS else None
