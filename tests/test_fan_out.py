"""Lists out of rows: tiles of pictures, sentences of texts."""

import io
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pairmill.api import Pipeline
from pairmill.errors import PipelineFileError
from pairmill.packages.package import verify
from pairmill.stage import check_stage
from pairmill.stages.sentences import SentencesConfig, SentencesStage
from pairmill.stages.tiles import TilesStage, spans

Write = Callable[[str], Path]


def gradient(width_px: int, height_px: int) -> tuple[np.ndarray, bytes]:
    """Pixels that tell their place, and their PNG."""
    y, x = np.mgrid[:height_px, :width_px]
    pixels = np.stack([x % 256, y % 256, (x + y) % 256], axis=2).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return pixels, out.getvalue()


def pixels_of(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


@settings(max_examples=200, deadline=None)
@given(size=st.integers(1, 3000), count=st.integers(1, 64), overlap=st.floats(0, 0.95))
def test_spans_cover_every_pixel_and_overlap_as_asked(
    size: int, count: int, overlap: float
) -> None:
    found = spans(size, count, overlap)
    assert len(found) == count
    assert found[0][0] == 0
    assert found[-1][1] == size
    for (_, end), (start, _) in pairwise(found):
        assert start <= end  # no gap
    length = size / (1 + (count - 1) * (1 - overlap))
    assert all(abs((b - a) - length) <= 1 for a, b in found)


def test_tiles_are_the_pixels_of_their_boxes(tmp_path: Path) -> None:
    pixels, data = gradient(61, 40)
    rows = pa.table({"image": pa.array([data, b"broken", data], pa.large_binary())})
    answer = check_stage(TilesStage, rows, grid=[2, 3], overlap=0.25, format="png", whole=True)
    assert answer["error"].to_pylist()[1]["class"] == "decode"
    assert answer["tiles"].to_pylist()[1] is None
    assert answer["tiles_count"].to_pylist() == [7, None, 7]
    tiles = answer["tiles"].to_pylist()[0]
    assert tiles[0]["box"] == [0, 0, 61, 40]
    seen = np.zeros((40, 61), int)
    for tile in tiles[1:]:
        left, top, right, bottom = tile["box"]
        assert np.array_equal(pixels_of(tile["image"]), pixels[top:bottom, left:right])
        seen[top:bottom, left:right] += 1
    assert seen.min() == 1
    assert seen.max() == 4


def test_boxes_of_a_column_are_cut_in_their_order(tmp_path: Path) -> None:
    """In pixels, in shares, as structs of a detector; outside of the picture there is nothing."""
    pixels, data = gradient(50, 40)
    boxes = [
        [10.2, 5, 20.5, 15],
        [40, 30, 90, 90],
        [60, 0, 70, 10],
        [5, 5, 5, 9],
        [float("inf")] * 4,
    ]
    rows = pa.table({"image": pa.array([data], pa.large_binary()), "found": [boxes]})
    answer = check_stage(TilesStage, rows, boxes="found", format="png")
    tiles = answer["tiles"].to_pylist()[0]
    assert [t["box"] for t in tiles[:2]] == [[10, 5, 21, 15], [40, 30, 50, 40]]
    assert np.array_equal(pixels_of(tiles[0]["image"]), pixels[5:15, 10:21])
    assert [t["image"] is None for t in tiles] == [False, False, True, True, True]
    assert (answer["tiles_count"][0].as_py(), answer["tiles_empty"][0].as_py()) == (2, 3)
    named = [{"label": "dog", "box": [0.2, 0.5, 0.4, 0.25]}]
    rows = pa.table({"image": pa.array([data], pa.large_binary()), "found": [named]})
    answer = check_stage(TilesStage, rows, boxes="found", box_unit="share", box_format="xywh")
    assert answer["tiles"].to_pylist()[0][0]["box"] == [10, 20, 30, 30]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ("{}", "give either `grid"),
        ("{grid: [2, 2], boxes: b}", "give either `grid"),
        ("{boxes: b, overlap: 0.5}", "belongs to a grid"),
    ],
)
def test_tiles_want_a_grid_or_boxes(write: Write, numbers: Path, keys: str, message: str) -> None:
    file = write(
        f"name: t\nsource: {{type: parquet, path: numbers.parquet}}\nstages: [{{stage: tiles, {keys[1:]}]\n"
    )
    with pytest.raises(PipelineFileError, match=message):
        Pipeline.from_yaml(file)


def test_tiles_travel_through_a_pipeline_into_packages(write: Write, numbers: Path) -> None:
    """A gate reads their number, the Parquet has them as bytes, the tar as members."""
    file = write("""
name: tiled
source: {type: parquet, path: numbers.parquet}
stages:
  - {stage: tiles, grid: [1, 2], keep: tiles_count = 2, store: kept}
outputs:
  - {type: parquet, path: out, shuffle: false}
  - {type: webdataset, path: tars, shuffle: false}
""")
    Pipeline.from_yaml(file).run(local=True, progress=False)
    tiles = pl.read_parquet(numbers / "out/data/*.parquet")["tiles"].to_list()
    assert len(tiles) == 60
    assert all(len(pixels_of(part["image"]).shape) == 3 for part in tiles[0])
    for name in ("out", "tars"):
        assert verify(str(numbers / name)) == []


TEXTS = [
    ("en", "Dr. Smith saw it. It cost 3.50 dollars!  Then he left…\n\nA new paragraph."),
    ("zh", "这是一只猫。它在睡觉！好"),
    ("hi", "यह एक बिल्ली है। वह सो रही है।"),
    (None, "One. Two."),
    ("tlh", "Hab SoSlI'. Quch."),
    ("de", "  Ein Satz ohne Ende  "),
    ("en", " \n "),
    ("en", ""),
    ("en", "😀 smiles. 🐈 too."),
]


def test_sentences_stand_where_they_are_said_to_begin() -> None:
    codes, texts = zip(*TEXTS, strict=True)
    rows = pa.table({"text": pa.array(texts), "lang": pa.array(codes, pa.string())})
    answer = check_stage(SentencesStage, rows, language_from="lang")
    found = answer["sentences"].to_pylist()
    assert found[0] == [
        "Dr. Smith saw it.", "It cost 3.50 dollars!", "Then he left…", "A new paragraph.",
    ]  # fmt: skip
    assert found[1] == ["这是一只猫。", "它在睡觉！", "好"]
    assert [len(cut) for cut in found[2:5]] == [2, 2, 2]
    assert found[5:8] == [["Ein Satz ohne Ende"], [], []]
    assert answer["sentences_count"].to_pylist() == [len(cut) for cut in found]
    for text, cut, starts in zip(texts, found, answer["sentences_start"].to_pylist(), strict=True):
        rest = text
        for sentence, start in reversed(list(zip(cut, starts, strict=True))):
            assert text[start : start + len(sentence)] == sentence
            rest = rest[:start] + rest[start + len(sentence) :]
        assert rest.strip() == ""  # no letter lies outside of a sentence


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(text=st.text(max_size=80), code=st.sampled_from(["en", "de", "zh", "ar", "xx", "pt-br"]))
def test_no_letter_of_any_text_is_lost(text: str, code: str) -> None:
    stage = SentencesStage(SentencesConfig(language=code))
    stage.setup()
    cut, starts = stage.cut(text, code)
    assert "".join("".join(cut).split()) == "".join(text.split())
    assert all(text[at:].startswith(one) for one, at in zip(cut, starts, strict=True))
