"""Checks of captions: each sign on texts that have it and texts that have not, a labelled list,
objects, sentences against the picture, templates over a data set.
"""

import pyarrow as pa
import pytest

from pairmill.filters.caption_checks.objects import COCO, Mentions
from pairmill.schemas.arrow import column
from pairmill.stage import check_stage
from pairmill.stages.catalogue import stage_class
from pairmill.texts.facts import invented_numbers, names_of, retention
from pairmill.texts.repetition import longest_run, moving_ratio, word_ngram_ratio
from pairmill.texts.signs import hedges, is_cut, leaks, refuses
from pairmill.texts.words import plain_words, sentences
from tests import tiny  # noqa: F401  (benchmarks/ on the path)
from tests.conftest import CLIP

Pictures = list[tuple[bytes, str]]


@pytest.mark.parametrize(
    "label", ["refusal", "hedged", "leak", "truncated", "repeated", "lost", "invented"]
)
def test_gates_tell_the_faults_of_the_labelled_list(label: str, listed: dict[str, object]) -> None:
    captions, precision, recall = listed[label]  # type: ignore[misc]
    assert captions >= 7
    assert precision >= 0.95
    assert recall >= 0.9


@pytest.fixture(scope="module")
def listed() -> dict[str, object]:
    from caption_checks import figures, labelled, languages_right

    rows = labelled()
    assert rows["language"].n_unique() == 8
    assert languages_right(rows) > 0.95
    return dict(figures(rows))


def test_signs_are_not_seen_in_what_a_caption_cites_or_in_a_month() -> None:
    assert refuses("I'm sorry, but I cannot see it.")
    assert not refuses('A sign says "I\'m sorry, we are closed".')
    assert hedges("It may be a boat, perhaps a ferry.") == 2
    assert hedges("Tulips in May") == 0
    assert hedges("Perhaps a ferry. Vielleicht ein Boot. Возможно, лодка.") == 3
    assert leaks("OK sign on a wall") is None
    assert leaks("OK, a red ball") == "OK,"
    assert leaks("a ball <|im_end|>") == "<|im_end|>"
    assert leaks("a ball, price < 5 and > 3") is None
    assert is_cut("a man next to a", "en")
    assert not is_cut("vitamina a", "ru")


def test_sentences_end_where_people_end_them() -> None:
    assert sentences("Dr. Smith has 2.5 dogs. They bark!\nA cat") == [
        "Dr. Smith has 2.5 dogs.",
        "They bark!",
        "A cat",
    ]
    assert sentences("一只猫。两只狗！") == ["一只猫。", "两只狗！"]
    assert sentences("...") == []


def test_repetition_counts_phrases_in_a_row_and_ngrams() -> None:
    assert longest_run(plain_words("a cat a cat a cat sat")) == 3
    assert longest_run(plain_words("very very tall")) == 2
    assert longest_run([]) == 0
    assert longest_run(plain_words("红色红色红色的球")) == 3
    assert word_ngram_ratio("a b c d e x a b c d e".split()) == pytest.approx(2 / 7)
    words = [str(i % 60) for i in range(120)]
    assert moving_ratio(words) == 1.0
    assert moving_ratio(["a"] * 100) == pytest.approx(1 / 50)


def test_names_and_numbers_of_the_alt_text_are_found_where_its_writing_tells_them() -> None:
    assert names_of("Kalodor: two stars, seen by Ann Lee", "en") == ["Kalodor", "Ann", "Lee"]
    assert names_of("Here you can see a Very Big Car For Sale Now", "en") == []
    assert names_of("Kalodor: Ein Ball auf der Wiese", "de") == ["Kalodor"]
    assert names_of("Ein Ball auf der Wiese", "de") == []
    assert names_of("草地上的Kalodor球", "zh") == ["Kalodor"]
    assert retention("3 dogs in Rome, 1,984 of them", "en", "Three dogs, 1984, in Rome.") == 1.0
    assert retention("Tower of Pisa", "en", "a tower of stone") == 0.0
    assert retention("two dogs", "en", "two dogs") is None
    assert invented_numbers("3 dogs in 1999, 40% of 1.200", "we had 1200 in all") == ["1999", "40"]


def test_objects_that_no_detector_found_are_named() -> None:
    mentions = Mentions({**COCO, "球": ["皮球"]})
    text = "Two dogs and a hot dog, near a teddy bear."
    assert mentions.of(text) == ["dog", "hot dog", "teddy bear"]
    assert mentions.ungrounded(text, ["dog", {"label": "Hot dog", "score": 0.9}]) == (
        ["dog", "hot dog", "teddy bear"],
        ["teddy bear"],
    )
    assert mentions.of("草地上的皮球") == ["球"]
    assert mentions.of("wine glasses, puppies and mice") == ["wine glass", "dog", "mouse"]


def test_stage_keeps_the_contract_and_compares_each_sentence_with_the_picture(
    pictures: Pictures,
) -> None:
    captions = [f"{text.capitalize()}." for _, text in pictures[:4]]
    wrong = [f"{own} {other}" for own, other in zip(captions, captions[::-1], strict=True)]
    fields = [
        column("made", pa.string(), "a caption", role="caption"),
        column("ended", pa.string(), "why", role="finish_reason", of="made"),
        pa.field("text", pa.string()),
        pa.field("things", pa.list_(pa.string())),
        pa.field("image", pa.binary()),
    ]
    images = [*(p for p, _ in pictures[:4]), b"no picture"]
    data = [[*wrong, "x"], ["stop"] * 4 + ["length"], [*captions[:3], None, "x"]]
    things = [["ball"], [], None, [], []]
    rows = pa.table([*data, things, images], schema=pa.schema(fields))
    names = {"star": [], "boat": []}
    answer = check_stage(
        stage_class("caption_checks"), rows, 0.01,
        caption="made", objects="things", object_names=names, model=CLIP,
    ).to_pylist()  # fmt: skip
    assert [r["error"] and r["error"]["class"] for r in answer] == [None] * 4 + ["decode"]
    for row in answer[:3]:
        assert row["check_clip_min"] < row["check_clip_mean"] < row["check_clip_alt"]
    assert answer[3]["check_clip_alt"] is None
    assert answer[3]["check_alt_ratio"] is None
    assert answer[2]["check_ungrounded"] is None
    assert answer[0]["check_sentences"] == 2
    alone = check_stage(stage_class("caption_checks"), rows.slice(4), caption="made", alt=None)
    assert alone["check_truncated"].to_pylist() == [True]
    assert "check_alt_ratio" not in alone.schema.names


def test_openings_are_counted_over_all_captions() -> None:
    texts = [
        "This image shows a cat",
        "this image shows a dog!",
        "This image shows a cat.",
        "A cat",
    ]
    rows = pa.table({"made": texts, "uid": list("abcd"), "#order": range(4)})
    answer = check_stage(stage_class("caption_templates"), rows, caption="made", words=3)
    assert answer["template_opening"].to_pylist() == ["this image shows"] * 3 + [None]
    assert answer["template_rate"].to_pylist() == [0.75, 0.75, 0.75, 0.0]
    assert answer["template_same"].to_pylist() == [2, 1, 2, 1]
