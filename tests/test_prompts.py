"""Prompts: of the library, of a file, with examples; structured answers: read, repaired, refused."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pydantic import ValidationError
from typer.testing import CliRunner

from pairmill.captioners.config import CaptionConfig, JudgeConfig, RewriteConfig
from pairmill.captioners.engine import Answer, Message, Request
from pairmill.captioners.library import library, named
from pairmill.captioners.prompts import Wording
from pairmill.captioners.structured import BadAnswer, BadSchema, check_schema, column_types, parsed
from pairmill.captioners.talks import Talk, hold, told_in
from pairmill.cli import app
from pairmill.errors import RowError
from pairmill.plan.declared import declared
from pairmill.schemas.config import value_fields
from pairmill.stage import check_stage
from pairmill.stages.caption import JudgeStage, RewriteStage
from tests import tiny
from tests.conftest import CAPTIONER, typed

VERDICT: dict[str, Any] = library()["judge-match"].json_schema or {}
GOOD = '{"score": 4, "label": "match", "reasons": "all there"}'


def rewrite(**options: Any) -> RewriteConfig:
    return RewriteConfig.model_validate({"model": CAPTIONER, **options})


def test_library_prompt_stands_in_the_config_with_all_its_turns() -> None:
    config = rewrite(prompt={"id": "fuse"}, columns={"caption": "synthetic"})
    fuse = library()["fuse"]
    assert config.wording() == fuse.wording
    assert config.references() == ["text", "synthetic"]
    assert named(config.wording()) == "fuse@1"
    own = rewrite(
        prompt=fuse.text,
        system=fuse.system,
        examples=fuse.examples,
        columns={"caption": "synthetic"},
    )
    assert value_fields(own) == value_fields(config)
    assert rewrite(prompt={"id": "fuse"}, system="Be short.").system == "Be short."
    with pytest.raises(ValidationError, match="did you mean 'fuse'"):
        rewrite(prompt={"id": "fus"})
    with pytest.raises(ValidationError, match="what is the model asked"):
        rewrite()


def test_key_that_came_later_is_hashed_once_it_is_used() -> None:
    config = rewrite(prompt="{text}", image="image")
    assert "text_first" not in value_fields(config)
    assert value_fields(config.model_copy(update={"text_first": True}))["text_first"] is True


def test_column_of_the_text_says_how_it_was_made() -> None:
    stage = RewriteStage(rewrite(prompt={"id": "fuse"}))
    facts = json.loads(stage.writes().field("rewrite").metadata[b"made_by"])
    fuse = library()["fuse"]
    assert (facts["prompt"], facts["system"], facts["prompt_id"]) == (
        fuse.text,
        fuse.system,
        fuse.wording.digest,
    )
    assert (facts["engine"], facts["temperature"]) == ("transformers", 0.0)
    params = {**value_fields(stage.config), "model": {"content": "x"}}
    made = stage.made_by(params)
    assert made["name"] == stage.model_name()
    assert (made["library"], made["model"]) == ("fuse@1", {"content": "x"})


def test_prompt_file_counts_by_its_content(tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(
        "prompt: 'Merge {text}'\nsystem: Be short.\nexamples: [{user: '{a}', assistant: b}]\n"
    )
    schema = pa.schema([("text", pa.string())])
    first = declared(rewrite(prompt_file=str(file)), 0, schema)
    assert first.reads == ["text"]
    assert first.stage.config.wording().system == "Be short."
    assert first.stage.config.examples[0].user == "{a}"
    file.write_text("prompt: 'Merge {text}!'\n")
    second = declared(rewrite(prompt_file=str(file)), 0, schema)
    assert first.facts["prompt_file"] != second.facts["prompt_file"]
    (tmp_path / "plain.txt").write_text("Say {text} again.\n")
    plain = declared(rewrite(prompt_file=str(tmp_path / "plain.txt"), system="Hm."), 0, schema)
    assert plain.stage.config.wording().text == "Say {text} again."
    assert plain.stage.config.system == "Hm."
    with pytest.raises(ValidationError, match="two answers"):
        rewrite(prompt="x", prompt_file=str(file))


@pytest.mark.slow
def test_turns_of_a_request_are_system_examples_prompt() -> None:
    stage = RewriteStage(rewrite(prompt={"id": "fuse"}))
    stage.setup()
    row = stage.asked({"text": "Velmi <image>", "caption": "a cat"})
    (request,) = next(stage.talk(row))
    stage.close()
    assert [m.role for m in request.messages] == [
        "system", "user", "assistant", "user", "assistant", "user"
    ]  # fmt: skip
    assert request.messages[-1].text.startswith("Web text: Velmi")
    assert request.messages[-1].text.endswith("\nCaption: a cat")


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"type": "array"}, "type: object"),
        ({"type": "object", "properties": {"a b": {"type": "string"}}}, "'a b'"),
        ({"type": "object", "properties": {"a": {}}}, "a has no type"),
        ({"type": "object", "properties": {"a": {"type": "wrong"}}}, "wrong"),
    ],
)
def test_schema_without_columns_is_refused(schema: dict[str, Any], message: str) -> None:
    with pytest.raises(BadSchema, match=message):
        check_schema(schema)
    with pytest.raises(ValidationError, match=message):
        JudgeConfig.model_validate({"model": CAPTIONER, "prompt": "x", "json_schema": schema})


def test_schema_makes_typed_columns_at_any_depth() -> None:
    inner = {
        "type": "object",
        "properties": {"box": {"type": "array", "items": {"type": "number"}}},
    }
    schema = {
        "type": "object",
        "properties": {
            "score": {"type": ["integer", "null"]},
            "label": {"enum": ["a", "b"]},
            "things": {"type": "array", "items": inner},
        },
    }
    check_schema(schema)
    thing = pa.struct([("box", pa.list_(pa.float64()))])
    assert column_types(schema) == {
        "score": pa.int64(), "label": pa.string(), "things": pa.list_(thing)
    }  # fmt: skip
    text = 'Sure: ```json\n{"score": 4.0, "label": "a", "things": [{"box": [1, 2.5]}]}\n``` Fine?'
    found = parsed(text, schema)
    assert found == {"score": 4, "label": "a", "things": [{"box": [1.0, 2.5]}]}
    assert isinstance(found["score"], int)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ("It fits.", "no JSON object"),
        ('{"score": 9, "label": "match", "reasons": ""}', "at score: 9 is greater"),
        ('{"score": 4, "label": "match"', "no JSON object"),
        ('{"score": 4, "label": "match"}', "reasons"),
        ("[" * 5000, "no JSON object"),
        ('{"score": 99999999999999999999, "label": "match", "reasons": ""}', "score"),
    ],
)
def test_answer_that_does_not_fit_says_why(answer: str, message: str) -> None:
    with pytest.raises(BadAnswer, match=message):
        parsed(answer, VERDICT)


def test_answer_that_does_not_fit_is_asked_for_once_more() -> None:
    answers = {"fine": [GOOD], "second": ["no", f"Here: {GOOD}"], "never": ["no", "no"]}
    asked: list[Request] = []

    def talk(name: str) -> Talk:
        (told,) = yield from told_in([Request((Message("user", name),), name)], VERDICT)
        if told.fault:
            raise RowError("bad_json", told.fault)
        return {"score": told.values["score"], "repaired": told.repaired, "tokens": told.tokens}

    async def answer(request: Request) -> Answer:
        asked.append(request)
        return Answer(answers[request.key.rstrip("!")].pop(0), "stop", 5, prompt_tokens=7)

    async def every() -> list[Any]:
        talks = (hold(talk(name), answer) for name in answers)
        return await asyncio.gather(*talks, return_exceptions=True)

    fine, second, never = asyncio.run(every())
    assert fine == {"score": 4, "repaired": False, "tokens": 5}
    assert second == {"score": 4, "repaired": True, "tokens": 10}
    assert isinstance(never, RowError)
    assert never.kind == "bad_json"
    assert len(asked) == 5
    first, again = (r for r in asked if r.key.startswith("second"))
    assert first.schema == VERDICT
    assert json.dumps(VERDICT, sort_keys=True) in first.messages[0].text
    assert [m.role for m in again.messages] == ["user", "assistant", "user"]
    assert again.messages[1].text == "no"
    assert "no JSON object" in again.messages[2].text


def test_judge_whose_model_writes_no_json_fails_its_rows(tmp_path: Path) -> None:
    model = tiny.built("text", tmp_path)
    rows = pa.table({"caption": ["a cat", "a dog", "a red ball"]})
    answer = check_stage(
        JudgeStage, rows, model=model, image=None, prompt={"id": "judge-match"},
        max_new_tokens=8, dtype="float32",
    )  # fmt: skip
    assert answer.schema.names[:4] == [
        "judge_answer",
        "judge_score",
        "judge_label",
        "judge_reasons",
    ]
    errors = answer["error"].to_pylist()
    assert [e["class"] for e in errors] == ["bad_json"] * 3
    for error, said in zip(errors, answer["judge_answer"].to_pylist(), strict=True):
        assert error["message"].endswith(f": {said!r}")  # what a person needs to mend the prompt


def test_samples_are_lists_that_do_not_depend_on_neighbours() -> None:
    rows = pa.table(
        {
            "text": ["a red car at night, known as Kalodor"] * 3,
            "caption": ["a red car at night"] * 3,
            "uid": ["a", "b", "c"],
        }
    )
    prompt = (
        "Web text: {text}\nCaption: {caption}\nMerge both into one caption that keeps the names."
    )
    options = {"model": CAPTIONER, "dtype": "float32", "temperature": 2.0, "seed": 1}
    answer = check_stage(RewriteStage, rows, prompt=prompt, samples=3, **options)
    texts = answer["rewrite"].to_pylist()
    assert [len(t) for t in texts] == [3, 3, 3]
    assert len({t for row in texts for t in row}) > 3
    alone = check_stage(RewriteStage, rows, prompt=prompt, **options)["rewrite"].to_pylist()
    assert [t[0] for t in texts] == alone
    with pytest.raises(ValidationError, match="temperature"):
        CaptionConfig.model_validate({"model": CAPTIONER, "samples": 2})


def test_prompts_are_listed_and_shown() -> None:
    listed = json.loads(typed("prompts", "--json").stdout)
    assert {p["id"] for p in listed} == set(library())
    assert all(p["for"] and p["source"] and p["text"] and p["version"] >= 1 for p in listed)
    shown = typed("prompts", "judge-match").stdout
    assert "json_schema:" in shown
    wrong = typed("prompts", "judge-mach")
    assert wrong.returncode == 2
    assert "judge-match" in wrong.stderr


def test_every_prompt_of_the_library_is_known_by_its_wording() -> None:
    told = {p.id: named(p.wording) for p in library().values()}
    assert told == {p.id: f"{p.id}@{p.version}" for p in library().values()}
    assert named(Wording("Describe what no prompt of the library asks for.")) is None


def test_prompt_that_is_not_in_the_library_is_a_fault_in_either_form() -> None:
    for form in ([], ["--json"]):
        assert CliRunner().invoke(app, ["prompts", "fuze", *form]).exit_code == 2
