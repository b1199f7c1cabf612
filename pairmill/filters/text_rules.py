"""Countable facts about a text: length, characters, repetition, boilerplate."""

import re
from typing import Annotated, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, field_validator

from pairmill.filters.candidates import Candidates
from pairmill.filters.characters import (
    DIGIT,
    FAR,
    LOWER,
    SIGN,
    SPACE,
    UPPER,
    Characters,
    pieces,
)
from pairmill.schemas.arrow import column
from pairmill.schemas.config import COLUMN, SPEED, StageConfig
from pairmill.stages.base import Stage

# `\w-*` finds what `\b[\w-]+` would, which looks at a-a-a-… once for each of its words.
URL = re.compile(r"(?:https?://|www\.)\S+|\w-*\.(?:com|net|org|info|example)\b", re.IGNORECASE)
SPACES = "".join(c for c in map(chr, range(2**14)) if c.isspace())
"""What `str.strip` takes away; there is no space beyond."""
BOILERPLATE = (
    r"^(?:img|dsc|dscn|dscf|pict?|image|photo|screenshot|untitled|unnamed|default|thumbnail|logo|icon|banner|placeholder)[\s_\-.:()#]*\d*(?:\.(?:jpe?g|png|gif|webp|bmp))?$",
    r"^[\w\-.%]+\.(?:jpe?g|png|gif|webp|bmp|svg)$",
    r"\bclick (?:here|to|for|on)\b|\b(?:image|photo|picture) (?:not available|coming soon)\b|\bno "
    r"image\b",
    r"^(?:loading|share|read more|view larger|see more|default)\b.{0,20}$",
    r"\bshare on\b|\ball rights reserved\b|\bfree shipping\b|\bbuy now\b|\bcookie policy\b",
)


class TextRulesConfig(StageConfig):
    """Counts over a text column; DataComp's basic filter is `keep: text_words > 2 AND text_chars >
    5`.
    """

    stage: Annotated[Literal["text_rules"], SPEED] = "text_rules"
    batch_size: Annotated[int, SPEED] = Field(16_384, ge=1, le=65_536)
    """Rows given to the stage at once."""
    text: Annotated[str, COLUMN] = "text"
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
        self.url = Candidates([URL])
        self.boilerplate = Candidates(
            [re.compile(p, re.IGNORECASE) for p in self.config.boilerplate]
        )

    def __call__(self, rows: pa.Table) -> pa.Table:
        texts = rows.column(self.config.text).combine_chunks().cast(pa.large_string())
        facts = [self.facts(piece) for piece in pieces(texts)]
        if not facts:
            return self.writes().empty_table()
        columns = [np.concatenate(parts) for parts in zip(*facts, strict=True)]
        return pa.table(
            [pa.array(c).cast(f.type) for c, f in zip(columns, self.writes(), strict=True)],
            schema=self.writes(),
        )

    def facts(self, texts: pa.Array) -> list[np.ndarray]:
        """The columns of some texts."""
        characters = Characters.of(texts)
        split, words, different = characters.words()
        solid = np.maximum(1, characters.lengths - characters.having(SPACE))
        plain = characters.having(FAR) == 0
        punctuation = np.where(plain, characters.marks(), characters.having(SIGN))
        upper, lower = characters.having(UPPER), characters.having(LOWER)
        stripped = pc.utf8_trim(texts, characters=SPACES)
        return [
            words, split, characters.lengths, characters.having(DIGIT) / solid,
            punctuation / solid, upper / np.maximum(1, upper + lower),
            np.where(words > 0, 1 - different / np.maximum(words, 1), 0.0),
            self.url.mentions(texts), self.boilerplate.mentions(stripped),
        ]  # fmt: skip
