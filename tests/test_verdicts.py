"""Verdicts by schemas that people write: what no column or answer could hold is told before any is
paid, and an answer that strays costs its row alone.
"""

import asyncio
import datetime
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pydantic import ValidationError

from pairmill.captioners.engine import Answer
from pairmill.captioners.prompt_files import read_wording
from pairmill.captioners.structured import BadAnswer, BadSchema, check_schema, parsed
from pairmill.captioners.talks import hold
from pairmill.errors import RowError
from pairmill.stages.caption import JudgeConfig, JudgeStage
from tests.everything import picture

SERVER = {"engine": "openai", "base_url": "http://127.0.0.1:9/v1", "model": "m", "image": None}
TEXT = {"type": "string"}


def schema(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def judge(properties: dict[str, Any], **options: Any) -> JudgeStage:
    keys = {**SERVER, "prompt": "Judge {text}", "json_schema": schema(**properties), **options}
    return JudgeStage(JudgeConfig.model_validate(keys))


def held(stage: JudgeStage, *said: str) -> dict[str, Any]:
    answers = list(said)

    async def answer(_: Any) -> Answer:
        return Answer(answers.pop(0), "stop", 3, None, 5)

    stage.setup()
    try:
        return asyncio.run(hold(stage.talk(stage.asked({"text": "x", "uid": "u"})), answer))
    finally:
        stage.close()


CIRCLE = schema()
CIRCLE["properties"]["x"] = CIRCLE


@pytest.mark.parametrize("name", ["answer", "model", "tokens", "repaired", "finish_reason"])
def test_property_named_like_a_column_of_the_stage_s_own_is_told_to_be_renamed(name: str) -> None:
    with pytest.raises(ValidationError, match=f"property '{name}'.*choose another name"):
        judge({name: TEXT})


def test_property_is_free_where_the_column_of_its_name_is_not_written() -> None:
    names = judge({"logprob": TEXT, "reasoning": TEXT}, reasoning=False).writes().names
    assert {"judge_logprob", "judge_reasoning"} < set(names)
    assert judge({"answer": TEXT}, text_from="answer").writes().names[0] == "judge"
    for own in ({"logprob": TEXT}, {"reasoning": TEXT}):
        with pytest.raises(ValidationError, match="choose another name"):
            judge(own, logprobs=True, reasoning=True)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({**schema(), "properties": {1: TEXT}}, "1 has to be a text"),
        (schema(day={"type": "string", "enum": [datetime.date(2024, 1, 1)]}), "quotes"),
        (schema(a={"type": "number", "maximum": float("inf")}), "no JSON"),
        (CIRCLE, "no JSON"),
    ],
)
def test_schema_that_is_no_json_is_refused_by_name(given: Any, words: str) -> None:
    with pytest.raises(BadSchema, match=words):
        check_schema(given)


@pytest.mark.parametrize("kind", ["integer", "number", "boolean"])
def test_text_of_a_stage_comes_from_a_property_that_is_a_text(kind: str) -> None:
    with pytest.raises(ValidationError, match="text_from: 'score' is no text"):
        judge({"score": {"type": kind}}, text_from="score")
    with pytest.raises(ValidationError, match="text_from: 'score' is no text"):
        judge({"score": {"type": "array", "items": TEXT}}, text_from="score")
    assert judge({"score": {"type": ["string", "null"]}}, text_from="score").writes()


def test_value_that_fits_a_schema_but_no_column_fails_its_row_alone() -> None:
    pair = {"type": "array", "prefixItems": [TEXT], "items": {"type": "integer"}}
    with pytest.raises(BadAnswer, match=r"at a: .* cannot stand in a column of list"):
        parsed('{"a": ["x", 1]}', schema(a=pair))
    assert parsed('{"a": []}', schema(a=pair)) == {"a": []}
    found = held(judge({"a": pair}), '{"a": ["x", 1]}', '{"a": ["x", 2]}')
    assert found["error"][0] == "bad_json"
    assert held(judge({"a": pair}), '{"a": ["x", 1]}', '{"a": []}')["judge_a"] == []


def test_schema_that_the_model_repeats_before_its_answer_is_not_the_answer() -> None:
    wanted = schema(score={"type": "integer"})
    told = 'By {"type": "object", "properties": {"score": {"type": "integer"}}} I say {"score": 4}'
    assert parsed(told, wanted) == {"score": 4}
    with pytest.raises(BadAnswer, match="none of the properties score"):
        parsed('{"note": 1}', wanted)
    with pytest.raises(BadAnswer, match="score"):
        parsed('{"note": 1} {"score": "x"}', {**wanted, "required": ["score"]})


def test_line_breaks_within_a_text_of_an_answer_are_read() -> None:
    assert parsed('{"why": "one\ntwo\tthree"}', schema(why=TEXT)) == {"why": "one\ntwo\tthree"}


@pytest.mark.parametrize(("score", "fits"), [(4.3, True), (0.7, True), (4.35, False), (0, True)])
def test_steps_of_a_score_are_counted_in_decimals(score: float, fits: bool) -> None:
    tenths = schema(score={"type": "number", "multipleOf": 0.1})
    if fits:
        assert parsed(f'{{"score": {score}}}', tenths) == {"score": score}
    else:
        with pytest.raises(BadAnswer, match="multiple"):
            parsed(f'{{"score": {score}}}', tenths)


def test_samples_of_which_some_are_of_no_use_keep_their_places() -> None:
    stage = judge({"score": {"type": "integer", "maximum": 5}}, samples=3, temperature=0.5)
    found = held(stage, '{"score": 4}', "no", '{"score": 9}', '{"score": 5}', "still no")
    assert found["judge_score"] == [4, 5, None]
    assert found["judge_repaired"] == [False, True, True]
    assert found["judge_tokens"] == 15
    assert "error" not in found
    table = pa.table({name: [found[name]] for name in stage.writes().names if name in found})
    assert table.cast(pa.schema([stage.writes().field(n) for n in table.schema.names]))


def test_schema_of_a_prompt_file_has_the_stage_s_text(tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(
        "prompt: Judge {text}\njson_schema: {type: object, properties: "
        "{draft: {type: string}, score: {type: integer}}}\n"
    )
    keys = {**SERVER, "prompt_file": str(file)}
    stage = JudgeStage(JudgeConfig.model_validate({**keys, "text_from": "draft"}))
    assert stage.writes().names[:2] == ["judge", "judge_score"]
    with pytest.raises(ValueError, match=r"own\.yaml: text_from: 'score' is no text"):
        JudgeStage(JudgeConfig.model_validate({**keys, "text_from": "score"}))
    with pytest.raises(ValueError, match="text_from: 'label' is no property"):
        JudgeStage(JudgeConfig.model_validate({**keys, "text_from": "label"}))


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.yaml", "prompt: 5", "prompt: Input should be a valid string"),
        ("a.yaml", "prompt: x\nexamples: [{user: 1, assistant: b}]", r"examples\.0\.user"),
        ("a.yaml", "prompt: x\njson_schema: &a {type: object, properties: {x: *a}}", "no JSON"),
        ("a.txt", "Say {te xt}", "{te xt} is no column name"),
        ("a.txt", "", "is empty"),
        ("a.txt", " \n\n ", "is empty"),
        ("a.txt", "Judge {text}", "a verdict has columns by `json_schema:`"),
    ],
)
def test_fault_of_a_prompt_file_is_told_in_one_line_with_its_name(
    tmp_path: Path, name: str, text: str, words: str
) -> None:
    (tmp_path / name).write_text(text)
    keys = {**SERVER, "prompt_file": str(tmp_path / name)}
    with pytest.raises(ValueError, match=words) as told:
        JudgeStage(JudgeConfig.model_validate(keys))
    assert f"the prompt file {tmp_path / name}" in str(told.value)
    assert "\n" not in str(told.value)
    assert "pydantic" not in str(told.value)


@pytest.mark.parametrize(
    ("name", "text"), [("a.YAML", "prompt: Say {text}"), ("a.Json", '{"prompt": "Say {text}"}')]
)
def test_prompt_file_is_yaml_however_its_ending_is_spelled(
    tmp_path: Path, name: str, text: str
) -> None:
    (tmp_path / name).write_text(text)
    assert read_wording(str(tmp_path / name)) == {"prompt": "Say {text}"}


@pytest.mark.parametrize("tiles", [[], [None]])
def test_row_whose_list_of_pictures_is_empty_is_not_asked_about(
    tiles: list[bytes | None],
) -> None:
    stage = judge({"score": {"type": "integer"}}, image=["tiles"])
    with pytest.raises(RowError, match="holds no picture") as told:
        stage.asked({"text": "x", "tiles": tiles})
    assert told.value.kind == "no_image"
    both = judge({"score": {"type": "integer"}}, image=["image", "tiles"])
    assert len(both.asked({"text": "x", "image": picture(9), "tiles": tiles}).pictures) == 1


LABEL, SCORE = {"enum": ["good", "bad"]}, {"type": "integer", "minimum": 1, "maximum": 5}


@pytest.mark.parametrize(
    ("kind", "said", "meant"),
    [
        (LABEL, '"Good"', "good"),
        (LABEL, '" BAD "', "bad"),
        ({"const": "Straße"}, '"STRASSE"', "Straße"),
        (SCORE, '"4"', 4),
        (SCORE, '" 4.0"', 4),
        ({"enum": [1, 2, 3]}, '"2"', 2),
        ({"type": ["number", "null"]}, '"-0.50"', -0.5),
        ({"type": "number"}, '"+007e-1"', 0.7),
        ({"type": "boolean"}, '"True"', True),
        ({"type": "array", "items": SCORE}, '["1", 2]', [1, 2]),
        ({"anyOf": [LABEL, {"type": "null"}]}, '"gOOD"', "good"),
        (schema(x=LABEL, y=TEXT), '{"x": "Bad", "y": "4"}', {"x": "bad", "y": "4"}),
    ],
)
def test_value_with_one_reading_is_taken_as_meant_and_counted(
    kind: Any, said: str, meant: Any
) -> None:
    stage = judge({"v": kind})
    found = held(stage, f'{{"v": {said}}}')  # a second answer is not asked for
    assert (found["judge_v"], found["judge_repaired"]) == (meant, False)
    assert type(found["judge_v"]) is type(meant)
    assert found["judge_answer"] == f'{{"v": {said}}}'
    assert "error" not in found
    assert (stage.altered(), stage.altered()) == (1, 0)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ({"enum": ["Good", "GOOD"]}, '"good"'),
        (LABEL, '"goods"'),
        (LABEL, '"good or bad"'),
        (SCORE, '"4/5"'),
        (SCORE, '"1,000"'),
        (SCORE, '"9"'),
        (SCORE, '"4.5"'),
        (SCORE, '"٤"'),
        (SCORE, '"four"'),
        (SCORE, '""'),
        (SCORE, "true"),
        ({"type": "boolean"}, '"yes"'),
        ({"type": "number"}, '"NaN"'),
        ({"type": "number"}, '"1e999"'),
        ({"type": "array", "items": SCORE}, '"4"'),
    ],
)
def test_value_without_one_reading_is_asked_for_once_more(kind: Any, said: str) -> None:
    stage = judge({"v": kind})
    found = held(stage, f'{{"v": {said}}}', '{"v": null}', "never asked")
    assert found["judge_repaired"]
    assert found["error"][0] == "bad_json"
    assert stage.altered() == 0


def test_text_that_fits_as_it_is_stays_as_it_is() -> None:
    stage = judge({"v": TEXT, "w": {"enum": ["A", "a"]}})
    found = held(stage, '{"v": "4", "w": "a"}')
    assert (found["judge_v"], found["judge_w"]) == ("4", "a")
    assert stage.altered() == 0


def test_answer_that_fits_comes_before_one_that_is_meant_to() -> None:
    needs = {**schema(v=SCORE), "required": ["v"]}
    assert parsed('{"v": "1"} so {"v": 4}', needs) == {"v": 4}
    assert parsed('{"v": "x"} so {"v": "4"}', needs) == {"v": 4}
    repeated = json.dumps(schema(v=SCORE))  # it fits itself, with no value
    assert parsed(f'{repeated} and {{"v": "4"}}', schema(v=SCORE)) == {"v": 4}


@pytest.mark.parametrize("said", ['{"verdict": {"score": 4}}', '{"Score": 4}'])
def test_answer_without_any_property_is_asked_for_once_more_and_not_lost(said: str) -> None:
    kind = {"score": {"type": "integer"}}
    found = held(judge(kind), said, '{"score": 4}')
    assert (found["judge_score"], found["judge_repaired"]) == (4, True)
    assert held(judge(kind), "{}")["judge_score"] is None
    named = schema(**kind) | {"required": ["score"]}
    assert judge(kind).version > judge(kind, json_schema=named).version


@pytest.mark.parametrize("options", [{}, {"text_from": "why"}])
def test_answer_of_a_row_that_fails_can_be_read_whole(options: dict[str, Any]) -> None:
    said = "I would say: good. " * 15 + "The end."
    stage = judge({"why": TEXT, "score": {"type": "integer"}}, **options)
    found = held(stage, said, said)
    assert found[stage.text_field().name] == said
    assert found["error"][1].endswith("The end.'")


def test_type_that_stands_in_an_all_of_makes_a_column() -> None:
    wanted = schema(a={"allOf": [{"$ref": "#/$defs/P"}], "default": None}, b={"allOf": [TEXT]})
    wanted["$defs"] = {"P": schema(x={"type": "integer"})}
    check_schema(wanted)
    assert parsed('{"a": {"x": 2.0}, "b": "c"}', wanted) == {"a": {"x": 2}, "b": "c"}
