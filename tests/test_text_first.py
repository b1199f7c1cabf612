"""Where the prompt of a turn stands: before or behind its images."""

from pathlib import Path

import pyarrow as pa
import pytest
from PIL import Image

from pairmill.stages.caption import CaptionConfig, CaptionStage
from tests.conftest import jpeg
from tests.tiny import built

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


def prompt(model: str, rows: pa.Table, **options: object) -> str:
    """What the model reads of the first row."""
    stage = CaptionStage(
        CaptionConfig(model=model, dtype="float32", prompt="Say: {text}", **options)
    )
    stage.setup()
    (request,) = next(stage.talk(stage.asked(rows.to_pylist()[0])))
    engine = stage.engine.engine
    told = engine.tokenizer.decode(engine.begin([request]).inputs["input_ids"][0])
    stage.close()
    return str(told)


def test_text_first_puts_the_prompt_before_its_images(folder: Path) -> None:
    rows = pa.table({"image": [jpeg(Image.new("RGB", (60, 40), "red"))], "text": ["a hill"]})
    schema = {"type": "object", "properties": {"kind": {"type": "string"}}}
    options = {"system": "Be brief.", "json_schema": schema}
    for text_first in (True, False):
        told = prompt(built("qwen", folder), rows, text_first=text_first, **options)
        system, text, image = map(told.index, ("Be brief.", "Say: a hill", "<|vision_start|>"))
        assert system < min(text, image)
        assert (text < image) is text_first
    with pytest.raises(ValueError, match="`image` names none"):
        CaptionConfig(model="m", image=None, text_first=True)


def test_form_that_puts_images_where_it_likes_is_told(folder: Path) -> None:
    kept = CaptionConfig(model=built("paligemma", folder), dtype="float32", text_first=True)
    assert "images where it did" in " ".join(CaptionStage(kept).examine())
    heeded = CaptionConfig(model=built("qwen", folder), dtype="float32", text_first=True)
    assert "images where it did" not in " ".join(CaptionStage(heeded).examine())
