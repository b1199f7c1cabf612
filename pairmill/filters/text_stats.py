"""Further counts over a text: numbers, sentences, tokens, how varied it is."""

from typing import Annotated, Literal

import numpy as np
import polars as pl
import pyarrow as pa

from pairmill.schemas.arrow import column
from pairmill.schemas.config import COLUMN, SPEED, StageConfig
from pairmill.stages.base import Stage

FASTTEXT_TOKEN = r"[^ \t\v\f\r\x00\n]+|\n"
"""What fastText reads as a token: anything between white space of ASCII, and each end of a line."""
SENTENCE_END = r"[.!?]+(?:\s|$)|[。！？]"
NUMBER = r"\d+(?:[.,]\d+)*"


class TextStatsConfig(StageConfig):
    """Counts of numbers, sentences and tokens, and how varied a text's words are."""

    stage: Annotated[Literal["text_stats"], SPEED] = "text_stats"
    text: Annotated[str, COLUMN] = "text"
    """Column to look at."""


class TextStatsStage(Stage):
    """`text_stats_tokens` counts as `fasttext.tokenize` does, which DataComp's image-based filter
    asks for; `text_stats_entropy` is Shannon's, in bits a word.
    """

    Config = TextStatsConfig
    prefix = "text_stats"
    cpus = 0.5

    def reads(self) -> list[str]:
        return [self.config.text]

    def writes(self) -> pa.Schema:
        c, whole = self.column, pa.int32()
        return pa.schema(
            [
                column(c("tokens"), whole, "tokens as fastText reads them", "tokens", 0),
                column(c("numbers"), whole, "numbers in digits", "numbers", 0),
                column(c("sentences"), whole, "sentences, the last without a mark too", "", 0),
                column(c("word_length"), pa.float32(), "characters a word", "characters", 0),
                column(c("longest_word"), whole, "characters of the longest word", "characters", 0),
                column(c("entropy"), pa.float32(), "entropy of its words", "bits", 0),
            ]
        )

    def __call__(self, rows: pa.Table) -> pa.Table:
        text = pl.Series("text", pl.Series(rows.column(self.config.text)), pl.String)
        words = text.str.to_lowercase().str.extract_all(r"\S+")
        lengths = words.list.eval(pl.element().str.len_chars())
        ends = text.str.count_matches(SENTENCE_END)
        unended = ~text.str.contains(r"[.!?。！？]\s*$") & text.str.contains(r"\w")
        columns = [
            text.str.count_matches(FASTTEXT_TOKEN),
            text.str.count_matches(NUMBER),
            ends + unended.cast(pl.UInt32),
            lengths.list.mean().fill_null(0.0),
            lengths.list.max().fill_null(0),
            pl.Series(entropies(words)),
        ]
        parts = [
            pa.array(values.to_numpy()).cast(field.type)
            for values, field in zip(columns, self.writes(), strict=True)
        ]
        return pa.table(parts, schema=self.writes())


def entropies(words: pl.Series) -> np.ndarray:
    """Shannon's entropy of the words of each row, in bits; 0 without words."""
    frame = pl.DataFrame({"row": np.arange(len(words)), "word": words})
    each = frame.explode("word", empty_as_null=True).drop_nulls("word")
    counts = each.group_by("row", "word").len("n")
    share = pl.col("n") / pl.col("n").sum().over("row")
    bits = counts.with_columns(bits=-share * share.log(2)).sort("row", "bits")
    sums = bits.group_by("row").agg(pl.col("bits").sum())
    found = np.zeros(len(words))
    found[sums["row"].to_numpy()] = sums["bits"].to_numpy()
    return found
