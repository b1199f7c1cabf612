"""The sentences of a text as a list (DreamLIP's sub-captions)."""

from typing import Annotated, Literal

import pyarrow as pa

from pairmill.schemas.arrow import column
from pairmill.schemas.config import SPEED, StageConfig
from pairmill.stages.base import Stage
from pairmill.texts.words import sentences


class SentencesConfig(StageConfig):
    """Cuts a text into its sentences: a list that an output packs and a loader draws from, or that
    `each:` opens as a table.
    """

    stage: Annotated[Literal["sentences"], SPEED] = "sentences"
    text: str = "text"
    """Column to cut."""


class SentencesStage(Stage):
    """Joined by single spaces (in scripts that have them), the sentences are the text again, but for
    its white space.
    """

    Config = SentencesConfig
    prefix = "sentences"
    cpus = 0.5

    def reads(self) -> list[str]:
        return [self.config.text]

    def writes(self) -> pa.Schema:
        doc = f"sentences of {self.config.text}, in order"
        return pa.schema([column(self.column(), pa.list_(pa.string()), doc, of=self.config.text)])

    def __call__(self, rows: pa.Table) -> pa.Table:
        found = [sentences(text) for text in rows.column(self.config.text).to_pylist()]
        return pa.table([pa.array(found, pa.list_(pa.string()))], schema=self.writes())
