"""Models whose answers are no numbers: the checkpoint's fault ends the run, a picture's is its row's."""

import asyncio
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from pairmill.captioners.batches import Batched
from pairmill.captioners.engine import Answer, Message, Request
from pairmill.captioners.steps import BestScores
from pairmill.errors import RowError, StageBroken
from pairmill.filters.classify import ClassifyConfig, ClassifyStage
from pairmill.filters.clip import ClipConfig, ClipStage
from pairmill.filters.embed import EmbedConfig, EmbedStage
from pairmill.filters.match import MatchConfig, MatchStage
from pairmill.filters.perplexity import PerplexityConfig, PerplexityStage
from pairmill.models.finite import KIND, Finite
from pairmill.stages.caption import CaptionConfig, CaptionStage
from tests.later import tensors, torch
from tests.tiny import built

pytestmark = pytest.mark.filterwarnings("ignore")
GREY, WHITE = (123, 117, 104), (255, 255, 255)
PATCHES = "vision_model.embeddings.patch_embedding.weight"


def changed(folder: str, name: str, change: Callable[[Any], Any]) -> None:
    """Writes a checkpoint's weights anew, with one tensor changed."""
    file = Path(folder) / "model.safetensors"
    weights = tensors.load_file(file)
    found = next(key for key in weights if key.endswith(name))
    weights[found] = change(weights[found].clone())
    tensors.save_file(weights, file, {"format": "pt"})


def holed(weight: Any) -> Any:
    weight.view(-1)[0] = float("nan")
    return weight


def huge(weight: Any) -> Any:
    weight[0] = 1e17  # finite, but the square of what it makes of white is not
    return weight


def rows(*shades: tuple[int, int, int]) -> pa.Table:
    images = []
    for shade in shades:
        out = io.BytesIO()
        Image.new("RGB", (40, 30), shade).save(out, "PNG")
        images.append(out.getvalue())
    return pa.table({"image": images, "text": ["a red car"] * len(images)})


def asked(kind: type[Any], config: Any, table: pa.Table) -> pa.Table:
    """A stage's answer."""
    stage = kind(config)
    stage.setup()
    try:
        return stage(table)
    finally:
        stage.close()


@pytest.mark.parametrize(
    ("built_as", "kind", "config", "options", "tensor"),
    [
        ("clip", ClipStage, ClipConfig, {}, PATCHES),
        ("clip", EmbedStage, EmbedConfig, {"embeddings": ["text"]}, "text_projection.weight"),
        ("blip_itm", MatchStage, MatchConfig, {}, "itm_head.weight"),
        ("vit", EmbedStage, EmbedConfig, {"embeddings": ["image"]}, "layernorm.weight"),
        ("text", PerplexityStage, PerplexityConfig, {}, "norm.weight"),
        ("text", CaptionStage, CaptionConfig, {"image": None, "prompt": "{text}"}, "norm.weight"),
        ("qwen", CaptionStage, CaptionConfig, {"prompt": "{text}"}, "norm.weight"),
    ],
)  # fmt: skip
def test_weight_that_is_no_number_ends_the_run_and_is_named(
    built_as: str, kind: Any, config: Any, options: Any, tensor: str, tmp_path: Path
) -> None:
    folder = built(built_as, tmp_path)
    changed(folder, tensor, holed)
    with pytest.raises(StageBroken, match=rf"{built_as}' has weights that are NaN.*{tensor}"):
        asked(kind, config(model=folder, dtype="float32", **options), rows(GREY))


def test_labels_by_a_broken_model_are_refused_before_work(tmp_path: Path) -> None:
    folder = built("clip", tmp_path)
    changed(folder, "text_projection.weight", holed)
    prompts = {"photo": ["a photo"], "drawing": ["a drawing"]}
    with pytest.raises(StageBroken, match="text_projection.weight"):
        ClassifyStage(ClassifyConfig(model=folder, embedding="e", prompts=prompts)).setup()


def test_one_picture_beyond_the_precision_fails_alone(tmp_path: Path) -> None:
    folder = built("clip", tmp_path)
    changed(folder, PATCHES, huge)
    config = ClipConfig(model=folder, dtype="float32", embeddings=["image"])
    found = asked(ClipStage, config, rows(GREY, WHITE, GREY))
    assert np.isnan(found["clip_score"]).tolist() == [False, True, False]
    assert [e and e["class"] for e in found["error"].to_pylist()] == [None, KIND, None]
    assert found["clip_image_embedding"].null_count == 1


def test_model_that_answers_no_row_ends_the_run(tmp_path: Path) -> None:
    folder = built("clip", tmp_path)
    changed(folder, PATCHES, huge)
    with pytest.raises(StageBroken, match="every row with NaN or infinity in float32"):
        asked(ClipStage, ClipConfig(model=folder, dtype="float32"), rows(*[WHITE] * 5))


class HalfAnswers:
    """An engine that has an answer for every second request."""

    streams = 1
    note = ""

    def neutral(self, text: str) -> str:
        return text

    def begin(self, requests: Any) -> Any:
        return requests

    def answer(self, begun: Any) -> list[Any]:
        return [
            RowError(KIND, "no number") if i % 2 else Answer("yes", "stop", 1)
            for i, _ in enumerate(begun)
        ]


async def told() -> list[Any]:
    """What two requests of one batch get."""
    engine = Batched(HalfAnswers(), 2)
    asked = [engine.answer(Request((Message("user", "?"),))) for _ in range(2)]
    try:
        return await asyncio.gather(*asked, return_exceptions=True)
    finally:
        await engine.close()


def test_request_without_an_answer_costs_its_batch_nothing() -> None:
    found = asyncio.run(told())
    assert [one.kind for one in found if isinstance(one, RowError)] == [KIND]
    assert [one.text for one in found if isinstance(one, Answer)] == ["yes"]


def test_scores_count_up_to_the_end_of_an_answer() -> None:
    nan = float("nan")
    best = BestScores()
    for step in ([[1.0, 2.0], [1.0, 2.0], [1.0, -torch.inf]], [[nan, 1.0], [nan, 1.0], [0.0, 1.0]]):
        best(None, torch.tensor(step))
    assert best.finite([0, 1, 2]) == [True, False, True]


def test_rows_are_judged_by_what_was_fine_before() -> None:
    finite = Finite("s", "m", None)
    assert finite.judged([True]) == [None]
    assert [e and e[0] for e in finite.judged([False] * 7)] == [KIND] * 7
