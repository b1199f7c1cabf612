"""Translations: the way back, the second try, texts that are in the language already."""

import asyncio
from typing import Any

import pytest
from pydantic import ValidationError

from pairmill.captioners.engine import Answer, Request
from pairmill.captioners.talks import hold
from pairmill.plan.explain import explain
from pairmill.stages.translate import TranslateConfig, TranslateStage
from pairmill.texts.untranslated import is_untranslated
from tests.conftest import CAPTIONER

WORDS = {
    ("German", "a red ball"): "ein roter Ball",
    ("English", "ein roter Ball"): "a red ball",
    ("German", "two cars"): "zwei Boote",
    ("English", "zwei Boote"): "two boats",
    ("English", "zwei Autos"): "two cars",
}
REPAIRS = {"zwei Boote": "zwei Autos"}


async def translator(request: Request) -> Answer:
    """Answers from a dictionary that has an error, and repairs it when it is shown."""
    prompt = request.messages[-1].text
    if prompt.startswith("Translate into "):
        to, text = prompt.removeprefix("Translate into ").split(". Names stay as they are.\n")
        return Answer(WORDS[to, text], "stop", 3)
    wrong = next(p for p in prompt.splitlines() if p.startswith("Translation into German: "))
    return Answer(REPAIRS[wrong.partition(": ")[2]], "stop", 2)


def translated(texts: dict[str, str | None], **options: Any) -> list[dict[str, Any]]:
    stage = TranslateStage(TranslateConfig(model=CAPTIONER, to="de", **options))
    stage.setup()
    rows = [stage.asked({"text": text, "lang": code}) for text, code in texts.items()]
    found = [asyncio.run(hold(stage.talk(row), translator)) for row in rows]
    stage.close()
    return found


@pytest.mark.slow
def test_translation_that_does_not_come_back_is_repaired() -> None:
    right, wrong, own = translated({"a red ball": "en", "two cars": "en", "ein Ball": "de"})
    assert (right["translation"], right["translation_fidelity"]) == ("ein roter Ball", 1.0)
    assert (right["translation_tries"], right["translation_tokens"]) == (1, 6)
    assert (wrong["translation"], wrong["translation_tries"]) == ("zwei Autos", 2)
    assert wrong["translation_fidelity"] == 1.0
    assert (own["translation"], own["translation_tries"], own["translation_model"]) == (
        "ein Ball", 0, None
    )  # fmt: skip


def test_the_most_faithful_try_counts_and_one_try_has_no_repair() -> None:
    (once,) = translated({"two cars": "en"}, tries=1)
    assert once["translation"] == "zwei Boote"
    assert 0 < once["translation_fidelity"] < 0.5
    (plain,) = translated({"two cars": "en"}, back=False)
    assert plain["translation_fidelity"] is None
    assert plain["translation_tokens"] == 3


def test_prompt_without_the_text_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"\{text\}"):
        TranslateConfig(model=CAPTIONER, to="de", prompt="Translate!")
    with pytest.raises(ValidationError, match="json_schema"):
        TranslateConfig(model=CAPTIONER, to="de", image="image")


def test_a_repair_that_changes_nothing_is_not_translated_back_or_repaired_again() -> None:
    asked: list[str] = []

    async def stubborn(request: Request) -> Answer:
        asked.append(request.messages[-1].text)
        known = asked[-1].startswith("Translate into ")
        return await translator(request) if known else Answer("zwei Boote", "stop", 2)

    for tries, requests in ((2, 3), (5, 3)):
        asked.clear()
        stage = TranslateStage(TranslateConfig(model=CAPTIONER, to="de", tries=tries))
        stage.setup()
        row = stage.asked({"text": "two cars", "lang": "en"})
        found = asyncio.run(hold(stage.talk(row), stubborn))
        stage.close()
        assert (found["translation"], found["translation_tries"]) == ("zwei Boote", 2)
        assert len(asked) == len(set(asked)) == requests


def test_a_language_by_its_name_is_told_its_code() -> None:
    with pytest.raises(ValidationError) as caught:
        TranslateConfig(model=CAPTIONER, to="German")
    assert explain(TranslateConfig, caught.value.errors()[0]).endswith("write for example `de`")


def test_text_that_comes_back_in_its_own_language_is_no_faithful_translation() -> None:
    asked: list[str] = []

    async def lazy(request: Request) -> Answer:
        asked.append(request.messages[-1].text)
        if "Translation into German" in asked[-1]:
            return Answer("ein roter Ball im Gras", "stop", 3)
        way_back = "ein roter Ball im Gras" in asked[-1]
        return Answer(
            "a red ball on the grass" if way_back else "A red ball on the grass.", "stop", 3
        )

    def found(text: str, code: str | None, **options: Any) -> dict[str, Any]:
        asked.clear()
        stage = TranslateStage(TranslateConfig(model=CAPTIONER, to="de", **options))
        stage.setup()
        row = stage.asked({"text": text, "lang": code})
        try:
            return asyncio.run(hold(stage.talk(row), lazy))
        finally:
            stage.close()

    once = found("a red ball on the grass", "en", tries=1)
    assert (once["translation_fidelity"], once["translation_untranslated"]) == (0.0, True)
    assert len(asked) == 1  # no way back of what was never away
    assert found("a red ball on the grass", "en", back=False)["translation_untranslated"]
    twice = found("a red ball on the grass", "en")
    assert (twice["translation"], twice["translation_tries"]) == ("ein roter Ball im Gras", 2)
    assert (twice["translation_fidelity"], twice["translation_untranslated"]) == (1.0, False)
    way_back = "said back in the text's language, the translation means: a red ball on the grass"
    assert way_back in asked[1].lower()
    assert not found("ein Ball", "de")["translation_untranslated"]
    assert not found("a red ball on the grass", None, tries=1)["translation_untranslated"]


@pytest.mark.parametrize(
    ("text", "said", "own", "to", "untranslated"),
    [
        ("two cars are in the street", "Two cars are in the street!", "en", "de", True),
        ("two cars in a street", "Zwei Autos in einer Straße", "en", "de", False),
        ("a red ball on the grass", "The text is English: a red ball on the grass", "en", "fr",
         True),
        ("ein roter Ball liegt auf dem Gras", "ein roter Ball liegt auf dem Gras", "de", "en",
         True),
        ("a red ball", "a red ball", "en", "fr", False),  # the way back is asked
        ("nike air max 270", "Nike Air Max 270", "en", "de", False),
        ("bmw x5 e70 2008", "BMW X5 E70 2008", "en", "fr", False),
        ("iphone 12 pro max", "iphone 12 pro max", "en", "ru", False),
        ("logo design", "Logo Design", "en", "de", False),
        ("windows update download", "Windows Update Download", "en", "de", False),
        ("taylor swift live in berlin", "taylor swift live in berlin", "en", "de", False),
        ("taylor swift live in berlin", "taylor swift live in berlin", "en", "fr", False),
        ("game of thrones", "Game of Thrones", "en", "de", False),
        ("casa rosa", "casa rosa", "it", "es", False),
        ("hand in hand", "hand in hand", "nl", "en", False),
        ("кроссовки nike air max 270", "Nike Air Max 270 sneakers", "ru", "en", False),
        ("купить nike air max 270 в москве", "купить Nike Air Max 270 в Москве", "ru", "en", True),
        ("東京大学", "東京大学", "ja", "zh", False),
        ("mbwa mkubwa", "mbwa mkubwa", "sw", "en", False),
        ("mbwa mkubwa anakimbia kwenye nyasi karibu na mto mpana",
         "mbwa mkubwa anakimbia kwenye nyasi karibu na mto mpana", "sw", "en", True),
        ("London Bridge at night", "London Bridge bei Nacht", "en", "de", False),
        ("Leonardo da Vinci – Mona Lisa", "Leonardo da Vinci – Mona Lisa", "it", "de", False),
        ("New York 2015", "New York 2015", "en", "de", False),
        ("sushi", "Sushi", "en", "de", False),
        ("en rød bil", "en rød bil", "da", "no", False),
        ("en rød bil på en grå vej ved et hus", "en rød bil på en grå vej ved et hus", "da", "no",
         True),
        ("草地上有一个红色的球", "草地上有一个红色的球", "zh", "en", True),
        ("草地上有一个红色的球", "芝生の上に赤いボールが一つある", "zh", "ja", False),
        ("красный мяч на траве", "красный мяч на траве", "ru", "en", True),
        ("कुर्सी पर बिल्ली", "कुर्सी पर बिल्ली", "hi", "en", True),
    ],
)  # fmt: skip
def test_what_is_no_translation_has_the_text_s_own_words(
    text: str, said: str, own: str, to: str, untranslated: bool
) -> None:
    assert is_untranslated(text, said, own, to) == untranslated
