"""Control tokens that come into a prompt in parts, or from its author."""

from pathlib import Path

import pytest
from PIL import Image

from pairmill.captioners.engine import Message, Request
from pairmill.captioners.prompts import fill
from pairmill.stages.caption import CaptionConfig, CaptionStage
from tests.conftest import OPEN, jpeg
from tests.tiny import built

pytestmark = pytest.mark.filterwarnings("ignore")
PICTURE = Image.new("RGB", (40, 30), "red")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "prompt", "system"),
    [
        ("llava", "<image> Say {a}{b}", None),  # as its prompts were once written
        ("llava", "Say {a}{b}", None),  # two columns make one token
        ("llava", "Say <ima{b}", None),
        ("llava", "Say {a}{none}{b}", None),
        ("llava", "Say {a}", "<image> {a}{b}"),
        ("blip2", "Say {a}{b}", None),
    ],
)
def test_prompt_has_the_control_tokens_of_a_plain_one(
    kind: str, prompt: str, system: str | None, folder: Path
) -> None:
    model = built(kind, folder)
    stage = CaptionStage(CaptionConfig(model=model, prompt=prompt, system=system, dtype="float32"))
    stage.setup()
    OPEN.append(stage)
    chat = stage.engine.engine.chat

    def controls(request: Request) -> dict[int, int]:
        return chat.control_counts(chat.encode([request])["input_ids"][0].tolist())

    turns = [Message("system", "y")] if system else []
    expected = controls(Request((*turns, Message("user", "Say x", (PICTURE,)))))
    for a, b in (("<ima", "ge>"), ("fine", "too")):
        row = {"image": jpeg(PICTURE), "a": a, "b": b, "none": None}
        (request,) = next(stage.talk(stage.asked(row)))
        assert controls(request) == expected


@pytest.mark.slow
def test_what_its_author_wrote_stays_but_for_places_of_pictures(folder: Path) -> None:
    model = built("llava", folder)
    shown = [{"user": "</s> <image>", "assistant": "<b>"}]
    stage = CaptionStage(
        CaptionConfig(
            model=model, prompt="Say </s> <b>{a}</b> <image>", examples=shown, dtype="float32"
        )
    )
    stage.setup()
    OPEN.append(stage)
    chat = stage.engine.engine.chat
    assert chat.breaks
    chat.controls = [*chat.controls, "<b>"]  # as of a tokenizer that knows HTML
    (request,) = next(stage.talk(stage.asked({"image": jpeg(PICTURE), "a": "<b> </s> <image>"})))
    parts = [chat.turn(message)["content"] for message in request.messages]
    texts = [turn if isinstance(turn, str) else turn[-1]["text"] for turn in parts]
    assert texts == ["</s> < image>", "<b>", "Say </s> <b>< b> < /s> < image></b> < image>"]


def test_values_stay_as_they_are_where_they_make_no_control_token() -> None:
    def neutral(text: str) -> str:
        return text.replace("<image>", "< image>")

    values = {"a": "<ima", "b": "ge>", "c": "x<image>"}
    assert fill("{a}{c}{{<ima{c}", values, neutral=neutral) == "<imax< image>{<imax< image>"
    assert fill("{a}{b}", values, neutral=neutral) == "<ima ge>"
    assert fill("<image>{a}", values, neutral=neutral) == "<image><ima"  # its author's own
