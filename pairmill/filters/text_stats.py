"""Further counts over a text: numbers, sentences, tokens, how varied it is."""

from typing import Annotated, Literal

import numpy as np
import polars as pl
import pyarrow as pa
from pydantic import Field

from pairmill.schemas.arrow import column
from pairmill.schemas.config import COLUMN, SPEED, StageConfig
from pairmill.schemas.hash_columns import spread
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
    batch_size: Annotated[int, SPEED] = Field(16_384, ge=1, le=65_536)
    """Rows given to the stage at once."""


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
    sizes = words.list.len().to_numpy().astype(np.int64)
    row, counts = word_counts(words, sizes)
    found = np.zeros(len(words))
    if not len(row):
        return found
    # rows whose words occur equally often have one entropy: the first of them is asked
    starts = np.flatnonzero(np.diff(row, prepend=-1))
    marks = spread(np.arange(int(counts.max()) + 1, dtype=np.uint64))[counts]
    _, first, alike = np.unique(
        np.add.reduceat(marks, starts), return_index=True, return_inverse=True
    )
    full = row[starts]
    asked = np.zeros(len(words), bool)
    asked[full[first]] = True
    chosen = asked[row]
    each = pl.DataFrame({"row": row[chosen], "n": counts[chosen]})
    share = pl.col("n") / pl.col("n").sum().over("row")
    bits = each.with_columns(bits=-share * share.log(2)).sort("row", "bits")
    sums = bits.group_by("row").agg(pl.col("bits").sum())
    found[sums["row"].to_numpy()] = sums["bits"].to_numpy()
    found[full] = found[full[first]][alike]
    return found


def word_counts(words: pl.Series, sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(row, how often it has the word) of each different word of each row; rows in order.  Words
    are told apart by 64 bits less those that the rows' numbers need.
    """
    wide = np.uint64(64 - max(1, len(words)).bit_length())
    rows = np.repeat(np.arange(len(words), dtype=np.uint64), sizes)
    hashes = words.explode(empty_as_null=False).hash().to_numpy()
    keys = (rows << wide) | (hashes >> (np.uint64(64) - wide))
    keys.sort()
    starts = np.flatnonzero(np.append(True, keys[1:] != keys[:-1])[: len(keys)])
    return (keys[starts] >> wide).astype(np.int64), np.diff(starts, append=len(keys))
