"""What a model thought, told apart from what it answered."""

import re

MARKS = {
    "<think>": "</think>",
    "[THINK]": "[/THINK]",
    "◁think▷": "◁/think▷",  # Kimi
    "<seed:think>": "</seed:think>",
    "<thought>": "</thought>",  # EXAONE Deep
    "<|channel>": "<channel|>",  # Gemma 4, whose channel is called `thought`
    "<|START_THINKING|>": "<|END_THINKING|>",  # Command A
    "<|inner_prefix|>": "<|inner_suffix|>",  # Apertus
}
"""Marks that open a thought, and those that end it, of the families that think."""
OPEN, CLOSE = tuple(MARKS), tuple(MARKS.values())
CHANNEL, MESSAGE = "<|channel|>", "<|message|>"
HARMONY = ("<|start|>", "<|end|>", CHANNEL, MESSAGE)
"""Control tokens of gpt-oss, whose answers are messages, each in a channel: `analysis` is thought,
`final` is said.
"""
FINAL = "final"
WRAPPED = re.compile(
    r"<(answer|response)>(.*)</\1>|<\|begin_of_box\|>(.*)<\|end_of_box\|>", re.DOTALL
)
"""What some models put around the answer that follows a thought."""


def split_reasoning(text: str, thinking: bool) -> tuple[str | None, str | None]:
    """(reasoning, answer) of a model's text; `thinking`: the prompt ended within a thought.

    The answer is what follows the last end of a thought; None where the thought never ends.
    """
    if MESSAGE in text and (CHANNEL in text or thinking):
        return split_channels(text)
    at, mark = max((text.rfind(mark), mark) for mark in CLOSE)
    if at >= 0:
        return without_opening(text[:at]), unwrapped(text[at + len(mark) :])
    if thinking or text.lstrip().startswith((*OPEN, CHANNEL)):
        return without_opening(text), None
    return None, text.strip()


def split_channels(text: str) -> tuple[str | None, str | None]:
    """As `split_reasoning`, of messages in channels."""
    first, *more = re.split(r"<\|end\|>|<\|start\|>", text)
    thoughts = [] if CHANNEL in first else [first.strip()]  # the prompt had opened it
    answer = None
    for message in more if thoughts else [first, *more]:
        head, mark, body = message.partition(MESSAGE)
        channel = head.rpartition(CHANNEL)[2].split()
        if mark and channel[:1] == [FINAL]:
            answer = body.strip()
        elif mark:
            thoughts.append(body.strip())
    return "\n".join(filter(None, thoughts)) or None, answer


def without_opening(text: str) -> str:
    """A thought without the mark that opens it, and without blanks around it."""
    text = text.strip().removeprefix("<|channel>thought")
    for mark in OPEN:
        text = text.removeprefix(mark)
    if text.startswith(CHANNEL):
        text = text.rpartition(MESSAGE)[2]
    return text.strip()


def unwrapped(text: str) -> str:
    """An answer without the tags that stand around all of it."""
    whole = WRAPPED.fullmatch(text.strip())
    return (whole[2] or whole[3] or "").strip() if whole else text.strip()
