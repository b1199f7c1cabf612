"""`engine: openai`: answers that stray from the format cost no run and no other row."""

import json
from typing import Any

import pyarrow as pa
import pytest

from pairmill.captioners.completion import completion
from pairmill.captioners.structured import BadAnswer, BadSchema, check_schema, column_types, parsed
from pairmill.errors import RowError


class Told:
    """An answer as the client gives it: whatever keys the server wrote."""

    def __init__(self, **values: Any) -> None:
        self.__dict__.update(values)


def said(content: Any, reason: Any = "stop", usage: Any = None, **more: Any) -> Told:
    choice = Told(message=Told(content=content, **more), finish_reason=reason)
    return Told(choices=[choice], usage=usage)


def test_half_a_surrogate_pair_in_an_answer_is_replaced_as_no_column_can_hold_it() -> None:
    found = completion(said("red \ud83d ball \U0001f600", reasoning_content="\udc00"))
    assert (found.text, found.reasoning) == ("red \ufffd ball \U0001f600", "\ufffd")
    with pytest.raises(RowError, match="no \ufffd"):
        completion(said(None, refusal="no \ud83d"))
    pa.array([found.text, found.reasoning], pa.string())


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        (None, (None, None)),
        (Told(completion_tokens=7, prompt_tokens=-1), (7, None)),
        (Told(completion_tokens="7", prompt_tokens=None), (7, None)),
        (Told(completion_tokens=10**20, prompt_tokens="many"), (None, None)),
        ([1], (None, None)),
    ],
)
def test_tokens_that_a_server_does_not_tell_are_unknown_and_not_none_at_all(
    usage: Any, tokens: tuple[int | None, int | None]
) -> None:
    found = completion(said("a ball", usage=usage))
    assert (found.tokens, found.prompt_tokens) == tokens


def test_content_in_parts_is_their_text_and_any_reason_to_finish_is_a_word() -> None:
    parts = [{"type": "text", "text": "a "}, {"type": "text", "text": "ball"}]
    assert completion(said(parts, reason=5)).text == "a ball"
    assert completion(said(parts, reason=5)).finish_reason == "5"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Told(choices=None, error={"message": "overloaded", "code": 503}), "overloaded"),
        (Told(choices={"0": 1}), "no chat completion"),
        (Told(choices=[Told(message="hi")]), "no chat completion"),
        (said([{"type": "image"}]), "no text"),
        ([1, 2], "no chat completion"),
    ],
)
def test_what_is_no_completion_says_what_came_instead(answer: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        completion(answer)


SCHEMA = {
    "type": "object",
    "required": ["score"],
    "properties": {
        "score": {"type": "integer"},
        "share": {"type": "number"},
        "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "tags": {"oneOf": [{"type": "null"}, {"type": "array", "items": {"type": "string"}}]},
    },
}


def test_property_that_may_be_absent_as_pydantic_writes_it_is_a_column() -> None:
    check_schema(SCHEMA)
    assert column_types(SCHEMA)["note"] == pa.string()
    assert column_types(SCHEMA)["tags"] == pa.list_(pa.string())
    found = parsed('{"score": 4.0, "note": null, "tags": ["\\ud83d"]}', SCHEMA)
    assert found == {"score": 4, "share": None, "note": None, "tags": ["\ufffd"]}
    two = {"anyOf": [{"type": "string"}, {"type": "integer"}]}
    with pytest.raises(BadSchema):
        check_schema({"type": "object", "properties": {"x": two}})


@pytest.mark.parametrize("large", ["1e30", "99999999999999999999", "-1e19"])
def test_integer_beyond_its_column_is_a_bad_answer_and_beside_it_no_fault(large: str) -> None:
    with pytest.raises(BadAnswer, match="too large"):
        parsed(f'{{"score": {large}}}', SCHEMA)
    found = parsed(f'{{"score": 3, "share": {large}, "unasked": {large}}}', SCHEMA)
    assert (found["score"], found["share"]) == (3, float(json.loads(large)))
