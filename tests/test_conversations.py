"""Conversations as trainers read them, by small readers of their own: no text of a row is a mark of a
picture, and each turn has a speaker.
"""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pairmill.api import Pipeline
from tests.everything import picture

Write = Callable[[str], Path]
MARKS = ("<image>", "<video>", "<audio>")
CAPTIONS = [
    "a sign <image> here",
    "<video> and <audio>",
    "<ima<image>ge>",
    "<image>\nfirst\n<image>",
    "plain",
    None,
    'line\u2028break \u0085 \U0001f600 "q" \\ </s>',
]
PROMPT = "<image>\nWhat is this? <video>"


def written(write: Write, folder: Path, columns: dict[str, Any], output: str) -> Any:
    """The package's manifest; `output`: keys beside type and path."""
    pq.write_table(pa.table(columns), folder / "in.parquet")
    text = "name: x\nsource: {type: parquet, path: in.parquet}\noutputs:\n"
    text += f"  - {{type: messages, path: out, overwrite: true, {output}}}\n"
    Pipeline.from_yaml(write(text)).run(local=True, progress=False, replace=True)
    return json.loads((folder / "out/manifest.json").read_text())


def captions() -> dict[str, Any]:
    texts = pa.array(CAPTIONS, pa.string())
    return {"image": [picture(25 * i) for i in range(len(CAPTIONS))], "text": texts}


def by_llava(folder: Path) -> list[tuple[list[tuple[str, str]], bytes]]:
    """Turns and picture of each sample, by the rules of LLaVA's trainer."""
    found = []
    for sample in json.loads((folder / "00000.json").read_text("utf-8")):
        turns = [(turn["from"], turn["value"]) for turn in sample["conversations"]]
        if turns[0][0] != "human":
            turns = turns[1:]
        assert [who for who, _ in turns] == [("human", "gpt")[i % 2] for i in range(len(turns))]
        assert sum(said.count("<image>") for _, said in turns) == 1, turns
        assert turns[0][1].startswith("<image>\n")
        with Image.open(folder / "images" / sample["image"]) as opened:
            assert opened.convert("RGB").size
        found.append((turns, (folder / "images" / sample["image"]).read_bytes()))
    return found


def by_factory(folder: Path) -> list[tuple[list[tuple[str, str]], bytes]]:
    """The same by the rules of LLaMA-Factory and ms-swift: as many marks of each kind as files."""
    found = []
    with open(folder / "00000.jsonl", encoding="utf-8") as lines:
        for line in lines:
            sample = json.loads(line)
            texts = [turn["content"] for turn in sample["messages"]]
            counts = [sum(text.count(mark) for text in texts) for mark in MARKS]
            assert counts == [len(sample["images"]), 0, 0], texts
            turns = [(turn["role"], turn["content"]) for turn in sample["messages"]]
            found.append((turns, (folder / sample["images"][0]).read_bytes()))
    return found


def by_trl(folder: Path) -> list[tuple[list[tuple[str, str]], bytes]]:
    """The same of the Parquet files: the processor puts the picture's mark in."""
    found = []
    for row in pq.read_table(folder / "data").to_pylist():
        turns = [(turn["role"], turn["content"]) for turn in row["messages"]]
        assert not [said for _, said in turns if any(mark in said for mark in MARKS)]
        found.append((turns, row["images"][0]["bytes"]))
    return found


READERS = {"llava": by_llava, "jsonl": by_factory, "parquet": by_trl}


@pytest.mark.parametrize("layout", READERS)
def test_marks_of_pictures_in_captions_and_prompt_are_plain_text(
    write: Write, tmp_path: Path, layout: str
) -> None:
    output = f"layout: {layout}, prompt: {json.dumps(PROMPT)}"
    manifest = written(write, tmp_path, captions(), output)
    found = READERS[layout](tmp_path / "out")
    assert manifest["samples"] == len(found) == len(CAPTIONS)
    before = {"llava": "<image>\n", "jsonl": "<image>", "parquet": ""}[layout]
    rows = dict(zip(captions()["image"], CAPTIONS, strict=True))
    for (asked, answered), data in found:
        assert asked[1] == f"{before}What is this? < video>"
        said = rows.pop(data) or ""
        assert "".join(answered[1].split()) == "".join(said.split())
    assert not rows
    (told,) = [n for what, n in manifest["told"].items() if "spelled with a space" in what]
    assert told == 4


TURNS = {
    "spelled": [{"from": "Human", "value": "<image>\nWhat?"}, {"from": " GPT", "value": "A boat."}],
    "no speaker": [
        {"from": None, "value": "lost"},
        None,
        {"from": "human", "value": "What?"},
        {"from": "gpt", "value": "See <video>"},
    ],
    "later mark": [
        {"from": "human", "value": "Hello"},
        {"from": "gpt", "value": "Hi"},
        {"from": "human", "value": "What is <image>?"},
        {"from": "gpt", "value": None},
    ],
    "answer first": [
        {"from": "gpt", "value": "Welcome"},
        {"from": "user", "value": "What?"},
        {"from": "assistant", "value": "A boat."},
    ],
}


def talks(*names: str) -> dict[str, Any]:
    kind = pa.list_(pa.struct([("from", pa.string()), ("value", pa.string())]))
    images = [picture(25 * i) for i in range(len(names))]
    return {"image": images, "turns": pa.array([TURNS.get(n) for n in names], kind)}


@pytest.mark.parametrize("layout", READERS)
def test_turns_of_a_column_have_a_speaker_and_one_mark(
    write: Write, tmp_path: Path, layout: str
) -> None:
    output = f"layout: {layout}, messages: turns, caption: \"''\""
    manifest = written(write, tmp_path, talks(*TURNS), output)
    found = READERS[layout](tmp_path / "out")
    assert len(found) == len(TURNS)
    spoken = [who for turns, _ in found for who, _ in turns]
    expected = {"human", "gpt"} if layout == "llava" else {"user", "assistant"}
    assert set(spoken) == expected
    assert [n for what, n in manifest["told"].items() if "without a speaker" in what] == [2]
    said = " ".join(said for turns, _ in found for _, said in turns)
    assert "lost" not in said
    assert "See < video>" in said


def test_turns_that_a_trainer_has_no_place_for_are_told(write: Write, tmp_path: Path) -> None:
    TURNS["system"] = [{"from": "system", "value": "Be brief."}, *TURNS["spelled"]]
    TURNS["answer alone"] = [{"from": "gpt", "value": "A boat."}]
    columns = talks("system", "answer alone", "spelled", "none")
    told = written(write, tmp_path, columns, "layout: llava, messages: turns, caption: \"''\"")
    counts = {what: n for what, n in told["told"].items()}
    assert [n for what, n in counts.items() if "'system'" in what] == [1]
    assert [n for what, n in counts.items() if "without a turn of the user" in what] == [1]
    assert [n for what, n in counts.items() if "without a conversation" in what] == [1]


def test_no_mark_stands_where_none_is_wanted(write: Write, tmp_path: Path) -> None:
    for layout in ("llava", "jsonl"):
        written(write, tmp_path, captions(), f"layout: {layout}, image_tag: false")
        text = (tmp_path / f"out/00000.{layout.replace('llava', 'json')}").read_text("utf-8")
        lines = json.loads(text) if layout == "llava" else map(json.loads, text.split("\n")[:-1])
        for line in lines:
            assert "<image>" not in json.dumps(line.get("conversations") or line["messages"])


@pytest.mark.parametrize("layout", READERS)
def test_pictures_of_odd_formats_are_those_of_their_own_rows(
    write: Write, tmp_path: Path, layout: str
) -> None:
    images, texts = [], []
    for i, (kind, mode) in enumerate(
        [("PNG", "RGBA"), ("GIF", "P"), ("WEBP", "RGB"), ("TIFF", "RGB"), ("BMP", "RGB"),
         ("JPEG", "CMYK"), ("PNG", "I;16"), ("JPEG", "L"), ("PNG", "1")]
    ):  # fmt: skip
        made = io.BytesIO()
        grey = 20 + 25 * i
        plain = Image.new("RGB", (9 + i, 7), (grey, grey, grey))
        deep = Image.new("I;16", (9 + i, 7), grey * 256)
        (deep if mode == "I;16" else plain.convert(mode)).save(made, kind)
        images.append(made.getvalue())
        texts.append(str(9 + i))
    columns = {"image": images, "text": texts}
    manifest = written(write, tmp_path, columns, f"layout: {layout}, format: jpg")
    found = READERS[layout](tmp_path / "out")
    assert manifest["samples"] == len(found) == len(images)
    for (_, answered), data in found:
        with Image.open(io.BytesIO(data)) as opened:
            assert opened.format == "JPEG"
            assert opened.convert("RGB").size == opened.size
            assert str(opened.width) == answered[1]
