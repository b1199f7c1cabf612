"""A long caption cut to the length of the alt text (MLLMs-Augmented's text shearing)."""

import re
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
    """Column with texts whose number of words is the limit; where it is null the row is cut by
    `words` alone.
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
        """(the text, where it was cut)."""
        limits = [self.config.words, None if model is None else len(word_ends(model))]
        known = [limit for limit in limits if limit is not None]
        ends = word_ends(caption)
        if not known or len(ends) <= max(1, min(known)):
            return caption, "no"
        limit = max(1, min(known))
        if self.config.at == "sentence" and (whole := first_sentences(caption, limit)):
            return whole, "sentence"
        return caption[: ends[limit - 1]].rstrip(TAIL), "word"


def word_ends(text: str) -> list[int]:
    """Where each word ends, its punctuation included."""
    ends: list[int] = []
    open_word = False
    for mark in TOKEN.finditer(text):
        character = mark.group()
        goes_on = open_word and mark.start() > 0 and not text[mark.start() - 1].isspace()
        alone = UNSPACED.match(character) is not None
        if not alone and goes_on and ends:
            ends[-1] = mark.end()
        elif character.isalnum():
            ends.append(mark.end())
        open_word = bool(ends)
    return ends


def first_sentences(text: str, limit: int) -> str | None:
    """The beginning of a text: as many whole sentences as have so many words; None where the first
    has more.
    """
    end = 0
    for sentence in sentences(text):
        at = text.index(sentence, end) + len(sentence)
        if len(word_ends(text[:at])) > limit:
            break
        end = at
    return text[:end].strip() or None
