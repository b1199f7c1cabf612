"""Numbers of things in messages: one is said as one."""

import pytest

from pairmill.fates.ledger import Funnel, Step
from pairmill.outputs.card import remarks
from pairmill.pipeline.findings import package_notes
from pairmill.pipeline.news import News
from pairmill.terminal.display import funnel_table
from pairmill.texts.amounts import commonest, counted

WEBP = "webp pictures were encoded as png (`format: original` keeps them)"


@pytest.mark.parametrize(
    ("plural", "one"),
    [
        (WEBP, "1 webp picture was encoded as png (`format: original` keeps them)"),
        (
            "pictures that EXIF turns were turned upright and encoded anew",
            "1 picture that EXIF turns was turned upright and encoded anew",
        ),
        ("PNGs were packed without a text", "1 PNG was packed without a text"),
        ("rows without picture and text are in no document",
         "1 row without picture and text is in no document"),
        ("without a caption: nothing holds a text", "1 without a caption: nothing holds a text"),
    ],
)  # fmt: skip
def test_one_of_something_is_said_as_one(plural: str, one: str) -> None:
    assert counted(1, plural) == one
    assert counted(1200, plural) == f"1,200 {plural}"


def test_notes_and_card_of_a_package_say_one_picture() -> None:
    told = {WEBP: 1}
    one = "1 webp picture was encoded as png (`format: original` keeps them)"
    manifest = {"samples": 1, "told": told, "left_out": [], "rows": None, "selection": {}}
    assert one in package_notes(manifest)
    assert f"- {one}" in remarks(told)


def test_news_of_one_row() -> None:
    assert str(News(1, 0, 0)) == "1 row known, 0 new, 0 gone"


@pytest.mark.parametrize(
    ("counts", "told"),
    [
        ({}, ""),
        ({"dns": 1, "tls": 1200}, "tls ×1,200, dns ×1"),
        ({"a": 4, "b": 3, "c": 2}, "a ×4, b ×3, c ×2"),
        ({"a": 4, "b": 3, "c": 2, "d": 1}, "a ×4, b ×3, others ×3"),
    ],
)
def test_reasons_that_are_not_named_are_counted(counts: dict[str, int], told: str) -> None:
    assert commonest(counts, 2) == told


def test_reasons_of_a_step_add_up_to_its_rows() -> None:
    reasons = {f"class_{i}": i for i in range(1, 8)}
    step = Step("download", 28, failed=28, reasons=reasons)
    (column,) = funnel_table(Funnel(28, 0, [step])).columns[-1:]
    assert (
        str(next(iter(column.cells))) == "class_7 ×7, class_6 ×6, class_5 ×5, class_4 ×4, others ×6"
    )
