"""Answers read out of generated tokens, whichever engine in the worker generated them."""

from collections.abc import Collection
from typing import Any

from pairmill.captioners.engine import Answer
from pairmill.captioners.reasoning import CLOSE, HARMONY, OPEN, split_reasoning


class TokenAnswers:
    """Reads answers with a tokenizer; `stop_ids` are the tokens that end one."""

    def __init__(self, tokenizer: Any, stop_ids: Collection[int]) -> None:
        self.tokenizer, self.stop_ids = tokenizer, frozenset(stop_ids)
        added = {token.content: i for i, token in tokenizer.added_tokens_decoder.items()}
        channels = HARMONY if all(mark in added for mark in HARMONY) else ()
        marks = (*OPEN, *CLOSE, *channels)
        self.marks = {added[mark]: mark for mark in marks if mark in added}

    def answer(self, ids: list[int], thinking: bool) -> Answer:
        """The answer in new token ids, cut at the first that ends one, else ended by `length`;
        `thinking`: the prompt ended within a thought.
        """
        end = next((i for i, token in enumerate(ids) if token in self.stop_ids), None)
        kept = ids if end is None else ids[:end]
        reasoning, text = split_reasoning(self.decoded(kept), thinking)
        return Answer(text, "length" if end is None else "stop", len(kept), reasoning)

    def decoded(self, ids: list[int]) -> str:
        """Text without special tokens, but with the marks of a thought."""
        parts: list[str] = []
        first = 0
        for at, token in enumerate(ids):
            if token in self.marks:
                parts += [self.plain(ids[first:at]), self.marks[token]]
                first = at + 1
        return "".join([*parts, self.plain(ids[first:])])

    def plain(self, ids: list[int]) -> str:
        """Text of token ids, special tokens left out."""
        return str(self.tokenizer.decode(ids, skip_special_tokens=True)) if ids else ""


def ending_tokens(given: Any, tokenizer: Any) -> set[int]:
    """The tokens that end an answer: those of a generation config, else the tokenizer's."""
    stop = getattr(given, "eos_token_id", None)
    stop = tokenizer.eos_token_id if stop is None else stop
    return set(stop) if isinstance(stop, list) else {stop} - {None}
