"""Chat templates as checkpoints bring them, and thoughts as models mark them."""

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from pairmill.captioners.reasoning import split_reasoning
from pairmill.errors import PairmillError
from pairmill.stages.caption import CaptionConfig, CaptionStage
from tests.conftest import jpeg
from tests.tiny import built

pytestmark = pytest.mark.filterwarnings("ignore")
PLAIN = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "<|im_start|>assistant\n"
)
USER = PLAIN.replace("{% for m in messages %}", "{% for m in messages if m['role'] == 'user' %}")
LAST = PLAIN.replace("in messages", "in messages[-1:]")
LISTED = PLAIN.replace(
    "{{ m['content'] }}", "{% for c in m['content'] %}{{ c['text'] }}{% endfor %}"
)
HARMONY = "<|channel|>analysis<|message|>A cat?<|end|><|start|>assistant<|channel|>final<|message|>"
SHOWN = [{"user": "What?", "assistant": "That."}]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


def with_template(source: str, target: Path, template: str | None, name: str = "") -> str:
    """A copy of a model with another chat template: in its own file, or in the one of `name`."""
    shutil.copytree(source, target)
    (target / "chat_template.jinja").unlink(missing_ok=True)
    if name:
        file = target / name
        kept = json.loads(file.read_text()) if file.exists() else {}
        file.write_text(json.dumps({**kept, "chat_template": template}))
    elif template is not None:
        (target / "chat_template.jinja").write_text(template)
    return str(target)


def caption(model: str, **options: object) -> CaptionStage:
    values = {"model": model, "dtype": "float32", "max_new_tokens": 4, "prompt": "Say: {text}"}
    return CaptionStage(CaptionConfig(**{**values, **options}))


def prompts(stage: CaptionStage) -> list[str]:
    """What the model reads of two rows."""
    stage.setup()
    data = jpeg(Image.new("RGB", (60, 40), "red"))
    rows = [{"text": text, "image": data} for text in ("one", "two")]
    engine = stage.engine.engine
    requests = [next(stage.talk(stage.asked(row)))[0] for row in rows]
    inputs = [engine.begin([request]).inputs["input_ids"][0] for request in requests]
    stage.close()
    return [engine.tokenizer.decode(ids) for ids in inputs]


@pytest.mark.parametrize(
    ("template", "options", "fault"),
    [
        (USER, {"system": "Be brief."}, "leaves the system turn out; write it into `prompt`"),
        (LAST, {"examples": SHOWN}, "leaves out the turns of `examples`"),
        (None, {"examples": SHOWN}, "no chat template, and so no turns for `examples`"),
        ("<|im_start|>user\nhello<|im_end|>", {}, "does not write what it is asked"),
    ],
)
def test_template_that_leaves_something_out_is_refused(
    folder: Path, tmp_path: Path, template: str | None, options: dict[str, object], fault: str
) -> None:
    model = with_template(built("text", folder), tmp_path / "m", template)
    with pytest.raises(PairmillError, match=fault):
        caption(model, image=None, **options).examine()


def test_template_that_takes_lists_of_parts_is_given_them(folder: Path, tmp_path: Path) -> None:
    model = with_template(built("text", folder), tmp_path / "m", LISTED)
    one, two = prompts(caption(model, image=None))
    assert "user\nSay: one<|im_end|>" in one
    assert "user\nSay: two<|im_end|>" in two


def test_template_for_plain_text_serves_a_prompt_without_images(
    folder: Path, tmp_path: Path
) -> None:
    model = with_template(built("qwen", folder), tmp_path / "m", PLAIN)
    assert "user\nSay: one<|im_end|>" in prompts(caption(model, image=None))[0]
    with pytest.raises(PairmillError, match="does not take 1 image"):
        caption(model).examine()


@pytest.mark.parametrize("name", ["tokenizer_config.json", "chat_template.json"])
def test_template_is_found_where_checkpoints_have_it(
    folder: Path, tmp_path: Path, name: str
) -> None:
    plain = built("qwen", folder)
    template = (Path(plain) / "chat_template.jinja").read_text()
    model = with_template(plain, tmp_path / "m", template, name)
    assert prompts(caption(model)) == prompts(caption(plain))


def test_template_that_is_missing_is_named(folder: Path, tmp_path: Path) -> None:
    model = with_template(built("qwen", folder), tmp_path / "m", None)
    with pytest.raises(PairmillError, match="the checkpoint brings no chat template"):
        caption(model).examine()


@pytest.mark.parametrize("kind", ["text", "qwen"])
def test_prompt_does_not_depend_on_the_day(folder: Path, tmp_path: Path, kind: str) -> None:
    own = (Path(built(kind, folder)) / "chat_template.jinja").read_text()
    dated = "Today is {{ strftime_now('%d %B %Y') }}. " + own
    model = with_template(built(kind, folder), tmp_path / "m", dated)
    image = {"image": None} if kind == "text" else {}
    assert prompts(caption(model, **image))[0].startswith("Today is 01 January 2026. <|im_start|>")


def test_key_that_the_template_does_not_know_is_told(folder: Path) -> None:
    stage = caption(
        built("text", folder), image=None, chat_template_kwargs={"enable_thinking": False}
    )
    assert "the model's chat template knows no enable_thinking" in stage.examine()


def test_answer_is_mended_with_its_question_where_no_template_makes_turns(
    folder: Path, tmp_path: Path
) -> None:
    model = with_template(built("text", folder), tmp_path / "m", None)
    schema = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
    stage = caption(model, image=None, json_schema=schema)
    stage.setup()
    talk = stage.talk(stage.asked({"text": "one"}))
    (answer,) = [stage.engine.engine.answer(stage.engine.engine.begin(next(talk)))[0]]
    again = stage.engine.engine.begin(talk.send([answer])).inputs["input_ids"][0]
    assert "Say: one" in stage.engine.engine.tokenizer.decode(again)
    stage.close()


def test_tokenizer_without_words_or_padding(folder: Path, tmp_path: Path) -> None:
    model = Path(with_template(built("text", folder), tmp_path / "m", None))
    file = model / "tokenizer_config.json"
    kept = json.loads(file.read_text())
    file.write_text(json.dumps(kept | {"pad_token": None, "eos_token": None, "bos_token": None}))
    assert caption(str(model), image=None).examine()
    for file in model.glob("tokenizer*"):
        file.unlink()
    with pytest.raises(PairmillError, match="tokenizer knows no words"):
        caption(str(model), image=None).examine()


def test_model_whose_processor_makes_no_tokens_of_a_prompt_is_refused(folder: Path) -> None:
    with pytest.raises(PairmillError, match="makes no tokens of a prompt"):
        caption(built("pix2struct", folder)).examine()


@pytest.mark.parametrize(
    ("text", "thinking", "reasoning", "answer"),
    [
        (f"{HARMONY}A cat.", False, "A cat?", "A cat."),
        (
            "A cat?<|end|><|start|>assistant<|channel|>final<|message|>A cat.",
            True,
            "A cat?",
            "A cat.",
        ),
        ("<|channel|>analysis<|message|>still", False, "still", None),
        ("<|channel|>final <|constrain|>json<|message|>{}", False, None, "{}"),
        ("◁think▷hm◁/think▷A cat", False, "hm", "A cat"),
        ("<seed:think>hm</seed:think>A cat", False, "hm", "A cat"),
        ("<|channel>thought\nhm<channel|>A cat", False, "hm", "A cat"),
        ("hm<|END_THINKING|>A cat", True, "hm", "A cat"),
        ("<think>hm</think><answer> A cat </answer>", False, "hm", "A cat"),
        ("<think>hm</think><|begin_of_box|>A cat<|end_of_box|>", False, "hm", "A cat"),
        ("an <answer>x</answer> in a text", False, None, "an <answer>x</answer> in a text"),
    ],
)
def test_thoughts_of_every_family_are_told_apart(
    text: str, thinking: bool, reasoning: str | None, answer: str | None
) -> None:
    assert split_reasoning(text, thinking) == (reasoning, answer)


def test_channels_of_gpt_oss_are_read_from_its_tokens(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(built("text", folder), tmp_path / "m")
    file = tmp_path / "m/tokenizer.json"
    words = json.loads(file.read_text())
    for place, mark in enumerate(("<|channel|>", "<|message|>", "<|start|>", "<|end|>")):
        token = {"id": 320 + place, "content": mark, "special": True, "normalized": False}
        words["added_tokens"].append(
            {**token, **dict.fromkeys(("lstrip", "rstrip", "single_word"), False)}
        )
    file.write_text(json.dumps(words))
    stage = caption(str(tmp_path / "m"), image=None)
    assert "caption_reasoning" in stage.writes().names
    stage.setup()
    engine = stage.engine.engine
    told = engine.answers.answer(engine.tokenizer.encode(f"{HARMONY}A cat."), False)
    assert (told.reasoning, told.text) == ("A cat?", "A cat.")
    stage.close()
