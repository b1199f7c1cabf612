"""What proves recipes in which one model's words meet another's: experts, parts, candidates."""

from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl

from pairmill.demo.oracle_answers import NAMES_OF_LANGUAGES
from pairmill.demo.oracle_reading import told_by
from pairmill.demo.proofs import accuracy, proof, wholes
from pairmill.demo.quality import COUNT, GROUP, WORDS, Measure, kinds_in, mean
from pairmill.demo.scenes import Group
from pairmill.texts.words import plain_words


def strange(rows: pl.DataFrame, column: str) -> pl.Series:
    """Whether a text names a thing that is not in the picture."""
    pairs = rows.select(column, "kinds").iter_rows()
    return pl.Series([bool(kinds_in(text) - set(kinds)) for text, kinds in pairs], dtype=pl.Boolean)


def named(rows: pl.DataFrame, column: str) -> float:
    """Share of the pictures' things that a text names."""
    pairs = rows.select(column, "kinds").iter_rows()
    shares = [len(kinds_in(text) & set(kinds)) / len(set(kinds)) for text, kinds in pairs]
    return float(np.mean(shares))


@proof("image-textualization")
def image_textualization(rows: pl.DataFrame, folder: Path) -> list[Measure]:
    """Invented things are found by the detector's list, left out by the rewriter, and refused where
    they come back.
    """
    seen = rows.drop_nulls(["first", "draft_ungrounded", "textual"])
    invented, found = strange(seen, "first"), seen["draft_ungrounded"].list.len() > 0
    kept = seen.filter(pl.col("fate") == "kept")
    again = strange(seen, "textual")
    refused = seen.filter(pl.col("reason").str.contains("check_ungrounded").fill_null(False))
    return [
        Measure("first captions with an invented thing", mean(invented), seen.height),
        Measure(
            "of these, found by the detector's list",
            mean(found.filter(invented)), int(invented.sum()), 0.9,
        ),
        Measure(
            "sound captions that are suspected, of 1: none",
            1 - mean(found.filter(~invented)), int((~invented).sum()), 0.95,
        ),
        Measure("rewritten captions with an invented thing", mean(again), seen.height),
        Measure(
            "rewritten captions with one that are refused",
            refused.filter(strange(refused, "textual")).height / max(1, int(again.sum())),
            int(again.sum()), 0.9,
        ),
        Measure("kept captions without an invented thing", mean(~strange(kept, "textual")),
                kept.height, 1.0),
        Measure("things of the picture that are named: first", named(seen, "first"), seen.height),
        Measure("… kept", named(kept, "textual"), kept.height, 0.99),
    ]  # fmt: skip


@proof("longcaptioning")
def longcaptioning(rows: pl.DataFrame, folder: Path) -> list[Measure]:
    """A long caption names the things of all frames in their order, and is as much longer."""
    truth = pl.read_parquet(folder.parent / "web/clips_truth.parquet")
    clips = rows.drop(["kinds", "colours", "counts"]).join(truth, on="url").drop_nulls("long")
    order = []
    for text, kinds in clips.select("long", "kinds").iter_rows():
        said = [WORDS[word] for _, _, word in GROUP.findall(text.lower())]
        order.append(in_order(said, kinds))
    words = {n: np.array([len(plain_words(t)) for t in clips[n]]) for n in ("part1", "long")}
    told = sum(
        sum(
            (Counter(kinds) & Counter(WORDS[w] for _, _, w in GROUP.findall(text.lower()))).values()
        )
        for text, kinds in clips.select("long", "kinds").iter_rows()
    )
    things = sum(map(len, clips["kinds"]))
    return [
        Measure("things of all frames that are named", told / max(1, things), things, 0.85),
        Measure("of those, in the frames' order", float(np.mean(order)), clips.height, 0.85),
        Measure("words: a frame's caption, median", float(np.median(words["part1"])), clips.height),
        Measure("words: long caption, median", float(np.median(words["long"])), clips.height),
        Measure(
            "long / frame's caption, words",
            float(np.mean(words["long"])) / float(np.mean(words["part1"])), clips.height, 3.0,
        ),
        *(
            Measure(f"long captions of {low} to {low + 9} words",
                    mean(pl.Series((words["long"] >= low) & (words["long"] < low + 10))),
                    clips.height)
            for low in range(0, 60, 10)
        ),
    ]  # fmt: skip


def in_order(said: list[str], shown: list[str]) -> float:
    """Share of the things said that stand in a longest common subsequence with those shown."""
    best = np.zeros((len(said) + 1, len(shown) + 1), int)
    for i, one in enumerate(said):
        for j, other in enumerate(shown):
            same = best[i, j] + (one == other)
            best[i + 1, j + 1] = max(same, best[i, j + 1], best[i + 1, j])
    return float(best[-1, -1]) / max(1, len(said))


@proof("svlc")
def svlc(rows: pl.DataFrame, folder: Path) -> list[Measure]:
    """Negatives differ in one attribute and lose against the picture; inserted attributes are
    true.
    """
    pairs = rows.drop_nulls(["synthetic", "negative"]).filter(wholes_of(rows, "synthetic"))
    changed = [
        differences(own, other) == 1
        for own, other in pairs.select("synthetic", "negative").iter_rows()
    ]
    every = rows.explode("inserted").drop_nulls("inserted")
    made = rows.drop_nulls("best")
    kept = rows.filter(pl.col("fate") == "kept")
    single, matched = accuracy(every, "inserted"), accuracy(made, "best")
    return [
        Measure(
            "negatives that differ in one attribute", float(np.mean(changed)), pairs.height, 0.95
        ),
        Measure(
            "of true captions, preferred to the negative", mean(pairs["match_from"] == "synthetic"),
            pairs.height, 0.9,
        ),
        Measure("kept pairs whose caption is true", mean(wholes(kept, "synthetic")), kept.height),
        Measure("single proposal: attributes right", single, every.height),
        Measure("matched proposal: attributes right", matched, made.height, 0.9),
        Measure("gain", matched - single, made.height, 0.02),
    ]  # fmt: skip


@proof("mvl-sib")
def mvl_sib(rows: pl.DataFrame, folder: Path) -> list[Measure]:
    """Every picture of the package has its text in all languages, each of which is looked at; what
    the gates let through is said rightly in all of them.
    """
    others = [name for name in NAMES_OF_LANGUAGES.values() if name != "en"]
    kept = rows.filter(pl.col("fate") == "kept")
    files = sorted((folder / "0").glob("data/*.parquet"))
    texts = pl.concat(map(pl.read_parquet, files)).select("en", *others)
    there = texts.select(pl.all_horizontal(pl.all().str.len_chars() > 0)).to_series()
    looked = rows.drop_nulls(others)
    right = [looked[f"is_{name}"] == name for name in others]
    return [
        Measure("pictures with a text in all eight", mean(there), texts.height, 1.0),
        Measure("texts in the language that is asked for",
                float(np.mean(right)), looked.height * len(others), 0.99),
        Measure("pictures that say the same in all, before the gates",
                mean(same_in_all(looked, others)), looked.height),
        Measure("… behind them", mean(same_in_all(kept, others)), kept.height, 0.95),
        Measure("kept", kept.height / rows.height, rows.height),
    ]  # fmt: skip


def same_in_all(rows: pl.DataFrame, languages: list[str]) -> pl.Series:
    """Whether all texts of a picture name the things, colours and numbers of the English one."""

    def things(text: str) -> set[Group]:
        return set(told_by(text).groups)

    found = [
        all(things(text) == things(english) for text in texts)
        for english, *texts in rows.select("en", *languages).iter_rows()
    ]
    return pl.Series(found, dtype=pl.Boolean)


def wholes_of(rows: pl.DataFrame, column: str) -> pl.Series:
    """`wholes` of the rows in which a negative is there."""
    return wholes(rows.drop_nulls(["synthetic", "negative"]), column)


def differences(one: str, other: str) -> int:
    """Colours, numbers and kinds in which two captions differ, thing by thing."""
    found = [
        [
            (COUNT.get(number, 1), colour, WORDS[word])
            for number, colour, word in GROUP.findall(text)
        ]
        for text in (one.lower(), other.lower())
    ]
    if len(found[0]) != len(found[1]):
        return -1
    return sum(a != b for pair in zip(*found, strict=True) for a, b in zip(*pair, strict=True))
