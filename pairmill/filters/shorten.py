"""A long caption cut to the length of the alt text (MLLMs-Augmented's text shearing)."""

import re
from bisect import bisect_left
from typing import Annotated, Literal

import pyarrow as pa
from pydantic import Field, model_validator

from pairmill.schemas.arrow import column
from pairmill.schemas.config import SPEED, StageConfig
from pairmill.stages.base import Stage
from pairmill.texts.words import UNSPACED, sentences

TOKEN = re.compile(rf"{UNSPACED.pattern}|\S")
TAIL = " \t\n,;:、，；：-–—([{"
"""What is left out where a text is cut after a word."""


class ShortenConfig(StageConfig):
    """Cuts a caption to as many words as the alt text has, so that a captioner's length is not what
    a model learns.
    """

    stage: Annotated[Literal["shorten"], SPEED] = "shorten"
    caption: str
    """Column with captions."""
    to: str | None = "text"
    """Column with texts whose number of words is the limit; where it is null, or has no word, the
    row is cut by `words` alone.
    """
    words: int | None = Field(None, ge=1)
    """Most words, whatever `to` says."""
    at: Literal["sentence", "word"] = "sentence"
    """Where it is cut: behind the last sentence that fits (behind a word where not even the first
    does), or behind just so many words.
    """

    @model_validator(mode="after")
    def _limited(self) -> "ShortenConfig":
        if self.to is None and self.words is None:
            raise ValueError("shorten to what? name a column in `to:` or a number in `words:`")
        return self


class ShortenStage(Stage):
    """The caption's beginning; characters of unspaced scripts count as words."""

    Config = ShortenConfig
    prefix = "short"
    version = 3
    cpus = 0.5

    def reads(self) -> list[str]:
        c = self.config
        return list(dict.fromkeys([c.caption, *([c.to] if c.to else [])]))

    def may_lack(self) -> list[str]:
        return [name for name in self.reads() if name != self.config.caption]

    def writes(self) -> pa.Schema:
        name, of = self.column(), self.config.caption
        where = "where it was cut: no, sentence, word"
        return pa.schema(
            [
                column(name, pa.string(), f"{of}, no longer than it may be", role="caption"),
                column(self.column("cut"), pa.string(), where, of=name),
            ]
        )

    def __call__(self, rows: pa.Table) -> pa.Table:
        c = self.config
        captions = rows.column(c.caption).to_pylist()
        models = rows.column(c.to).to_pylist() if c.to else [None] * len(captions)
        found = [self.cut(*pair) for pair in zip(captions, models, strict=True)]
        columns = list(zip(*found, strict=True)) or [(), ()]
        return pa.table([pa.array(v, pa.string()) for v in columns], schema=self.writes())

    def cut(self, caption: str, model: str | None) -> tuple[str, str]:
        """(the text, where it was cut); a text without a word is no model of a length."""
        limits = [self.config.words, len(word_ends(model)) if model is not None else None]
        known = [limit for limit in limits if limit]
        words = word_places(caption)
        if not known or len(words) <= min(known):
            return caption, "no"
        limit = min(known)
        starts = [start for start, _ in words]
        if self.config.at == "sentence" and (whole := first_sentences(caption, starts, limit)):
            return whole, "sentence"
        return caption[: words[limit - 1][1]].rstrip(TAIL), "word"


def word_ends(text: str) -> list[int]:
    """Where each word ends, its punctuation included."""
    return [end for _, end in word_places(text)]


def word_places(text: str) -> list[tuple[int, int]]:
    """Where each word begins and ends, its punctuation, and the marks of its last letter,
    included.
    """
    places: list[tuple[int, int]] = []
    open_word = alone = False
    for mark in TOKEN.finditer(text):
        character, at = mark.group(), mark.start()
        goes_on = open_word and not text[at - 1].isspace()
        after_alone = alone and character.isalnum()
        alone = UNSPACED.match(character) is not None and character.isalnum()
        open_word = True
        if goes_on and not (alone or after_alone):
            places[-1] = (places[-1][0], mark.end())
        elif character.isalnum():
            places.append((at, mark.end()))
        else:  # a mark that opens, such as a bracket, belongs to the word behind it
            open_word = False
    return places


def first_sentences(text: str, starts: list[int], limit: int) -> str | None:
    """The beginning of a text: as many whole sentences as have so many words; None where the first
    has more.  `starts`: where its words begin.
    """
    end = 0
    for sentence in sentences(text):
        at = text.index(sentence, end) + len(sentence)
        if bisect_left(starts, at) > limit:
            break
        end = at
    return text[:end].strip() or None
