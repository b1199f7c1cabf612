"""Questions that are asked without their picture: how often the answer is right."""

import asyncio
from typing import Any

import pytest
from pydantic import ValidationError

from pairmill.captioners.engine import Answer, Request
from pairmill.captioners.talks import hold
from pairmill.stages.blind import BlindConfig, BlindStage, says
from tests.conftest import CAPTIONER


def answered(row: dict[str, Any], said: list[str], **keys: Any) -> dict[str, Any]:
    """The row's columns where a model says these things, one a sample."""
    more = {"samples": len(said), "temperature": 1.0} if len(said) > 1 else {}
    stage = BlindStage(BlindConfig(model=CAPTIONER, **more, **keys))
    stage.setup()
    asked: list[Request] = []

    async def model(request: Request) -> Answer:
        asked.append(request)
        return Answer(said[len(asked) - 1], "stop", 1)

    found = asyncio.run(hold(stage.talk(stage.asked({"uid": "u", **row})), model))
    stage.close()
    assert not any(message.images for one in asked for message in one.messages)
    return found


def test_the_share_of_right_answers_is_counted_over_samples() -> None:
    row = {"question": "Which colour has the ball?", "answer": "dark red"}
    found = answered(row, ["It is Dark Red.", "red", "dark, red!", "blue"])
    assert found["blind_right"] == 0.5
    assert found["blind"][1] == "red"
    assert answered(row, ["It is dark red."])["blind_right"] == 1.0
    assert answered({**row, "answer": ["scarlet", "red"]}, ["a red one"])["blind_right"] == 1.0
    assert answered({**row, "answer": None}, ["red"])["blind_right"] is None


@pytest.mark.parametrize(
    ("text", "answer", "right"),
    [
        ("B", "B", True), ("(B) two boats", "B", True), ("B. Two", "B", True), (" b", "B", False),
        ("The answer is B.", "B", True), ("A big boat", "A", False), ("Answer: (C)", "C", True),
        ("It is a boat at sea", "boat", True), ("boats", "boat", False), ("twelve 12", "12", True),
        ("它是红色的", "红色", True), ("C++", "+", True), ("", "boat", False),
    ],
)  # fmt: skip
def test_an_answer_is_right_where_it_says_the_words_or_names_the_option(
    text: str, answer: str, right: bool
) -> None:
    assert says(text, answer) is right


def test_a_picture_is_refused() -> None:
    with pytest.raises(ValidationError, match="shows no picture"):
        BlindConfig(model=CAPTIONER, image="image")
