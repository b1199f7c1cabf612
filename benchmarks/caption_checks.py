"""Precision and recall of `caption_checks` on labelled captions: python benchmarks/caption_checks.py

The list (labelled_captions.tsv) was written by hand for this purpose, by the authors of the rules,
so the figures say what the rules are for and no more: a captioner's own faults may look otherwise.
"""

from collections import Counter
from pathlib import Path

import polars as pl

from pairmill.filters.caption_checks.config import CaptionChecksConfig
from pairmill.filters.caption_checks.stage import CaptionChecksStage

LIST = Path(__file__).with_name("labelled_captions.tsv")
GATES = {
    "refusal": "check_refusal",
    "hedged": "check_hedges > 8",
    "leak": "check_leak",
    "truncated": "check_truncated",
    "repeated": "check_repeated_sentences > 0 OR check_longest_run > 3 OR check_word_repetition > 0.2",
    "lost": "check_alt_retention < 0.5",
    "invented": "check_invented_numbers > 0",
}
"""Label → what a recommended gate refuses."""


def labelled() -> pl.DataFrame:
    """The list, with the columns of the checks."""
    rows = pl.read_csv(LIST, separator="\t", quote_char=None)
    stage = CaptionChecksStage(
        CaptionChecksConfig(caption="caption", alt="alt", finish_reason="finish")
    )
    stage.setup()
    checks = pl.from_arrow(stage(rows.to_arrow()))
    assert isinstance(checks, pl.DataFrame)
    return pl.concat([rows, checks], how="horizontal")


def figures(rows: pl.DataFrame) -> dict[str, tuple[int, float, float]]:
    """Label → (captions with it, precision, recall) of its gate over all captions."""
    found = {}
    for label, gate in GATES.items():
        counts: Counter[tuple[bool, bool]] = Counter(
            rows.select(
                pl.sql_expr(gate).fill_null(False).alias("said"), pl.col("labels") == label
            ).iter_rows()
        )
        hits, false, missed = counts[True, True], counts[True, False], counts[False, True]
        found[label] = (hits + missed, hits / max(1, hits + false), hits / (hits + missed))
    return found


def languages_right(rows: pl.DataFrame) -> float:
    """Share of the good captions whose language is told."""
    good = rows.filter(pl.col("labels") == "good")
    return good.filter(pl.col("check_language") == pl.col("language")).height / good.height


if __name__ == "__main__":
    rows = labelled()
    good = rows.filter(pl.col("labels") == "good").height
    print(f"{rows.height} captions, {good} of them good\n")
    print("| fault | captions | refused by | precision | recall |\n| --- | --- | --- | --- | --- |")
    for label, (captions, precision, recall) in figures(rows).items():
        gate = GATES[label]
        print(f"| {label} | {captions} | `{gate}` | {precision:.2f} | {recall:.2f} |")
    print(f"\nlanguage of the good ones: {languages_right(rows):.2f}")
    for label, gate in GATES.items():
        said = pl.sql_expr(gate).fill_null(False)
        for row in rows.filter(said != (pl.col("labels") == label)).iter_rows(named=True):
            print(f"  {label} gate wrong: [{row['labels']}] {row['caption']}")
