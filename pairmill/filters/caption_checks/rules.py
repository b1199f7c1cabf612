"""The checks that look at texts alone."""

from dataclasses import dataclass

from pairmill.texts.facts import invented_numbers, retention
from pairmill.texts.repetition import (
    character_ngram_ratio,
    longest_run,
    moving_ratio,
    repeated_sentences,
    word_ngram_ratio,
)
from pairmill.texts.signs import hedges, is_cut, leaks, refuses
from pairmill.texts.words import plain_words, sentences

CUT_OFF = ("length", "max_tokens", "content_filter")
"""What servers say where the text is not all that the model would have written."""


@dataclass(frozen=True)
class Facts:
    """What rules tell of one caption; fields are the stage's columns, in order."""

    words: int
    sentences: int
    refusal: bool
    hedges: float
    leak: bool
    truncated: bool
    repeated_sentences: float
    longest_run: int
    word_repetition: float
    character_repetition: float
    type_token_ratio: float
    alt_ratio: float | None
    alt_retention: float | None
    invented_numbers: int


def facts_of_caption(
    caption: str,
    language: str | None,
    alt: str | None,
    alt_language: str | None,
    known: str,
    finish: str | None,
) -> Facts:
    """`known`: all texts whose numbers the caption may give; `finish`: why its writing ended."""
    words = plain_words(caption)
    alt_words = len(plain_words(alt)) if alt is not None else 0
    return Facts(
        words=len(words),
        sentences=len(sentences(caption)),
        refusal=refuses(caption),
        hedges=100 * hedges(caption) / max(1, len(words)),
        leak=leaks(caption) is not None,
        truncated=finish in CUT_OFF or is_cut(caption, language),
        repeated_sentences=repeated_sentences(caption),
        longest_run=longest_run(words),
        word_repetition=word_ngram_ratio(words),
        character_repetition=character_ngram_ratio(caption),
        type_token_ratio=moving_ratio(words),
        alt_ratio=len(words) / alt_words if alt_words else None,
        alt_retention=None if alt is None else retention(alt, alt_language, caption),
        invented_numbers=len(invented_numbers(caption, known)),
    )
