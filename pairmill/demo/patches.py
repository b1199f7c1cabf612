"""What proves recipes over parts of pictures, on worlds whose scenes have many things."""

from pathlib import Path

import numpy as np
import polars as pl

from pairmill.demo.proofs import Proof, accuracy, wholes
from pairmill.demo.quality import Measure, kinds_in, mean
from pairmill.demo.words import EN_PLACES


def patch_matters(rows: pl.DataFrame, folder: Path) -> list[Measure]:
    """A caption merged from those of tiles says more that is right than one of the whole picture,
    and what its judge refuses is wrong more often than what it lets through.
    """
    crowded = rows.filter(pl.col("kinds").list.len() >= 4).drop_nulls(["plain", "merged"])
    kept = crowded.filter(pl.col("fate") == "kept")
    parts = crowded.with_columns(pl.col("part").list.drop_nulls().list.join(", "))
    refused = crowded.filter(pl.col("fate") == "dropped")
    wrong = crowded.filter(~is_true(crowded, "merged"))
    plain, merged = accuracy(kept, "plain"), accuracy(kept, "merged")
    found = [recall(kept, "plain"), recall(kept, "merged")]
    return [
        Measure("parts: right / mentioned", accuracy(parts, "part"), crowded.height),
        Measure("merged: right / mentioned", accuracy(crowded, "merged"), crowded.height),
        Measure("merged and kept: right / mentioned", merged, kept.height, 0.9),
        Measure("plain, of the same pictures: right / mentioned", plain, kept.height),
        Measure("gain", merged - plain, kept.height, 0.1),
        Measure("things of the scene in the plain caption", found[0], kept.height),
        Measure("things of the scene in the merged caption", found[1], kept.height),
        Measure("gain in things", found[1] - found[0], kept.height, 0.1),
        Measure(
            "refused with something wrong", mean(~is_true(refused, "merged")), refused.height, 0.7
        ),
        Measure("wrong and refused", mean(wrong["fate"] == "dropped"), wrong.height, 0.7),
    ]


def is_true(rows: pl.DataFrame, column: str) -> pl.Series:
    """Whether all that a caption says is right: things, colours, counts, and the place."""
    places = [
        next((place for place, words in EN_PLACES.items() if words in text), true) == true
        for text, true in rows.select(column, "place").iter_rows()
    ]
    return wholes(rows, column) & pl.Series(places, dtype=pl.Boolean)


def recall(rows: pl.DataFrame, column: str) -> float:
    """Share of a scene's things that a caption names, over all rows."""
    shares = [
        len(kinds_in(text) & set(kinds)) / len(kinds)
        for text, kinds in rows.select(column, "kinds").iter_rows()
    ]
    return float(np.mean(shares)) if shares else 0.0


def socratic(rows: pl.DataFrame, folder: Path) -> list[Measure]:
    """Three hops name what one look misses, and say of it what no single hop knows; who chose what
    out of which stays in the package.
    """
    files = sorted((folder / "1").glob("data/*.parquet"))
    truth = rows.select(pl.col("uid").alias("parent_uid"), "kinds", "colours")
    parts = pl.concat(map(pl.read_parquet, files)).drop_nulls("chosen").join(truth, on="parent_uid")
    there = parts.filter(pl.col("seen_label").is_in(pl.col("kinds")))
    true = [
        colours[kinds.index(label)] in text.split()
        for label, text, kinds, colours in there.select(
            "seen_label", "chosen", "kinds", "colours"
        ).iter_rows()
    ]
    told = [
        proposed[choice] == text and int(np.argmax(scores)) == choice
        for proposed, choice, scores, text in parts.select(
            "proposed_descriptions", "chosen_choice", "chosen_scores", "chosen"
        ).iter_rows()
    ]
    made = rows.drop_nulls(["plain", "described"])
    found = [recall(made, "plain"), recall(made, "described")]
    return [
        Measure("hop 1: things that are there", there.height / parts.height, parts.height, 0.85),
        Measure("hop 3: colours right, of ten that hop 2 proposes",
                float(np.mean(true)), there.height, 0.9),
        Measure("choice and scores are in the package", float(np.mean(told)), parts.height, 1.0),
        Measure("things of the scene: one look", found[0], made.height),
        Measure("things of the scene: three hops", found[1], made.height),
        Measure("gain in things", found[1] - found[0], made.height, 0.2),
        Measure("one look: right / mentioned", accuracy(made, "plain"), made.height),
        Measure("three hops: right / mentioned", accuracy(made, "described"), made.height, 0.85),
    ]  # fmt: skip


OTHERS: dict[str, Proof] = {"patch-matters": patch_matters, "socratic": socratic}
"""Recipe → what proves it, on a world with `things` of four or more."""
