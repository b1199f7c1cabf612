"""Translations: the way back, the second try, texts that are in the language already."""

import asyncio
from typing import Any

import pytest
from pydantic import ValidationError

from pairmill.captioners.engine import Answer, Request
from pairmill.captioners.talks import hold
from pairmill.plan.explain import explain
from pairmill.stages.translate import TranslateConfig, TranslateStage
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
