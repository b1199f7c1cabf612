"""The sentences of a text as a list."""

from typing import Annotated, Any, Literal

import pyarrow as pa
from pydantic import Field

from pairmill.schemas.arrow import column
from pairmill.schemas.config import COLUMN, SPEED, StageConfig
from pairmill.stages.base import Stage


class SentencesConfig(StageConfig):
    """Sentences of a text column, by the rules of its language (some 300 of them)."""

    stage: Annotated[Literal["sentences"], SPEED] = "sentences"
    text: Annotated[str, COLUMN] = "text"
    """Column to cut."""
    language: str = Field("en", pattern=r"^[A-Za-z]{2,3}([-_][A-Za-z0-9]+)*$")
    """Language of the texts, or of those for which the column `language_from` is null."""
    language_from: Annotated[str | None, COLUMN] = None
    """Column with ISO 639 codes, such as the `lang` of the stage language."""


class SentencesStage(Stage):
    """Boundaries by Wikimedia's sentencex, which would rather leave two sentences together than cut
    one in two.
    """

    Config = SentencesConfig
    prefix = "sentences"
    cpus = 0.5

    def reads(self) -> list[str]:
        source = self.config.language_from
        return [self.config.text, *([source] if source else [])]

    def may_lack(self) -> list[str]:
        return [self.config.language_from] if self.config.language_from else []

    def writes(self) -> pa.Schema:
        return pa.schema(
            [
                column(
                    self.column(),
                    pa.list_(pa.string()),
                    "sentences in order, without the white space around them",
                ),
                column(
                    self.column("start"),
                    pa.list_(pa.int32()),
                    f"where each begins in `{self.config.text}`",
                    "characters",
                ),
                column(self.column("count"), pa.int32(), "sentences", "", 0),
            ]
        )

    def setup(self) -> None:
        from sentencex import segment

        self.segment: Any = segment

    def __call__(self, rows: pa.Table) -> pa.Table:
        texts = rows.column(self.config.text).to_pylist()
        source = self.config.language_from
        codes = rows.column(source).to_pylist() if source else [None] * len(texts)
        sentences, starts = [], []
        for text, code in zip(texts, codes, strict=True):
            cut, at = self.cut(text, code or self.config.language)
            sentences.append(cut)
            starts.append(at)
        counts = [len(cut) for cut in sentences]
        return pa.table([sentences, starts, counts], schema=self.writes())

    def cut(self, text: str, language: str) -> tuple[list[str], list[int]]:
        """(sentences, the place of each in the text)."""
        sentences, starts, place = [], [], 0
        for piece in self.segment(language.lower(), text):
            if stripped := piece.strip():
                sentences.append(stripped)
                starts.append(place + piece.index(stripped))
            place += len(piece)
        return sentences, starts
