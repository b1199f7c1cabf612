"""Countable facts about a text: length, characters, repetition, boilerplate."""

import re
import unicodedata
from collections import Counter
from typing import Annotated, Literal

import pyarrow as pa
from pydantic import Field, field_validator

from pairmill.schemas.arrow import column
from pairmill.schemas.config import SPEED, StageConfig
from pairmill.stages.base import Stage
from pairmill.texts.words import words_of

# `\w-*` finds what `\b[\w-]+` would, which looks at a-a-a-… once for each of its words.
URL = re.compile(r"(?:https?://|www\.)\S+|\w-*\.(?:com|net|org|info|example)\b", re.IGNORECASE)
BOILERPLATE = (
    r"^(?:img|dsc|dscn|dscf|pict?|image|photo|screenshot|untitled|unnamed|default|thumbnail|logo|icon|banner|placeholder)[\s_\-.:()#]*\d*(?:\.(?:jpe?g|png|gif|webp|bmp))?$",
    r"^[\w\-.%]+\.(?:jpe?g|png|gif|webp|bmp|svg)$",
    r"\bclick (?:here|to|for|on)\b|\b(?:image|photo|picture) (?:not available|coming soon)\b|\bno image\b",
    r"^(?:loading|share|read more|view larger|see more|default)\b.{0,20}$",
    r"\bshare on\b|\ball rights reserved\b|\bfree shipping\b|\bbuy now\b|\bcookie policy\b",
)


class TextRulesConfig(StageConfig):
    """Counts over a text column; DataComp's basic filter is `keep: text_words > 2 AND text_chars >
    5`.
    """

    stage: Annotated[Literal["text_rules"], SPEED] = "text_rules"
    text: str = "text"
    """Column to look at."""
    boilerplate: list[str] = Field(list(BOILERPLATE), max_length=1000)
    """Regular expressions, case ignored; a text in which one is found is boilerplate."""

    @field_validator("boilerplate")
    @classmethod
    def _compiles(cls, patterns: list[str]) -> list[str]:
        for pattern in patterns:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"{pattern!r} is no regular expression: {error}") from None
        return patterns


class TextRulesStage(Stage):
    """`words` splits at white space (as DataComp's `split()`) and counts each CJK, Thai, Khmer, …
    character as a word.
    """

    Config = TextRulesConfig
    prefix = "text"
    cpus = 0.5

    def reads(self) -> list[str]:
        return [self.config.text]

    def writes(self) -> pa.Schema:
        c, share = self.column, pa.float32()
        return pa.schema(
            [
                column(
                    c("words"),
                    pa.int32(),
                    "words; characters of unspaced scripts count one each",
                    "words",
                    0,
                ),
                column(
                    c("split_words"),
                    pa.int32(),
                    "len(text.split()), DataComp's word count",
                    "words",
                    0,
                ),
                column(c("chars"), pa.int32(), "Unicode characters", "characters", 0),
                column(c("digit_share"), share, "digits / characters that are no space", "", 0, 1),
                column(
                    c("punctuation_share"),
                    share,
                    "punctuation and symbols / characters that are no space",
                    "",
                    0,
                    1,
                ),
                column(
                    c("uppercase_share"),
                    share,
                    "uppercase letters / letters that have case",
                    "",
                    0,
                    1,
                ),
                column(c("repetition"), share, "1 - different words / words", "", 0, 1),
                column(c("has_url"), pa.bool_(), "a web address stands in the text"),
                column(c("boilerplate"), pa.bool_(), "one of the boilerplate patterns is found"),
            ]
        )

    def setup(self) -> None:
        self.patterns = [re.compile(p, re.IGNORECASE) for p in self.config.boilerplate]

    def __call__(self, rows: pa.Table) -> pa.Table:
        facts = [self.facts(text) for text in rows.column(self.config.text).to_pylist()]
        columns = zip(*facts, strict=True) if facts else [[] for _ in self.writes()]
        return pa.table(
            [pa.array(c, f.type) for c, f in zip(columns, self.writes(), strict=True)],
            schema=self.writes(),
        )

    def facts(self, text: str) -> tuple[int, int, int, float, float, float, float, bool, bool]:
        split = text.split()
        words = split if text.isascii() else words_of(text)
        solid = max(1, sum(map(len, split)))
        digits = sum(map(str.isdigit, text))
        if text.isascii():
            punctuation = sum(not c.isalnum() and not c.isspace() for c in text)
        else:
            punctuation = sum(unicodedata.category(c)[0] in "PS" for c in text)
        upper, lower = sum(map(str.isupper, text)), sum(map(str.islower, text))
        different = len(Counter(w.casefold() for w in words))
        stripped = text.strip()
        return (
            len(words), len(split), len(text), digits / solid, punctuation / solid, upper / max(1, upper + lower),
            1 - different / len(words) if words else 0.0, URL.search(text) is not None,
            any(p.search(stripped) for p in self.patterns),
        )  # fmt: skip
