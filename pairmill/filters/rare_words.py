"""Words and pairs of words that hardly any other text uses: ALIGN's rule."""

from typing import Annotated, Literal

import numpy as np
import polars as pl
import pyarrow as pa
from pydantic import Field

from pairmill.filters.concept_texts import UNSPACED, spaced
from pairmill.schemas.arrow import column
from pairmill.schemas.config import COLUMN, SPEED, StageConfig
from pairmill.stages.base import CombiningStage

MIXED = np.uint64(0x9E3779B97F4A7C15)
"""An odd number by which the first word's hash is multiplied, so that order counts in a pair."""


class RareWordsConfig(StageConfig):
    """How many words and pairs of neighbouring words of a text are not among the most frequent ones
    of all texts; `keep: rare_words = 0` is ALIGN's rule (Jia et al. 2021), which leaves out a text
    with any word or pair that is not among the 100 million most frequent of the raw set.

    Counted over all rows that come to the stage, so it stands before gates that thin them.
    """

    stage: Annotated[Literal["rare_words"], SPEED] = "rare_words"
    text: Annotated[str, COLUMN] = "text"
    """Column to look at."""
    most: int = Field(100_000_000, ge=1)
    """Words and pairs together that count as frequent; those as frequent as the last do, too."""
    times: int | None = Field(None, ge=1)
    """In place of `most`, for sets that have fewer: what occurs so often in all texts is frequent.
    """


class RareWordsStage(CombiningStage):
    """`rare_words`: rare words and pairs of words in the text, each occurrence; null without a
    text.  Words are letters, digits and marks in lower case; in scripts without spaces a character
    is one.
    """

    Config = RareWordsConfig
    prefix = "rare_words"

    def reads(self) -> list[str]:
        return [self.config.text]

    def writes(self) -> pa.Schema:
        doc = "words and pairs of words that are not among the most frequent ones"
        return pa.schema([column(self.column(), pa.int32(), doc, "words and pairs", 0)])

    def learn(self, samples: pa.Table | None, total: int) -> pa.Table:
        return pa.table({})

    def summary(self, rows: pa.Table, known: pa.Table) -> pa.Table:
        """How often each word and pair occurs, by its hash."""
        said = grams(rows.column(self.config.text))
        return said.group_by("gram").len("times").cast({"times": pl.Int64}).to_arrow()

    def merged(self, summaries: pa.Table) -> pa.Table:
        """The hashes of the frequent ones."""
        counted: pl.DataFrame = pl.from_arrow(summaries)  # type: ignore[assignment]
        counted = counted.group_by("gram").agg(pl.col("times").sum())
        least = self.config.times
        if least is None:
            last = counted["times"].top_k(self.config.most).min()
            least = int(last) if last is not None else 1  # type: ignore[arg-type]
        return counted.filter(pl.col("times") >= least).select("gram").sort("gram").to_arrow()

    def answer(self, rows: pa.Table, merged: pa.Table) -> pa.Table:
        frequent = merged.column("gram").to_numpy()
        texts = rows.column(self.config.text)
        said = grams(texts)
        hashes = said["gram"].to_numpy()
        place = np.minimum(np.searchsorted(frequent, hashes), max(len(frequent) - 1, 0))
        rare = frequent[place] != hashes if len(frequent) else np.ones(len(hashes), bool)
        counts = np.bincount(said["row"].to_numpy()[rare], minlength=rows.num_rows)
        absent = np.asarray(texts.is_null())
        return pa.table([pa.array(counts.astype(np.int32), mask=absent)], schema=self.writes())


def grams(texts: pa.ChunkedArray) -> pl.DataFrame:
    """`row` and `gram` (uint64 hash) of every word and every pair of neighbouring words."""
    series = pl.Series("text", texts).cast(pl.String).fill_null("")
    words = spaced(series.str.replace_all(UNSPACED, " $0 "), "words").str.strip_chars(" ")
    said = pl.DataFrame({"row": np.arange(len(words)), "word": words.str.split(" ")})
    said = said.explode("word").filter(pl.col("word") != "")
    row, one = said["row"].to_numpy(), said["word"].hash(11).to_numpy()
    pair = row[1:] == row[:-1]
    with np.errstate(over="ignore"):
        two = (one[:-1] * MIXED + one[1:])[pair]
    return pl.DataFrame(
        {"row": np.concatenate([row, row[1:][pair]]), "gram": np.concatenate([one, two])}
    )
