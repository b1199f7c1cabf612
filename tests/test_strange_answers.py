"""`engine: openai`: answers that stray from the format cost no run and no other row."""

import asyncio
import json
import time
from email.utils import formatdate
from pathlib import Path
from typing import Any

import openai
import pyarrow as pa
import pytest

from pairmill.captioners.completion import completion
from pairmill.captioners.engine import Message, Request
from pairmill.captioners.openai_engine import OpenAIEngine
from pairmill.captioners.prompt_files import read_wording
from pairmill.captioners.structured import BadAnswer, BadSchema, check_schema, column_types, parsed
from pairmill.errors import RowError, StageBroken
from pairmill.stages.caption import CaptionConfig


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


def test_tool_call_in_place_of_a_text_is_its_row_s_failure_and_not_paid_for_again() -> None:
    with pytest.raises(RowError, match="called a tool"):
        completion(said(None, reason="tool_calls", tool_calls=[{"id": "1"}]))


@pytest.mark.parametrize("told", [[Told(logprob=None)], [Told(token="a")], "none", [1.0], {}])
def test_log_probabilities_that_are_no_numbers_are_unknown(told: Any) -> None:
    choice = Told(message=Told(content="a"), finish_reason="stop", logprobs=Told(content=told))
    assert completion(Told(choices=[choice])).logprobs is None


@pytest.mark.parametrize(
    ("inner", "words"),
    [
        ({"type": "string", "pattern": "("}, "regex"),
        ({"type": "array", "items": {"type": "string", "not": {"$ref": "#/$defs/x"}}}, "nowhere"),
        ({"type": "string", "allOf": [{"$ref": "http://127.0.0.1:9/s.json"}]}, "nowhere"),
    ],
)
def test_schema_by_which_no_answer_could_be_read_is_refused_before_any_is_paid(
    inner: dict[str, Any], words: str
) -> None:
    with pytest.raises(BadSchema, match=words):
        check_schema({"type": "object", "properties": {"x": inner}})


def test_reference_within_a_schema_is_followed() -> None:
    part = {"type": "string", "allOf": [{"$ref": "#/$defs/short"}]}
    schema = {"type": "object", "properties": {"x": part}, "$defs": {"short": {"maxLength": 2}}}
    check_schema(schema)
    assert parsed('{"x": "ab"}', schema) == {"x": "ab"}
    with pytest.raises(BadAnswer, match="too long"):
        parsed('{"x": "abc"}', schema)


def refusal(status: int, message: str, code: str | None = None, **headers: str) -> Any:
    """What the client raises for an answer with such a status."""
    body = {"message": message, "code": code}
    answer: Any = Told(status_code=status, headers=headers, request=None)
    return openai.APIStatusError(message, response=answer, body=body)


@pytest.fixture
def engine() -> Any:
    async def made() -> OpenAIEngine:
        config = CaptionConfig(engine="openai", base_url="http://server/v1", model="m", image=None)
        return OpenAIEngine("caption", config)

    return asyncio.run(made())


ASKED = Request((Message("user", "?"),))


@pytest.mark.parametrize(
    "error",
    [
        refusal(403, "Your input was flagged by moderation"),
        refusal(400, "The response was filtered", "content_filter"),
    ],
)
def test_one_request_that_a_filter_refuses_costs_its_row_and_not_the_run(
    engine: OpenAIEngine, error: Any
) -> None:
    with pytest.raises(RowError) as told:
        engine.failed(error, ASKED)
    assert told.value.kind == "refused"


def test_server_that_has_answered_and_forbids_one_request_costs_its_row(
    engine: OpenAIEngine,
) -> None:
    with pytest.raises(StageBroken, match="403"):
        engine.failed(refusal(403, "forbidden"), ASKED)
    engine.has_answered = True
    failed = engine.failed(refusal(403, "forbidden"), ASKED)
    assert (failed.kind, failed.again) == ("http_4xx", False)


def test_pause_up_to_a_date_is_kept(engine: OpenAIEngine) -> None:
    header = {"retry-after": formatdate(time.time() + 50, usegmt=True)}
    assert 0 < engine.failed(refusal(429, "busy", **header), ASKED).pause_s <= 50
    header = {"retry-after": "Thu, 99 Foo 2026 GMT"}
    assert engine.failed(refusal(429, "busy", **header), ASKED).pause_s == 0


def test_mark_of_bytes_at_the_beginning_of_a_prompt_file_is_no_part_of_it(tmp_path: Path) -> None:
    for name, content in (("a.txt", "Say {text}\r\n"), ("a.yaml", "prompt: Say {text}\r\n")):
        (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + content.encode())
        assert read_wording(str(tmp_path / name)) == {"prompt": "Say {text}"}


def test_text_of_an_answer_keeps_what_looks_like_a_fence() -> None:
    schema = {"type": "object", "properties": {"x": {"type": "string"}}}
    assert parsed('```json\n{"x": "a ```json``` b"}\n```', schema) == {"x": "a ```json``` b"}


@pytest.mark.parametrize("large", ["1e999", "-1e400"])
def test_number_without_an_end_is_a_bad_answer(large: str) -> None:
    with pytest.raises(BadAnswer, match="too large"):
        parsed(f'{{"score": 1, "share": {large}}}', SCHEMA)


NODE = {"type": "object", "properties": {"v": {"type": "string"}}}
LOOP = {"$ref": "#/$defs/a"}


@pytest.mark.parametrize(
    ("inner", "words"),
    [
        (True, "no type"),
        ({"type": "object", "properties": {"y": True}}, "no type"),
        ({"type": "string", "allOf": [LOOP]}, "back to itself"),
        ({"type": "string", "if": {"anyOf": [LOOP]}}, "back to itself"),
        (LOOP, "back to itself"),
        ({"type": "object", "properties": {"y": {"$ref": "#/properties/x"}}}, "without end"),
        ({"type": "array", "items": {"$ref": "#/properties/x"}}, "without end"),
        ({"type": "string", "$dynamicRef": "#a"}, "not followed"),
        ({"type": "string", "allOf": [{"$id": "http://q/", "maxLength": 2}]}, "not followed"),
    ],
)
def test_schema_whose_references_have_no_end_is_refused_before_any_answer_is_paid(
    inner: Any, words: str
) -> None:
    parts = {"a": LOOP} if "$defs" in str(inner) else {}
    schema = {"type": "object", "properties": {"x": inner}, "$defs": parts}
    with pytest.raises(BadSchema, match=words):
        check_schema(schema)


def test_property_by_a_reference_or_by_its_values_is_a_column() -> None:
    properties = {
        "colour": {"$ref": "#/$defs/colour"},
        "best": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
        "every": {"type": "array", "items": {"$ref": "#/$defs/node"}},
        "perhaps": {"enum": ["a", None]},
        "count": {"enum": [1, 2]},
        "sure": {"const": True},
    }
    schema = {
        "type": "object",
        "properties": properties,
        "$defs": {"colour": {"enum": ["red", "blue"]}, "node": NODE},
    }
    check_schema(schema)
    node = pa.struct([("v", pa.string())])
    kinds = [pa.string(), node, pa.list_(node), pa.string(), pa.int64(), pa.bool_()]
    assert list(column_types(schema).values()) == kinds
    values = {"colour": "red", "best": None, "every": [{"v": "a"}], "perhaps": None}
    found = {**values, "count": 2, "sure": True}
    assert parsed(json.dumps(found), schema) == found
    with pytest.raises(BadAnswer, match="green"):
        parsed('{"colour": "green"}', schema)


def test_answer_that_is_nested_more_deeply_than_can_be_checked_is_a_bad_one() -> None:
    node = {**NODE, "additionalProperties": {"$ref": "#/properties/x"}}
    schema = {"type": "object", "properties": {"x": node}}
    check_schema(schema)
    deep = '{"x": ' + '{"k": ' * 300 + "{}" + "}" * 301
    with pytest.raises(BadAnswer, match="nested too deeply"):
        parsed(deep, schema)
