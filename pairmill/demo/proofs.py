"""What proves each caption recipe: figures against the truth of the demo world."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl

from pairmill.demo.quality import Measure, attributes_right, auc, kinds_in, mean, words_in
from pairmill.texts.words import plain_words

Proof = Callable[[pl.DataFrame, Path], list[Measure]]
PROOFS: dict[str, Proof] = {}


def proof(name: str) -> Callable[[Proof], Proof]:
    """Names the recipe that a function proves."""

    def keep(function: Proof) -> Proof:
        PROOFS[name] = function
        return function

    return keep


def accuracy(rows: pl.DataFrame, column: str) -> float:
    """Objects, colours and counts right / mentioned, over the captions of a column."""
    right = mentioned = 0
    truth = ("kinds", "colours", "counts")
    for text, *scene in rows.drop_nulls(column).select(column, *truth).iter_rows():
        own = attributes_right(text, *scene)
        right, mentioned = right + own[0], mentioned + own[1]
    return right / max(1, mentioned)


def whole(text: str | None, row: tuple[list[str], list[str], list[int]]) -> bool:
    """Whether every object, colour and count that a caption mentions is right."""
    right, mentioned = attributes_right(text or "", *row)
    return mentioned > 0 and right == mentioned


def wholes(rows: pl.DataFrame, column: str) -> pl.Series:
    """`whole` of each row's caption."""
    found = [
        whole(text, tuple(scene))  # type: ignore[arg-type]
        for text, *scene in rows.select(column, "kinds", "colours", "counts").iter_rows()
    ]
    return pl.Series(found, dtype=pl.Boolean)


def holds(rows: pl.DataFrame, column: str) -> pl.Series:
    """Whether a column's text has the name of the row's raw text."""
    pairs = rows.select("name", column).iter_rows()
    return pl.Series([name in (text or "") for name, text in pairs], dtype=pl.Boolean)


def believed(rows: pl.DataFrame, column: str, seen: str) -> pl.Series:
    """Whether a text names a thing that the raw text says and the picture's caption does not."""
    found = []
    for raw, caption, text in rows.select("text", seen, column).iter_rows():
        found.append(bool((kinds_in(raw) - kinds_in(caption)) & kinds_in(text or "")))
    return pl.Series(found, dtype=pl.Boolean)


@proof("capsfusion")
def capsfusion(rows: pl.DataFrame, folder: Path) -> list[Measure]:
    """Names are kept, mismatched texts not believed, and the gate drops just what lost its name."""
    fused = rows.drop_nulls("fused")
    named = fused.filter(pl.col("name").is_not_null() & pl.col("matched"))
    false = fused.filter(pl.col("text_kind") == "mismatched")
    gated = fused.filter(pl.col("check_alt_retention").is_not_null() & pl.col("name").is_not_null())
    lost = ~holds(gated, "fused")
    dropped = gated["check_alt_retention"] < 0.5
    return [
        Measure("names of matched raw texts kept", mean(holds(named, "fused")), named.height, 0.9),
        Measure(
            "mismatched raw texts not believed",
            mean(~believed(false, "fused", "synthetic")),
            false.height,
            0.9,
        ),
        Measure(
            "retention gate right about a lost name", mean(lost == dropped), gated.height, 0.95
        ),
        Measure(
            "captions that know no name, told by retention",
            mean(named["before_alt_retention"] < 0.5), named.height, 0.9,
        ),
        Measure("objects, colours, counts right", accuracy(fused, "fused"), fused.height, 0.9),
    ]  # fmt: skip


@proof("veclip")
def veclip(rows: pl.DataFrame, folder: Path) -> list[Measure]:
    """What the captioner saw is in the new text, and the web's name where the text is about it."""
    kept = rows.filter(pl.col("fate") == "kept")
    things = [
        kinds_in(seen) <= kinds_in(new)
        for seen, new in kept.select("synthetic", "enriched").iter_rows()
    ]
    named = kept.filter(pl.col("name").is_not_null() & pl.col("matched"))
    false = kept.filter(pl.col("text_kind") == "mismatched")
    return [
        Measure("things of the caption in the new text", float(np.mean(things)), kept.height, 0.95),
        Measure(
            "names of matched raw texts kept", mean(holds(named, "enriched")), named.height, 0.9
        ),
        Measure(
            "mismatched raw texts not believed",
            mean(~believed(false, "enriched", "synthetic")),
            false.height,
            0.95,
        ),
    ]


@proof("recap-datacomp")
def recap_datacomp(rows: pl.DataFrame, folder: Path) -> list[Measure]:
    """Recaptions say more that is right than the web's texts, and templates are told."""
    kept = rows.filter(pl.col("fate") == "kept")
    better = kept["check_clip_mean"] > kept["check_clip_alt"]
    wrong = rows.filter(pl.col("matched").not_())
    openings = [" ".join(plain_words(text)[:4]) for text in kept["recaption"]]
    shares = pl.Series([openings.count(one) / len(openings) for one in openings])
    return [
        Measure("objects, colours, counts right", accuracy(kept, "recaption"), kept.height, 0.85),
        Measure("words: caption / alt text, median", median(kept, "check_alt_ratio"), kept.height),
        Measure("sentences nearer to the picture than the alt text", mean(better), kept.height),
        Measure(
            "the same where the alt text is about something else",
            mean((wrong["check_clip_mean"] > wrong["check_clip_alt"]).drop_nulls()),
            wrong.height, 0.85,
        ),
        Measure("captions with the commonest opening", maximum(kept, "template_rate"), kept.height),
        Measure("openings counted", mean((kept["template_rate"] - shares).abs() < 1e-6),
                kept.height, 1.0),
    ]  # fmt: skip


@proof("sharegpt4v")
def sharegpt4v(rows: pl.DataFrame, folder: Path) -> list[Measure]:
    """Every row tells whose its caption is; the teacher's rows leave as conversations."""
    made = rows.drop_nulls("caption")
    expected = pl.Series(np.where(made["sample"] < 0.2, "teacher", "student"))
    lines = json.loads((folder / "1/00000.json").read_text())
    kept = made.filter(pl.col("fate") == "kept", pl.col("caption_from") == "teacher")
    answers = {turns["conversations"][1]["value"] for turns in lines}
    told = [turns["conversations"][0]["value"].startswith("<image>") for turns in lines]
    return [
        Measure("origin column right", mean(made["caption_from"] == expected), made.height, 1.0),
        Measure("share of the teacher", mean(made["caption_from"] == "teacher"), made.height),
        Measure(
            "conversations are the teacher's captions",
            float(len(lines) == kept.height and answers == set(kept["caption"]) and all(told)),
            len(lines), 1.0,
        ),
        Measure("teacher (oracle): right / mentioned", accuracy(rows, "teacher"), kept.height),
        Measure("student: right / mentioned", accuracy(rows, "student"), made.height - kept.height),
    ]  # fmt: skip


@proof("mllm-augmented")
def mllm_augmented(rows: pl.DataFrame, folder: Path) -> list[Measure]:
    """Every caption has as many words as the web's text, or is whole where it was shorter."""
    found = []
    for name in ("first", "second"):
        exact = [
            plain_words(short) == plain_words(" ".join(full.split()[: words_in(alt) or None]))
            for full, alt, short in rows.select(name, "text", f"{name}_short").iter_rows()
        ]
        starts = [
            full.startswith(short) for full, short in rows.select(name, f"{name}_short").iter_rows()
        ]
        found.append(
            Measure(f"{name}: as many words as the alt text", float(np.mean(exact)), rows.height, 1)
        )
        found.append(Measure(f"{name}: its beginning", float(np.mean(starts)), rows.height, 1.0))
    return found


@proof("dreamlip")
def dreamlip(rows: pl.DataFrame, folder: Path) -> list[Measure]:
    """Sentences join to the caption again, and each says what is true."""
    joined = [
        " ".join(parts) == " ".join(text.split())
        for text, parts in rows.select("long", "sentences").iter_rows()
    ]
    single = rows.explode("sentences")
    stops = single["sentences"].str.count_matches(r"\.")
    return [
        Measure("sentences joined are the caption", float(np.mean(joined)), rows.height, 1.0),
        Measure("sentences a caption", single.height / rows.height, rows.height),
        Measure("pieces with one full stop", mean(stops == 1), single.height, 1.0),
        Measure(
            "right / mentioned, over sentences", accuracy(single, "sentences"), single.height, 0.85
        ),
    ]  # fmt: skip


@proof("sicog")
def sicog(rows: pl.DataFrame, folder: Path) -> list[Measure]:
    """What samples agree on is right more often than a single one; the score tells how sure it
    is.
    """
    every = rows.explode("samples")
    single, agreed = accuracy(every, "samples"), accuracy(rows, "agreed")
    right = wholes(rows, "agreed").to_numpy()
    scores = rows["agreed_score"].to_numpy()
    sure = auc(scores[right], scores[~right]) if right.any() and not right.all() else 1.0
    return [
        Measure("single sample: right / mentioned", single, every.height),
        Measure("agreed caption: right / mentioned", agreed, rows.height),
        Measure("gain", agreed - single, rows.height, 0.05),
        Measure("agreement tells right captions from wrong ones, ROC AUC", sure, rows.height, 0.7),
    ]


@proof("mme5")
def mme5(rows: pl.DataFrame, folder: Path) -> list[Measure]:
    """Bad JSON is repaired once, then the row fails; nothing crashes."""
    fine = rows.drop_nulls("made")
    failed = rows.filter(pl.col("fate") == "failed", pl.col("reason") == "bad_json")
    return [
        Measure("right at the second try", mean(fine["made_repaired"]), rows.height, 0.05),
        Measure("failed as bad_json", failed.height / rows.height, rows.height),
        Measure(
            "rows accounted for", (fine.height + failed.height) / rows.height, rows.height, 1.0
        ),
        Measure("draft: right / mentioned", accuracy(fine, "made_draft"), fine.height),
        Measure("refined: right / mentioned", accuracy(fine, "made"), fine.height, 0.95),
    ]


@proof("aya")
def aya(rows: pl.DataFrame, folder: Path) -> list[Measure]:
    """Wrong translations are found by their way back and repaired."""
    from pairmill.demo.oracle_reading import told_by

    def same(text: str, other: str | None) -> bool:
        one, two = told_by(text), told_by(other or "")
        things = ({(g.kind, g.colour, g.count) for g in told.groups} for told in (one, two))
        return len({frozenset(t) for t in things}) == 1

    def wrong(part: pl.DataFrame) -> float:
        pairs = part.select("synthetic", "german").iter_rows()
        return float(np.mean([not same(text, german) for text, german in pairs]))

    made = rows.drop_nulls("german")
    kept = made.filter(pl.col("fate") == "kept")
    once = made.filter(pl.col("german_tries") == 1)
    again = made.filter(pl.col("german_tries") > 1)
    false = made.filter(
        pl.Series([not same(*p) for p in made.select("synthetic", "german").rows()])
    )
    return [
        Measure("translated a second or third time", 1 - once.height / made.height, made.height),
        Measure("wrong before the gate", wrong(made), made.height),
        Measure("wrong behind the gate, of 1", wrong(kept), kept.height),
        Measure("right behind the gate", 1 - wrong(kept), kept.height, 0.95),
        Measure("wrong ones that the gate drops", mean(false["fate"] == "dropped"),
                false.height, 0.7),
        Measure("faithful at the second or third try", mean(again["fate"] == "kept"),
                again.height, 0.3),
        Measure("kept", kept.height / made.height, made.height),
    ]  # fmt: skip


@proof("imageinwords")
def imageinwords(rows: pl.DataFrame, folder: Path) -> list[Measure]:
    """Five typed axes; the axis about inventions tells wrong captions from right ones."""
    judged = rows.drop_nulls("axes_hallucination")
    axes = ("comprehensiveness", "specificity", "hallucination", "opening", "human_likeness")
    typed = all(rows.schema[f"axes_{axis}"] == pl.Int64 for axis in axes)
    within = all(bool(judged[f"axes_{axis}"].is_between(1, 5).all()) for axis in axes)
    right = wholes(judged, "synthetic").to_numpy()
    scores = judged["axes_hallucination"].to_numpy().astype(float)
    return [
        Measure("five axes are integers from 1 to 5", float(typed and within), judged.height, 1.0),
        Measure("rows judged", judged.height / rows.height, rows.height, 0.95),
        Measure(
            "hallucination axis tells wrong captions, ROC AUC",
            auc(scores[right], scores[~right]), judged.height, 0.75,
        ),
    ]  # fmt: skip


def median(rows: pl.DataFrame, column: str) -> float:
    """The median of a column's values."""
    return float(np.median(rows[column].drop_nulls().to_numpy()))


def maximum(rows: pl.DataFrame, column: str) -> float:
    """The largest of a column's values."""
    return float(max(rows[column].drop_nulls(), default=0.0))
