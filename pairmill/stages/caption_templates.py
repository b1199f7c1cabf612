"""How much a caption is cut from the same cloth as the others."""

from typing import Annotated, Literal

import polars as pl
import pyarrow as pa
from pydantic import Field

from pairmill.schemas.arrow import column
from pairmill.schemas.config import SPEED, StageConfig
from pairmill.stages.base import GlobalStage
from pairmill.texts.words import UNSPACED, plain_words

LONGEST_OPENING = 400
"""Characters of a caption that are looked at for its first words."""


class CaptionTemplatesConfig(StageConfig):
    """How many captions begin, or are, like this one: what `keep: template_rate < 0.05` thins out
    is the phrase that a captioner cannot leave.
    """

    stage: Annotated[Literal["caption_templates"], SPEED] = "caption_templates"
    caption: str
    """Column with captions."""
    words: int = Field(4, ge=1, le=20)
    """Words of an opening; of a script without spaces twice as many characters."""


class CaptionTemplatesStage(GlobalStage):
    """Shares are of the captions that live when the stage looks at them; case and punctuation do
    not count.
    """

    Config = CaptionTemplatesConfig
    prefix = "template"
    version = 2

    def reads(self) -> list[str]:
        return [self.config.caption]

    def writes(self) -> pa.Schema:
        of = self.config.caption
        return pa.schema(
            [
                column(
                    self.column("opening"),
                    pa.string(),
                    "first words; null where the caption is shorter",
                    of=of,
                ),
                column(
                    self.column("rate"),
                    pa.float32(),
                    "captions with this opening / captions",
                    "",
                    0,
                    1,
                    of=of,
                ),
                column(
                    self.column("same"),
                    pa.int64(),
                    "captions that say just this, this one included",
                    "rows",
                    1,
                    of=of,
                ),
            ]
        )

    def __call__(self, rows: pa.Table) -> pa.Table:
        texts = rows.column(self.config.caption).to_pylist()
        frame = pl.DataFrame(
            {
                "opening": [self.opening(text) for text in texts],
                "whole": [" ".join(plain_words(text)) for text in texts],
            },
            schema={"opening": pl.String, "whole": pl.String},
        )
        found = frame.select(
            "opening",
            pl.when(pl.col("opening").is_not_null())
            .then(pl.len().over("opening") / max(1, frame.height))
            .otherwise(0.0)
            .cast(pl.Float32)
            .alias("rate"),
            pl.len().over("whole").cast(pl.Int64).alias("same"),
        )
        return (
            found.rename(dict(zip(found.columns, self.writes().names, strict=True)))
            .to_arrow()
            .cast(self.writes())
        )

    def opening(self, text: str) -> str | None:
        """The first words of a caption; None where it has no more than these."""
        words = plain_words(text[:LONGEST_OPENING])
        size = self.config.words * (2 if UNSPACED.search(text) else 1)
        return " ".join(words[:size]) if len(words) > size else None
