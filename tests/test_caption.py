"""Captions: the model's own chat template, greedy and sampled, text-only prompts, failures by
row.
"""

import asyncio
import time

import pyarrow as pa
import pytest

from pairmill.captioners.batches import Batched
from pairmill.captioners.engine import Message, Request
from pairmill.captioners.prompts import BadPrompt, fill, referenced
from pairmill.demo.texts import FUSION_PROMPT, SHORT_PROMPT
from pairmill.errors import StageBroken
from pairmill.images import decode_rgb
from pairmill.stages.caption import CaptionConfig, CaptionStage
from tests.conftest import CAPTIONER, OPEN
from tests.later import torch, transformers

Pictures = list[tuple[bytes, str]]


def made(**options: object) -> CaptionStage:
    stage = CaptionStage(
        CaptionConfig(
            **{
                "model": CAPTIONER,
                "prompt": SHORT_PROMPT,
                "max_new_tokens": 48,
                "dtype": "float32",
                **options,
            }
        )
    )  # type: ignore[arg-type]
    stage.setup()
    OPEN.append(stage)
    return stage


def test_greedy_caption_is_that_of_a_direct_transformers_call(pictures: Pictures) -> None:
    images = [p[0] for p in pictures[:4]]
    found = made(name="synthetic")(pa.table({"image": [*images, b"broken"]}))
    assert found.schema.names == [
        "synthetic",
        "synthetic_model",
        "synthetic_prompt_id",
        "synthetic_finish_reason",
        "synthetic_tokens",
        "synthetic_prompt_tokens",
        "error",
    ]
    model, processor = (
        transformers.AutoModelForImageTextToText.from_pretrained(
            CAPTIONER, dtype=torch.float32
        ).eval(),
        transformers.AutoProcessor.from_pretrained(CAPTIONER),
    )
    for data, row in zip(images, found.to_pylist(), strict=False):
        chat = [
            {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": SHORT_PROMPT}]}
        ]
        text = processor.apply_chat_template(chat, add_generation_prompt=True)
        inputs = processor(text=text, images=decode_rgb(data), return_tensors="pt")
        out = model.generate(**inputs, max_new_tokens=48, do_sample=False)[
            0, inputs["input_ids"].shape[1] :
        ]
        assert row["synthetic"] == processor.decode(out, skip_special_tokens=True).strip()
        assert (row["synthetic_finish_reason"], row["synthetic_tokens"]) == ("stop", len(out) - 1)
    assert found["error"].to_pylist()[4]["class"] == "decode"
    assert found["synthetic"].to_pylist()[4] is None


def test_answer_cut_by_the_token_limit_is_marked(pictures: Pictures) -> None:
    row = made(max_new_tokens=3)(pa.table({"image": [pictures[0][0]]})).to_pylist()[0]
    assert (row["caption_finish_reason"], row["caption_tokens"]) == ("length", 3)


def test_fusion_prompt_reads_columns_and_needs_no_image() -> None:
    stage = made(image=None, prompt=FUSION_PROMPT)
    assert stage.reads() == ["text", "caption"]
    rows = pa.table(
        {"text": ["a red car at night, known as Kalodor"], "caption": ["a red car at night"]}
    )
    assert "Kalodor" in stage(rows)["caption"][0].as_py()


def test_sampled_text_of_a_row_does_not_depend_on_its_neighbours(pictures: Pictures) -> None:
    stage = made(temperature=2.0, top_p=1.0, seed=3)
    rows = pa.table({"image": [p[0] for p in pictures[:6]], "uid": [f"u{i}" for i in range(6)]})
    together = stage(rows)["caption"].to_pylist()
    alone = [stage(rows.slice(i, 1))["caption"][0].as_py() for i in range(6)]
    greedy = made()(rows)["caption"].to_pylist()
    assert together == alone
    assert together != greedy
    assert made(temperature=2.0, top_p=1.0, seed=4)(rows)["caption"].to_pylist() != together


def test_prompt_references() -> None:
    assert referenced("{a} and {{b}} and {c}{a}") == ["a", "c"]
    assert fill("{a} {{x}}", {"a": "{c}"}) == "{c} {x}"
    for bad in ("{a.b}", "{a!r}", "{}", "{a", "{0}"):
        with pytest.raises(BadPrompt, match="braces|column"):
            referenced(bad)


def test_model_that_does_not_load_says_which_and_why(tmp_path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(StageBroken, match="does not load"):
        made(model=str(tmp_path))


def test_closing_leaves_no_task_behind_in_the_loop() -> None:
    class Slow:
        streams, note = 1, ""

        def begin(self, requests: list[object]) -> list[object]:
            return requests

        def answer(self, begun: list[object]) -> list[object]:
            time.sleep(0.2)
            return begun

    async def closed() -> set[asyncio.Task[object]]:
        batched = Batched(Slow(), 2)
        asked = asyncio.ensure_future(batched.answer(Request((Message("user", "a"),))))
        await asyncio.sleep(0.1)
        await batched.close()
        return asyncio.all_tasks() - {asyncio.current_task(), asked}

    assert asyncio.run(closed()) == set()
