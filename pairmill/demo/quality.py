"""How good each stage was, measured against the demo world's truth (which no pipeline reads)."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from pairmill.demo.words import COLOURS, KINDS, NUMBERS, PLURALS
from pairmill.texts.words import UNSPACED


@dataclass(frozen=True)
class Measure:
    """One figure: what, value, over how many rows."""

    name: str
    value: float
    rows: int
    goal: float | None = None
    error: float | None = None
    """Its standard error, where a goal is near enough that chance decides."""

    def missed(self) -> str | None:
        """By how much it misses its goal, and how well so few rows tell; None where it is met."""
        if self.goal is None or self.value >= self.goal:
            return None
        known = "" if self.error is None else f"; {self.rows} rows tell it to ± {self.error:.3f}"
        return f"{self.name} misses its goal by {self.goal - self.value:.3f}{known}"


def scored_rows(rows: pl.DataFrame, truth: Path) -> pl.DataFrame:
    """The rows of a run (`RunResult.table()`) with the truth."""
    return rows.join(pl.read_parquet(truth), on="url", suffix="_true")


def measures(rows: pl.DataFrame, gate: float = 0.3) -> list[Measure]:
    """Every quality figure of a demo run."""
    return [
        *download_measures(rows),
        *language_measures(rows),
        *duplicate_measures(rows),
        *clip_measures(rows, gate),
        *caption_measures(rows),
    ]


def download_measures(rows: pl.DataFrame) -> Iterable[Measure]:
    """Whether each download ended as its fault demands."""
    right = outcome(rows).eq_missing(rows["expected_error"])
    yield Measure("download: outcome as the fault demands", mean(right), rows.height, 1.0)
    for fault in sorted(rows["fault"].unique()):
        part = rows.filter(pl.col("fault") == fault)
        share = mean(outcome(part).eq_missing(part["expected_error"]))
        if share < 1:
            yield Measure(f"download: {fault}", share, part.height, 1.0)


def outcome(rows: pl.DataFrame) -> pl.Series:
    """The class of the failure of each row's download, null where the image arrived."""
    failed = (pl.col("stage") == "download") & (pl.col("fate") == "failed")
    return rows.select(pl.when(failed).then("reason")).to_series()


def language_measures(rows: pl.DataFrame) -> Iterable[Measure]:
    """Accuracy over whole sentences."""
    seen = rows.filter(
        pl.col("lang").is_not_null() & pl.col("text_kind").is_in(["matched", "mismatched"])
    )
    yield Measure(
        "language: accuracy on whole sentences", mean(seen["lang"] == seen["language"]), seen.height
    )


def duplicate_measures(rows: pl.DataFrame) -> Iterable[Measure]:
    """Over rows that the stage saw: of the rows that it says repeat another, those whose other
    shows
    the same picture; and of all rows but one of each picture, those that it says so of rightly.
    """
    for stage, column, size, others in (
        ("exact", "dup_of", "cluster_size", ["confusable", "near"]),
        ("near", "near_dup_of", "near_cluster_size", ["confusable"]),
    ):
        own = pl.when(pl.col("copy").is_in(others)).then("uid").otherwise(pl.lit("")).alias("own")
        seen = rows.filter(pl.col(size).is_not_null()).with_columns(own)
        shown = seen.select(pl.col("uid").alias(column), "picture", "own")
        said = seen.filter(pl.col(column).is_not_null()).join(shown, on=column, suffix="_of")
        hits = said.filter(
            (pl.col("picture") == pl.col("picture_of")) & (pl.col("own") == pl.col("own_of"))
        ).height
        true = seen.height - seen.select("picture", "own").n_unique()
        yield Measure(f"{stage} duplicates: precision", hits / max(1, said.height), said.height)
        yield Measure(f"{stage} duplicates: recall", hits / max(1, true), true)


def clip_measures(rows: pl.DataFrame, gate: float) -> Iterable[Measure]:
    """How well the score tells matched from mismatched pairs."""
    seen = rows.filter(
        pl.col("clip_score").is_not_null() & pl.col("text_kind").is_in(["matched", "mismatched"])
    )
    for title, part in (("all scenes", seen), ("held-out scenes", seen.filter(pl.col("held_out")))):
        yes, no = (
            part.filter("matched")["clip_score"].to_numpy(),
            part.filter(~pl.col("matched"))["clip_score"].to_numpy(),
        )
        if len(yes) and len(no):
            yield Measure(
                f"clip_score: ROC AUC of matched against mismatched, {title}",
                auc(yes, no),
                len(yes) + len(no),
                0.97,
                auc_error(yes, no),
            )
    kept = seen.filter(pl.col("clip_score") >= gate)
    matched = seen.filter("matched").height
    hits = kept.filter("matched").height
    yield Measure(f"clip_score >= {gate}: precision", hits / max(1, kept.height), kept.height)
    yield Measure(f"clip_score >= {gate}: recall", hits / max(1, matched), matched)


def caption_measures(rows: pl.DataFrame) -> Iterable[Measure]:
    """What captions say right."""
    if "synthetic" not in rows.columns:
        return
    for title, part in (("all scenes", rows), ("held-out scenes", rows.filter(pl.col("held_out")))):
        seen = part.filter(pl.col("synthetic").is_not_null())
        right = mentioned = 0
        for caption, kinds, colours, counts in seen.select(
            "synthetic", "kinds", "colours", "counts"
        ).iter_rows():
            r, m = attributes_right(caption, kinds, colours, counts)
            right, mentioned = right + r, mentioned + m
        if mentioned:
            yield Measure(
                f"captions: objects, colours, counts right / mentioned, {title}",
                right / mentioned,
                seen.height,
                0.9,
            )
    if "fused" in rows.columns:
        fused = rows.filter(pl.col("fused").is_not_null())
        named = fused.filter(pl.col("name").is_not_null() & pl.col("matched"))
        yield Measure(
            "fusion: names of matched raw texts kept", mean(has_name(named)), named.height, 0.95
        )
        false = fused.filter(~pl.col("matched") & (pl.col("text_kind") == "mismatched"))
        yield Measure(
            "fusion: raw texts about other things refused", mean(~says_raw(false)), false.height
        )


def has_name(rows: pl.DataFrame) -> pl.Series:
    """Whether the fused caption keeps the name of the raw text."""
    return pl.Series(
        [name in text for name, text in rows.select("name", "fused").iter_rows()], dtype=pl.Boolean
    )


def says_raw(rows: pl.DataFrame) -> pl.Series:
    """Whether the fused caption names a kind of thing that the raw text says and the picture's
    caption does not.
    """
    found = []
    for text, synthetic, fused in rows.select("text", "synthetic", "fused").iter_rows():
        found.append(bool((kinds_in(text) - kinds_in(synthetic)) & kinds_in(fused)))
    return pl.Series(found, dtype=pl.Boolean)


WORDS = {**{k: k for k in KINDS}, **{PLURALS[k]: k for k in KINDS}}
GROUP = re.compile(
    rf"\b(?:(a|an|{'|'.join(NUMBERS.values())}) )?(?:(?:small|large|striped|dotted) "
    rf")*({'|'.join(COLOURS)}) ({'|'.join(sorted(WORDS, key=len, reverse=True))})\b"
)
COUNT = {"a": 1, "an": 1, **{word: n for n, word in NUMBERS.items()}}


def kinds_in(text: str) -> set[str]:
    """Kinds of things that a text names."""
    return {WORDS[w] for w in re.findall(r"[a-z]+", text.lower()) if w in WORDS}


def attributes_right(
    caption: str, kinds: list[str], colours: list[str], counts: list[int]
) -> tuple[int, int]:
    """(right, mentioned) objects, colours and counts of an English caption, against the scene's
    groups.
    """
    truth = {
        kind: (colour, count) for kind, colour, count in zip(kinds, colours, counts, strict=True)
    }
    right = mentioned = 0
    for number, colour, word in GROUP.findall(caption.lower()):
        kind = WORDS[word]
        mentioned += 3
        if kind in truth:
            right += 1 + (truth[kind][0] == colour) + (truth[kind][1] == COUNT.get(number, 1))
    return right, mentioned


def auc(yes: np.ndarray, no: np.ndarray) -> float:
    """Probability that a matched pair scores above a mismatched one; ties count half
    (Mann–Whitney).
    """
    places = ranks(np.concatenate([yes, no]))
    return float((places[: len(yes)].sum() - len(yes) * (len(yes) + 1) / 2) / (len(yes) * len(no)))


def auc_error(yes: np.ndarray, no: np.ndarray) -> float:
    """Standard error of `auc`, from the scores themselves (DeLong et al. 1988)."""
    if min(len(yes), len(no)) < 2:
        return 1.0
    every = ranks(np.concatenate([yes, no]))
    above = (every[: len(yes)] - ranks(yes)) / len(no)
    below = (every[len(yes) :] - ranks(no)) / len(yes)
    return float(np.sqrt(above.var(ddof=1) / len(yes) + below.var(ddof=1) / len(no)))


def ranks(values: np.ndarray) -> np.ndarray:
    """Places in ascending order, from 1, the mean of theirs for equal ones."""
    return pl.Series(values).rank("average").to_numpy()


def mean(flags: pl.Series) -> float:
    """Share of true values; null counts as false."""
    return float(flags.cast(pl.Float64).fill_null(0.0).to_numpy().mean()) if len(flags) else 0.0


def words_in(text: str) -> int:
    """Words between spaces, and each character of a script without."""
    pieces = text.split()
    return sum(len(UNSPACED.findall(p)) or any(c.isalnum() for c in p) for p in pieces)
