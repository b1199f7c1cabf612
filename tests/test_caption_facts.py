"""Names and numbers that a caption keeps or invents, however they are written."""

import pytest

from pairmill.filters.caption_checks.rules import facts_of_caption
from pairmill.texts.facts import invented_numbers, numbers_of, retention
from pairmill.texts.number_words import says_number, words_of


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("1'200 or 1’200’000", ["1200", "1200000"]),
        ("1\u00a0200 m, 1\u202f200\u202f000 m", ["1200", "1200000"]),
        ("3.0 of 2.50", ["3", "2.5"]),
        ("03.05.2019 and 2019-05-03", ["3", "5", "2019"]),
        ("12,34,567", ["1234567"]),
        ("١٢٣٬٤٥٦ ٣٫٥", ["123456", "3.5"]),
        ("1,2,3 and 192.168.0.1", ["1", "2", "3", "192", "168", "0"]),
        ("1,200.50 $", ["1200.5"]),
        ("40 000 seats, 1 000 200 or 1 200", ["40000", "1000200", "1", "200"]),
    ],
)
def test_numbers_are_the_same_however_they_are_written(text: str, numbers: list[str]) -> None:
    assert numbers_of(text) == numbers


@pytest.mark.parametrize(
    ("caption", "known"),
    [
        ("on May 3, 2019", "03.05.2019"),
        ("for 1200 dollars", "$1,200.00"),
        ("for 1200 euros", "1 200 EUR"),
        ("for 1 200 euros", "1200 EUR"),
        ("13.0 litres", "13 litres"),
        ("an iPhone 13", "iPhone13"),
        ("25 birds", "twenty-five birds"),
        ("25 Vögel", "fünfundzwanzig Vögel"),
        ("75 oiseaux", "soixante-quinze oiseaux"),
        ("31 pájaros", "treinta y uno pájaros"),
        ("25 птиц", "двадцать пять птиц"),
        ("25只鸟", "二十五只鸟"),
        ("100 years", "a hundred years"),
    ],
)
def test_number_that_a_text_has_in_another_form_is_not_invented(caption: str, known: str) -> None:
    assert invented_numbers(caption, known) == []
    assert invented_numbers(caption, "a flock of birds")


def test_number_within_another_is_not_said() -> None:
    assert says_number(25, "二十五")
    assert not says_number(20, "二十五")
    assert not says_number(2, "十二")
    assert not says_number(7, "seventeen")
    assert invented_numbers("1.5 metres", "1,500 metres") == ["1.5"]


def test_numbers_of_a_long_run_are_not_all_remembered() -> None:
    for number in range(10**6, 10**6 + 5000):  # page numbers, prices, counts of views
        says_number(number, "x")
    assert words_of.cache_info().currsize < 5000


@pytest.mark.parametrize(
    ("alt", "language", "caption", "kept"),
    [
        ("a view of Zürich", "en", "a view of Zurich", 1),
        ("a photo of Émile Zola", "en", "EMILE ZOLA", 1),
        ("a Cafe\u0301 Noir sign", "en", "the Café Noir", 1),
        ("night in İstanbul", "en", "Istanbul by night", 1),
        ("with Jean-Luc Picard", "en", "Jean Luc Picard", 1),
        ("a house of O’Brien", "en", "O'Brien's house", 1),
        ("the TITANIC sinking", "en", "the Titanic sinks", 1),
        ("made by York-based Acme", "en", "Acme of York", 1),
        ("Вид на Москву летом", "ru", "Москва летом", 1),
        ("a Ford car", "en", "a car of Fords", 1),
        ("a Ford car", "en", "a car in Fordham", 0),
        ("portrait of Ann", "en", "portrait of Anna", 0),
        ("portrait of Anna", "en", "Anna的照片", 1),
        ("东京塔 Tokyo Tower", "zh", "a picture of Tokyo", 0.5),
        ("13 eggs", "en", "thirteen eggs", 1),
        ("2 eggs", "en", "两个鸡蛋", 1),
        ("12 eggs", "en", "a dozen eggs", 1),
        ("the shop of Rose", "en", "a rose in a shop. It is red", 0),
    ],
)
def test_name_or_number_is_kept_however_it_is_written(
    alt: str, language: str, caption: str, kept: float
) -> None:
    assert retention(alt, language, caption) == kept


@pytest.mark.parametrize("reason", ["length", "max_tokens", "content_filter"])
def test_text_of_which_a_server_gave_a_part_is_truncated(reason: str) -> None:
    def truncated(finish: str) -> bool:
        return facts_of_caption("A red ball.", "en", None, None, "", finish).truncated

    assert truncated(reason)
    assert not truncated("stop")
