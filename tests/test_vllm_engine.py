"""`engine: vllm`, against a stand-in for vLLM that answers by transformers (tests/fake_vllm).

vLLM itself is an environment of its own, too large for every run of the tests: docs/engines.md says
what ran with it.
"""

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from safetensors.numpy import save_file

from pairmill.captioners.chat import Chat
from pairmill.captioners.engine import Message, Request
from pairmill.captioners.vllm_options import COMPACT, engine_arguments
from pairmill.errors import MissingPackage, StageBroken
from pairmill.schemas.config import value_fields
from pairmill.stages.caption import CaptionConfig, CaptionStage
from tests.conftest import CAPTIONER

FAKE = str(Path(__file__).parent / "fake_vllm")
PROMPT = "Describe the picture in one short sentence."


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """The engines that are started meanwhile."""
    monkeypatch.syspath_prepend(FAKE)
    for name in ("VLLM_WORKER_MULTIPROC_METHOD", "VLLM_NO_USAGE_STATS", "VLLM_LOGGING_LEVEL"):
        monkeypatch.setenv(name, "")  # so that it is as before in the end
        monkeypatch.delenv(name)
    from vllm.v1.engine.async_llm import AsyncLLM

    AsyncLLM.made.clear()
    yield AsyncLLM.made
    for name in [name for name in sys.modules if name.partition(".")[0] == "vllm"]:
        del sys.modules[name]


def config(**options: Any) -> CaptionConfig:
    own = {"engine": "vllm", "model": CAPTIONER, "dtype": "float32", "max_new_tokens": 24}
    return CaptionConfig(**{**own, "prompt": PROMPT, **options})


def answers(rows: pa.Table, *configs: CaptionConfig) -> list[list[dict[str, Any]]]:
    """What stages of one worker give, one after another."""
    stages = [CaptionStage(one) for one in configs]
    for stage in stages:
        stage.setup()
    try:
        return [stage(rows).to_pylist() for stage in stages]
    finally:
        for stage in stages:
            stage.close()


def test_captions_are_those_of_transformers(
    engines: list[Any], pictures: list[tuple[bytes, str]]
) -> None:
    texts = ["<image> plain", "</s> a", "b", *"cdefg"]
    rows = pa.table({"image": [data for data, _ in pictures[:8]], "text": texts})
    options = {"prompt": PROMPT + " {text}", "logprobs": True}
    ours, theirs = answers(
        rows, config(**options), config(engine="transformers", image_processor="pil", **options)
    )
    likely = [[row.pop("caption_logprob") for row in found] for found in (ours, theirs)]
    assert ours == theirs
    assert likely[0] == pytest.approx(likely[1], abs=1e-4)
    (engine,) = engines
    assert engine.args.limit_mm_per_prompt == {"video": 0, "audio": 0}
    assert engine.args.generation_config == "vllm"
    assert os.environ["VLLM_NO_USAGE_STATS"] == "1"
    assert os.environ["VLLM_WORKER_MULTIPROC_METHOD"] == "spawn"
    assert engine.args.structured_outputs_config["disable_any_whitespace"]  # no endless blanks


def test_a_row_that_ends_the_engine_fails_alone(
    engines: list[Any], pictures: list[tuple[bytes, str]]
) -> None:
    texts = [*"abcdef", "poison", *"gh"]
    rows = pa.table({"image": [data for data, _ in pictures[:9]], "text": texts})
    stage = CaptionStage(config(prompt="Describe it: {text}"))
    stage.setup()
    try:
        found = stage(rows).to_pylist()
        assert "started 3 times" in stage.note
    finally:
        stage.close()
    assert [i for i, row in enumerate(found) if row["error"]] == [6]
    assert found[6]["error"]["class"] == "server_died"
    assert all(row["caption"] is not None for i, row in enumerate(found) if i != 6)
    assert len(engines) == 3
    assert all(engine.ended for engine in engines)


def test_stages_of_one_model_share_an_engine_and_draw_by_row(
    engines: list[Any], pictures: list[tuple[bytes, str]]
) -> None:
    rows = pa.table({"image": [data for data, _ in pictures[:3]], "uid": ["a", "b", "c"]})
    drawn = {"temperature": 2.0, "top_p": 0.95, "samples": 2, "extra_body": {"top_k": 5}}
    first, second = answers(rows, config(**drawn), config(name="again", seed=7, **drawn))
    assert all(len(row["caption"]) == 2 for row in first)
    (engine,) = engines
    assert engine.ended
    assert len({params.seed for params in engine.asked}) == 12
    assert {(params.top_k, params.top_p) for params in engine.asked} == {(5, 0.95)}
    assert answers(rows, config(**drawn)) == [first]
    assert [row["again"] for row in second] != [row["caption"] for row in first]


def test_a_prompt_that_is_too_long_costs_its_row(engines: list[Any]) -> None:
    rows = pa.table({"text": ["short", "long " * 200]})
    options = {"image": None, "prompt": "{text}", "engine_arguments": {"max_model_len": 100}}
    ((short, long),) = answers(rows, config(**options))
    assert short["caption"] is not None
    assert long["error"]["class"] == "too_long"


def test_what_it_gives_up_is_no_answer(engines: list[Any]) -> None:
    rows = pa.table({"text": ["fine", "engine trouble", "odd"]})
    ((fine, given_up, odd),) = answers(rows, config(image=None, prompt="{text}"))
    assert fine["error"] is None
    assert given_up["error"]["class"] == "request"
    assert given_up["caption"] is None
    assert (odd["error"]["class"], "foresaw" in odd["error"]["message"]) == ("KeyError", True)


def test_an_adapter_is_loaded_at_the_start_or_refused(engines: list[Any], tmp_path: Path) -> None:
    def adapter(name: str, **told: Any) -> str:
        (tmp_path / name).mkdir()
        said = {"peft_type": "LORA", "r": 20, **told}
        (tmp_path / name / "adapter_config.json").write_text(json.dumps(said))
        return str(tmp_path / name)

    fine = config(image=None, prompt="{text}", adapter=adapter("fine"))
    answers(pa.table({"text": ["a"]}), fine)
    assert [lora.lora_path for lora in engines[0].loras] == [fine.adapter]
    assert engines[0].args.max_lora_rank == 32
    with pytest.raises(StageBroken, match="rank 7"):
        CaptionStage(config(adapter=adapter("broken"))).setup()
    assert engines[1].ended
    with pytest.raises(StageBroken, match=r"use_dora.*merge"):
        CaptionStage(config(adapter=adapter("dora", use_dora=True))).examine()
    eye = adapter("eye")
    save_file({"base.vision_tower.q.lora_A": np.zeros(2)}, f"{eye}/adapter_model.safetensors")
    with pytest.raises(StageBroken, match="language models alone"):
        CaptionStage(config(adapter=eye)).examine()


def test_a_schema_that_it_cannot_compile_is_checked_by_the_stage(engines: list[Any]) -> None:
    schema = {"type": "object", "properties": {"score": {"type": "integer"}}}
    options = {"image": None, "prompt": "rate {text}", "json_schema": schema}
    ((row,),) = answers(pa.table({"text": ["a"]}), config(**options))
    assert row["error"]["class"] == "bad_json"
    (engine,) = engines
    bound = [params.structured_outputs is not None for params in engine.asked]
    assert bound == [True, False, False]  # refused, asked again, and the repair


def changed_model(folder: Path, name: str, change: Callable[[str], str]) -> str:
    """The demo's captioner with one of its files changed."""
    shutil.copytree(CAPTIONER, folder / "model")
    file = folder / "model" / name
    file.write_text(change(file.read_text()))
    return str(folder / "model")


def test_a_prompt_that_opens_a_thought_is_not_bound_to_a_schema(
    engines: list[Any], tmp_path: Path
) -> None:
    model = changed_model(tmp_path, "chat_template.jinja", lambda text: f"{text}<think>")
    schema = {"type": "object", "properties": {"score": {"type": "integer"}}}
    options = {"image": None, "prompt": "rate {text}", "json_schema": schema, "model": model}
    answers(pa.table({"text": ["a"]}), config(**options))
    assert [params.structured_outputs for params in engines[0].asked] == [None]


def test_an_encoder_with_a_decoder_is_refused(engines: list[Any], tmp_path: Path) -> None:
    def change(text: str) -> str:
        return json.dumps(json.loads(text) | {"is_encoder_decoder": True})

    model = changed_model(tmp_path, "config.json", change)
    with pytest.raises(StageBroken, match="engine: transformers"):
        CaptionStage(config(model=model)).examine()


def test_arguments_of_ones_own_stand_beside_ours_and_in_the_identity(engines: list[Any]) -> None:
    given = {"structured_outputs_config": {"reasoning_parser": "deepseek_r1"}}
    found = engine_arguments(config().spec(1), given, sees=True, gpus=4)
    assert found["structured_outputs_config"] == COMPACT | given["structured_outputs_config"]
    assert (found["tensor_parallel_size"], found["distributed_executor_backend"]) == (4, "mp")
    half = engine_arguments(config().spec(1), {}, sees=False, gpus=0.5)
    assert half["gpu_memory_utilization"] == pytest.approx(0.45)
    one, other = config(), config(engine_arguments={"max_model_len": 64})
    assert "engine_arguments" not in value_fields(one)
    assert value_fields(other)["engine_arguments"] == {"max_model_len": 64}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"engine_arguments": {"max_model_length": 9}}, "did you mean 'max_model_len'"),
        ({"extra_body": {"beams": 2}}, "beams"),
        ({"extra_body": {"seed": 1}}, "seed"),
    ],
)
def test_what_it_does_not_know_is_told_at_its_start(
    engines: list[Any], options: dict[str, Any], words: str
) -> None:
    with pytest.raises((StageBroken, ValueError), match=words):
        CaptionStage(config(**options)).setup()
    assert not engines


@pytest.mark.parametrize(
    "options",
    [
        {"serve": "vllm"},
        {"base_url": "http://here/v1"},
        {"device_map": "auto"},
        {"attention": "eager"},
        {"engine": "transformers", "engine_arguments": {"max_model_len": 9}},
        {"engine_arguments": {"dtype": "half"}},
        {"engine_arguments": {"model": "another"}},
    ],
)
def test_keys_of_other_engines_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(reversed(options))):
        config(**options)


def test_an_environment_without_it_is_told_before_any_work() -> None:
    with pytest.raises(MissingPackage, match=r"pairmill\[vllm\]"):
        CaptionStage(config()).examine()


def test_a_model_is_looked_at_before_it_is_loaded(engines: list[Any], tmp_path: Path) -> None:
    said = CaptionStage(config()).examine()
    assert said[0].endswith("by vLLM with LlavaProcessor")
    (tmp_path / "config.json").write_text('{"model_type": "llava"}')
    with pytest.raises(StageBroken, match=r"processor|tokenizer"):
        CaptionStage(config(model=str(tmp_path))).examine()
    assert not engines


@pytest.mark.parametrize("begins", [False, True])
def test_a_prompt_has_one_token_for_each_picture(begins: bool) -> None:
    """And what a processor puts around a prompt whose template writes no beginning."""
    from PIL import Image
    from tokenizers.processors import TemplateProcessing
    from transformers import AutoProcessor

    processor = AutoProcessor.from_pretrained(CAPTIONER)
    if begins:
        words = processor.tokenizer
        begin = words.convert_ids_to_tokens(words.eos_token_id)
        words.bos_token = begin
        words.backend_tokenizer.post_processor = TemplateProcessing(
            single=f"{begin} $A", special_tokens=[(begin, words.eos_token_id)]
        )
    chat = Chat("caption", processor, {})
    chat.try_out(2, False)
    request = Request(
        (Message("user", chat.neutral("two <image>"), (Image.new("RGB", (30, 20)),) * 2),)
    )
    ids, whole = chat.tokens(request), chat.encode([request])["input_ids"][0].tolist()
    place = processor.image_token_id
    assert ids.count(place) == 2
    assert (ids[0] == processor.tokenizer.bos_token_id) == begins
    assert [t for t in ids if t != place] == [t for t in whole if t != place]
