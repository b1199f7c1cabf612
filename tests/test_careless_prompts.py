"""What a careless user writes into prompts and requests is told before an answer is paid."""

import asyncio
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from pairmill.captioners.engine import Answer, Request
from pairmill.captioners.prompts import as_text
from pairmill.captioners.talks import hold
from pairmill.stages.caption import CaptionConfig, CaptionStage
from pairmill.stages.translate import TranslateConfig, TranslateStage

SERVER = {"engine": "openai", "base_url": "http://127.0.0.1:9/v1", "model": "m"}


def caption(**options: Any) -> CaptionConfig:
    return CaptionConfig(**{**SERVER, "image": None, "prompt": "Say {text}", **options})


@pytest.mark.parametrize("prompt", ["Say {{text}}", "Say {{ text }}!", "{text} or {{text}}"])
@pytest.mark.parametrize("key", ["prompt", "system"])
def test_column_in_double_braces_is_no_silent_constant(prompt: str, key: str) -> None:
    stage = CaptionStage(caption(**{key: prompt}))
    with pytest.raises(ValueError, match="plain braces"):
        stage.bind(pa.schema([("text", pa.string())]))


@pytest.mark.parametrize(
    "prompt", ['{{"text": 1}} {text}', "{{{text}}}", "{{other}} {text}", "{{text and {text}"]
)
def test_braces_that_name_no_column_are_plain(prompt: str) -> None:
    CaptionStage(caption(prompt=prompt)).bind(pa.schema([("text", pa.string())]))


@pytest.mark.parametrize(
    ("key", "instead"),
    [
        ("model", "model"),
        ("messages", "prompt"),
        ("n", "samples"),
        ("temperature", "temperature"),
        ("top_p", "top_p"),
        ("seed", "seed"),
        ("max_tokens", "max_new_tokens"),
        ("logprobs", "logprobs"),
        ("response_format", "json_schema"),
        ("stream", "read whole"),
    ],
)
def test_further_keys_of_a_request_replace_none_that_the_stage_sends(
    key: str, instead: str
) -> None:
    with pytest.raises(ValidationError, match=instead):
        caption(extra_body={key: 1})
    caption(extra_body={"top_k": 1, "stop": ["x"], "max_completion_tokens": 9})


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": -1},
        {"temperature": 2.5},
        {"temperature": float("nan")},
        {"top_p": 2},
        {"top_p": 0},
        {"max_new_tokens": 0},
        {"max_new_tokens": 10**9},
        {"samples": 0},
        {"samples": 65, "temperature": 1},
        {"samples": 2},
        {"seed": -1},
        {"stop": ["x"]},
        {"max_tokens": 5},
        {"prompt": ""},
        {"examples": [{"user": "a"}]},
        {"examples": [{"user": "a", "assistant": "b", "image": "c"}]},
        {"examples": [{"user": "", "assistant": "b"}]},
        {"text_from": "score"},
        {"json_schema": {}},
    ],
)
def test_setting_out_of_its_range_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        caption(**options)


def translator(**options: Any) -> TranslateStage:
    return TranslateStage(TranslateConfig(**SERVER, to="de", **options))


def held(stage: TranslateStage, text: str, said: str) -> tuple[dict[str, Any], list[Request]]:
    asked: list[Request] = []

    async def answer(request: Request) -> Answer:
        asked.append(request)
        return Answer(said, "stop", 3, None, 5)

    stage.setup()
    try:
        row = stage.asked({"text": text, "lang": "en"})
        return asyncio.run(hold(stage.talk(row), answer)), asked
    finally:
        stage.close()


@pytest.mark.parametrize("text", ["", "  \n", "\u3000"])
def test_text_that_is_empty_is_not_translated(text: str) -> None:
    found, asked = held(translator(), text, "Bitte geben Sie einen Text ein.")
    assert asked == []
    assert (found["translation"], found["translation_tries"]) == (text, 0)
    assert (found["translation_fidelity"], found["translation_tokens"]) == (1.0, 0)


def test_empty_translation_has_no_way_back() -> None:
    found, asked = held(translator(tries=2), "a ball", "")
    assert len(asked) == 2
    assert (found["translation_fidelity"], found["translation_back"]) == (0.0, None)
    assert found["translation_tokens"] == 6


def test_repair_reads_what_it_knows(tmp_path: Any) -> None:
    translator(repair_prompt="{text} {translation} {back} {to}")
    with pytest.raises(ValidationError, match=r"reads \{alt\}, and knows \{text\}"):
        translator(repair_prompt="{alt}")
    with pytest.raises(ValidationError, match="braces"):
        translator(repair_prompt="{text")
    translator(prompt="{text} {alt}", repair_prompt="{alt}")


def test_values_stand_in_a_prompt_as_people_write_them() -> None:
    stage, plain = (CaptionStage(caption(prompt="{score} {boxes} {tags}")) for _ in range(2))
    boxes = pa.list_(pa.struct([("x", pa.float32())]))
    tags = pa.map_(pa.string(), pa.float32())
    columns = [("score", pa.float32()), ("boxes", boxes), ("tags", tags)]
    values = [0.1, [{"x": 1e-7}, None, {"x": None}], [("a", 0.3), ("b", None)]]
    row = pa.table([[v] for v in values], schema=pa.schema(columns)).to_pylist()[0]
    stage.bind(pa.schema(columns))
    stage.bind(pa.schema(columns))
    asked = stage.asked(row)
    assert [as_text(asked.values[name], ", ") for name, _ in columns] == [
        "0.1", '{"x": 1e-07}, {"x": null}', '{"a": 0.3, "b": null}'
    ]  # fmt: skip
    wide = [("score", pa.float64()), ("boxes", pa.string()), ("tags", pa.list_(pa.string()))]
    plain.bind(pa.schema(wide))
    assert stage.version == plain.version + 1 == CaptionStage.version + 1


@pytest.mark.parametrize(
    ("kind", "value", "told"),
    [
        (pa.struct([("lat", pa.float64()), ("score", pa.float32())]),
         {"lat": 52.520006599, "score": 0.1}, '{"lat": 52.520006599, "score": 0.1}'),
        (pa.float16(), np.float16(0.1), "0.1"),
        (pa.list_(pa.float16(), 2), [np.float16(0.1), None], "0.1"),
        (pa.struct([("m", pa.map_(pa.string(), pa.int64()))]), {"m": [("a", 1)]},
         '{"m": {"a": 1}}'),
        (pa.large_list(pa.map_(pa.int64(), pa.list_(pa.map_(pa.date32(), pa.float32())))),
         [[(1, [[(date(2024, 5, 3), 0.1)], None])]], '{"1": [{"2024-05-03": 0.1}, null]}'),
        (pa.struct([("n", pa.float16()), ("s", pa.struct([("d", pa.float64())]))]),
         {"n": None, "s": {"d": 0.10000000149011612}},
         '{"n": null, "s": {"d": 0.10000000149011612}}'),
    ],
)  # fmt: skip
def test_parts_of_a_value_are_told_by_their_own_types(
    kind: pa.DataType, value: Any, told: str
) -> None:
    stage = CaptionStage(caption(prompt="{v}"))
    table = pa.table([pa.array([value], kind)], names=["v"])
    stage.bind(table.schema)
    assert as_text(stage.asked(table.to_pylist()[0]).values["v"], ", ") == told
    assert stage.version == CaptionStage.version + 1
