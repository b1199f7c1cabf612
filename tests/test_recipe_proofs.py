"""Proofs of recipes notice where the mechanism that they are about does nothing."""

from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest

from pairmill.demo.recipes import every_proof, recipe_rows, served, write_pictures
from pairmill.demo.world import World

pytestmark = pytest.mark.slow

Place = tuple[Path, pl.DataFrame]
Breaking = Callable[[pl.DataFrame], pl.DataFrame]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder, world = tmp_path_factory.mktemp("proofs"), World(60, 1)
    truth = write_pictures(world, folder)
    with served(world, slow=0.0):
        yield folder, truth


def uncut(rows: pl.DataFrame) -> pl.DataFrame:
    """The whole text as its only sentence."""
    return rows.with_columns(sentences=pl.concat_list("long"))


def emptied(rows: pl.DataFrame) -> pl.DataFrame:
    """Nothing is left of the captions."""
    return rows.with_columns(first_short=pl.lit(""), second_short=pl.lit(""))


def within_words(rows: pl.DataFrame) -> pl.DataFrame:
    """Captions are cut one letter too early."""
    names = ("first_short", "second_short")
    return rows.with_columns(pl.col(name).str.head(-1) for name in names)


def unrepaired(rows: pl.DataFrame) -> pl.DataFrame:
    """What was right at the second try has failed instead."""
    again = pl.col("made_repaired").fill_null(False)
    lost = (pl.when(~again).then(pl.col(c)) for c in ("made", "made_draft", "made_repaired"))
    return rows.with_columns(
        *lost,
        fate=pl.when(again).then(pl.lit("failed")).otherwise("fate"),
        reason=pl.when(again).then(pl.lit("bad_json")).otherwise("reason"),
    )


def unrefined(rows: pl.DataFrame) -> pl.DataFrame:
    """The draft is the text."""
    return rows.with_columns(made="made_draft")


def unmatched(rows: pl.DataFrame) -> pl.DataFrame:
    """The first proposal, whatever the picture shows."""
    return rows.with_columns(best=pl.col("inserted").list.first())


def untried(rows: pl.DataFrame) -> pl.DataFrame:
    """What no first translation says rightly is dropped."""
    again = pl.col("german_tries") > 1
    return rows.with_columns(fate=pl.when(again).then(pl.lit("dropped")).otherwise("fate"))


def ungated(rows: pl.DataFrame) -> pl.DataFrame:
    """Nothing is dropped."""
    return rows.with_columns(fate=pl.col("fate").str.replace("dropped", "kept"))


def untold(rows: pl.DataFrame) -> pl.DataFrame:
    """No opening is counted."""
    return rows.with_columns(template_rate=pl.lit(0.0))


def unretained(rows: pl.DataFrame) -> pl.DataFrame:
    """The gate takes every name for kept."""
    names = ("check_alt_retention", "before_alt_retention")
    return rows.with_columns(pl.col(name) * 0 + 1 for name in names)


def unfused(rows: pl.DataFrame) -> pl.DataFrame:
    """The caption stays as it was."""
    return rows.with_columns(fused=pl.when(pl.col("fused").is_not_null()).then("synthetic"))


def disagreed(rows: pl.DataFrame) -> pl.DataFrame:
    """The first sample, however many say otherwise."""
    return rows.with_columns(agreed=pl.col("samples").list.first())


def undetected(rows: pl.DataFrame) -> pl.DataFrame:
    """No object is missed by the detector."""
    empty = pl.lit([], dtype=pl.List(pl.String))
    return rows.with_columns(draft_ungrounded=empty)


def half(rows: pl.DataFrame) -> pl.DataFrame:
    """The first half is all that is told."""
    return rows.with_columns(long="half1")


def unjudged(rows: pl.DataFrame) -> pl.DataFrame:
    """The judge says the same of all."""
    return rows.with_columns(axes_hallucination=pl.lit(5, dtype=pl.Int64))


def unowned(rows: pl.DataFrame) -> pl.DataFrame:
    """All captions are said to be the student's."""
    return rows.with_columns(caption_from=pl.lit("student"))


def unenriched(rows: pl.DataFrame) -> pl.DataFrame:
    """The new text is the web's."""
    return rows.with_columns(enriched="text")


BROKEN: list[tuple[str, Breaking]] = [
    ("dreamlip", uncut),
    ("mllm-augmented", emptied),
    ("mllm-augmented", within_words),
    ("mme5", unrepaired),
    ("mme5", unrefined),
    ("svlc", unmatched),
    ("aya", untried),
    ("aya", ungated),
    ("recap-datacomp", untold),
    ("capsfusion", unretained),
    ("capsfusion", unfused),
    ("sicog", disagreed),
    ("image-textualization", undetected),
    ("image-textualization", ungated),
    ("longcaptioning", half),
    ("imageinwords", unjudged),
    ("sharegpt4v", unowned),
    ("veclip", unenriched),
]


@pytest.mark.parametrize(
    ("name", "breaking"), BROKEN, ids=lambda one: getattr(one, "__name__", one)
)
def test_proof_misses_a_goal_where_its_mechanism_is_broken(
    name: str, breaking: Breaking, place: Place
) -> None:
    folder, truth = place
    rows, proof = recipe_rows(name, folder, truth), every_proof()[name]

    def missed(rows: pl.DataFrame) -> list[str]:
        found = proof(rows, folder / name)
        return [m.name for m in found if m.goal is not None and not m.value >= m.goal]

    assert missed(rows) == []
    assert missed(breaking(rows))
