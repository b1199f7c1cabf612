"""Texts cut to a length, chosen among candidates, agreed on by samples."""

import random
from typing import Any

import pyarrow as pa
import pytest
from pydantic import ValidationError

from pairmill.filters.best_of import BestOfConfig, BestOfStage
from pairmill.filters.self_consistency import SelfConsistencyStage
from pairmill.filters.shorten import ShortenStage, word_ends
from pairmill.plan.declared import BadStage, declared
from pairmill.stage import check_stage
from pairmill.texts.similarity import agreement, agreements, chrf, coverage
from tests.conftest import CLIP

Pictures = list[tuple[bytes, str]]


@pytest.mark.parametrize(
    ("caption", "alt", "at", "cut"),
    [
        ("A ball lies here. It is red. So it is.", "one two three four five six seven eight", "sentence", ("A ball lies here. It is red.", "sentence")),
        ("A ball lies here. It is red.", "one two three four five six", "word", ("A ball lies here. It is", "word")),
        ("A ball, red, lies here.", "one two", "sentence", ("A ball", "word")),
        ("A ball.", "one two three", "sentence", ("A ball.", "no")),
        ("A ball.", None, "sentence", ("A ball.", "no")),
        ("A ball lies here.", "", "word", ("A ball lies here.", "no")),
        ("A ball lies here.", "👍 …", "sentence", ("A ball lies here.", "no")),
        ("ที่นี่", "ก", "word", ("ที่", "word")),
        ("一只黑猫睡在沙发上。旁边有书。", "一二三四五六七八九", "sentence", ("一只黑猫睡在沙发上。", "sentence")),
        ("一只黑猫睡在沙发上。", "一二三四", "word", ("一只黑猫", "word")),
    ],
)  # fmt: skip
def test_caption_is_cut_to_the_alt_texts_words(
    caption: str, alt: str | None, at: str, cut: tuple[str, str]
) -> None:
    rows = pa.table({"long": [caption], "text": pa.array([alt], pa.string())})
    answer = check_stage(ShortenStage, rows, caption="long", at=at)
    assert (answer["short"][0].as_py(), answer["short_cut"][0].as_py()) == cut


def test_cut_captions_have_as_many_words_as_their_alt_texts() -> None:
    texts = [" ".join(["word"] * n) + "." for n in range(1, 30)]
    rows = pa.table({"long": texts[::-1], "text": texts})
    short = check_stage(ShortenStage, rows, caption="long", at="word")["short"].to_pylist()
    assert [len(word_ends(s)) for s in short] == [min(n, 30 - n) for n in range(1, 30)]
    fixed = check_stage(ShortenStage, rows, caption="long", to=None, words=3, at="word")
    assert max(len(word_ends(s)) for s in fixed["short"].to_pylist()) == 3


def test_scores_that_are_no_numbers_choose_nothing_and_the_first_of_equal_ones_counts() -> None:
    nan, inf = float("nan"), float("inf")
    texts = [["a", "b", None], ["a", "b"], [" ", "b"], [], ["a", "b"]]
    scores = [[0.5, 0.5, 0.9], [None, nan], [0.9, 0.1], [], [1.0, inf]]
    rows = pa.table({"texts": texts, "scores": scores})
    answer = check_stage(BestOfStage, rows, candidates="texts", scores="scores")
    assert answer["best"].to_pylist() == ["a", None, "b", None, "b"]
    assert answer["best_choice"].to_pylist() == [0, None, 1, None, 1]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a ball (red) in “the” sky", ["a", "ball", "(red)", "in", "“the”", "sky"]),
        ("сердце в небе (Zanquine)", ["сердце", "в", "небе", "(Zanquine)"]),
        ("one - two, «three» !", ["one", "two,", "«three»"]),
        ("红球iPhone在", ["红", "球", "iPhone", "在"]),
        ("it's 2.5 m", ["it's", "2.5", "m"]),
    ],
)
def test_mark_that_opens_a_word_does_not_join_it_to_the_one_before(
    text: str, words: list[str]
) -> None:
    assert len(word_ends(text)) == len(words)
    assert [text[:end].rsplit(None, 1)[-1] for end in word_ends(text)][-1].endswith(words[-1])


def test_long_text_of_short_sentences_is_cut_in_one_pass() -> None:
    """Each sentence was counted from the text's beginning: hours for a page of them."""
    rows = pa.table({"long": ["Hi. " * 30_000], "text": ["a " * 25_000]})
    answer = ShortenStage(ShortenStage.Config(caption="long"))(rows)
    assert answer["short"][0].as_py() == ("Hi. " * 25_000).strip()


def test_best_of_chooses_by_scores_and_keeps_all() -> None:
    rows = pa.table(
        {
            "texts": [["a", "b", "c"], ["a", None], [], ["a"]],
            "points": [[0.1, None, 0.4], [None, 0.9], [], [0.1, 0.2]],
        }
    )
    answer = check_stage(BestOfStage, rows, candidates="texts", scores="points")
    assert answer["best"].to_pylist() == ["c", None, None, None]
    assert answer["best_choice"].to_pylist() == [2, None, None, None]
    assert answer["error"].to_pylist()[3]["message"] == "1 candidates and 2 scores"
    two = pa.table({"one": ["x", None, None], "two": ["y", "z", None]})
    first = check_stage(BestOfStage, two, candidates=["one", "two"])
    assert first["best"].to_pylist() == ["x", "z", None]
    assert first["best_from"].to_pylist() == ["one", "two", None]
    with pytest.raises(ValidationError, match="name one"):
        BestOfConfig(candidates="a", scores="b", model="c")
    with pytest.raises(BadStage, match="'number' is int64"):
        declared(BestOfConfig(candidates="number"), 0, pa.schema([("number", pa.int64())]))


def test_best_of_by_a_model_finds_the_caption_of_the_picture(pictures: Pictures) -> None:
    texts = [
        [other, own, None]
        for (_, own), (_, other) in zip(pictures[:6], pictures[6:12], strict=True)
    ]
    images = [*(p for p, _ in pictures[:6]), b"none"]
    rows = pa.table({"image": images, "texts": [*texts, ["a", "b"]]})
    answer = check_stage(BestOfStage, rows, 0.01, candidates="texts", model=CLIP)
    assert answer["best_choice"].to_pylist().count(1) >= 5
    assert answer["best_scores"].to_pylist()[0][2] is None
    assert answer["error"].to_pylist()[6]["class"] == "decode"


def test_self_consistency_takes_what_most_samples_say() -> None:
    rows: Any = pa.table(
        {
            "samples": [
                ["two red stars at night", "two blue stars at night", "two red stars at night"],
                ["a", None],
                [None],
            ]
        }
    )
    answer = check_stage(SelfConsistencyStage, rows, candidates="samples")
    assert answer["agreed"].to_pylist() == ["two red stars at night", "a", None]
    assert answer["agreed_choice"].to_pylist() == [0, 0, None]
    first, second, third = answer["agreed_score"].to_pylist()
    assert 0.5 < first < 1
    assert (second, third) == (None, None)


def test_likeness_of_texts() -> None:
    assert agreement("a red ball", "A red ball!") == 1.0
    assert agreement("a red ball", "zwei Autos") == 0.0
    assert chrf("红色的球", "红色的球") == 1.0
    assert chrf("a red ball at night", "a red ball by night") > 0.6 > chrf("a red ball", "two cars")
    assert chrf("", "") == 1.0
    assert coverage("two red stars", "here you see two red stars at night") == 1.0
    assert coverage("two red stars", "two blue stars") == pytest.approx(2 / 3)


def test_agreement_of_many_is_the_mean_of_pairs_to_the_last_bit() -> None:
    draw = random.Random(5)
    for count in (1, 2, 3, 8):
        for _ in range(40):
            words = [draw.choices(["a", "b", "red", "ball", "2"], k=draw.randint(0, 9)) for _ in
                     range(count)]  # fmt: skip
            texts = [" ".join(some) for some in words]
            found = agreements(texts)
            for i, text in enumerate(texts):
                others = [agreement(text, other) for other in texts[:i] + texts[i + 1 :]]
                assert found[i] == (sum(others) / len(others) if others else 1.0)


@pytest.mark.parametrize("blank", ["", " \n", "\u3000"])
def test_an_answer_that_says_nothing_is_never_chosen(blank: str) -> None:
    rows = pa.table(
        {"teacher": [blank, "a ball", blank], "student": ["a red ball", "a cat", blank]}
    )
    chosen = check_stage(BestOfStage, rows, candidates=["teacher", "student"])
    assert chosen["best"].to_pylist() == ["a red ball", "a ball", None]
    assert chosen["best_from"].to_pylist() == ["student", "teacher", None]
    scores = {"t": [9.0, 1.0, 1.0], "s": [1.0, 2.0, 2.0]}
    scored = pa.table({**{n: rows[n] for n in rows.column_names}, **scores})
    chosen = check_stage(BestOfStage, scored, candidates=["teacher", "student"], scores=["t", "s"])
    assert chosen["best"].to_pylist() == ["a red ball", "a cat", None]
    samples = pa.table({"samples": [[blank, blank, "a ball"], [blank, blank]]})
    agreed = check_stage(SelfConsistencyStage, samples, candidates="samples")
    assert agreed["agreed"].to_pylist() == ["a ball", None]
    assert agreed["agreed_score"].to_pylist() == [None, None]
