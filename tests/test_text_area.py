"""Painted text against what was painted; faces of a photograph, and what blurring changes."""

import io
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pytest
from PIL import Image, ImageDraw, ImageFont

from pairmill.demo.drawing import paint_sign, render
from pairmill.demo.scenes import random_name, random_scene, rng_for
from pairmill.errors import MissingPackage, StageBroken
from pairmill.filters import text_area
from pairmill.filters.faces import FacesConfig, FacesStage
from pairmill.filters.text_area import TextAreaConfig, TextAreaStage
from pairmill.stage import check_stage

OCR = pytest.mark.skipif(
    not text_area.installed(), reason="pip install 'pairmill[ocr]' for painted text"
)
FAST = {"side": 224}


def png(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def painted(index: int, words: str | None) -> Image.Image:
    """A drawn scene of the demo world, with a sign."""
    rng = rng_for("painted", index)
    image = render(random_scene(rng), 300, 220, rng)
    if words:
        paint_sign(image, words)
    return image


@pytest.mark.slow
@OCR
def test_painted_words_are_read_where_they_stand_and_plain_pictures_have_none() -> None:
    names = [random_name(rng_for("name", i)).upper() for i in range(4)]
    images = [painted(i, name) for i, name in enumerate([*names, None, None, None])]
    captions = [f"{name} and a red ball" for name in names] + ["a red ball"] * 2 + [None]
    rows = pa.table({"image": [png(image) for image in images], "text": captions})
    stage = TextAreaStage(TextAreaConfig(**FAST))
    stage.setup()
    found = stage(rows)
    assert found["text_area_text"].to_pylist() == [*names, "", "", ""]
    assert found["text_area_overlap"].to_pylist() == pytest.approx([0.2] * 4 + [0.0] * 2 + [None])
    assert found["text_area"].to_pylist()[4:] == [0.0] * 3
    font = ImageFont.load_default(18)
    for name, row in zip(names, found.to_pylist(), strict=False):
        (box,) = row["text_area_boxes"]
        wide = font.getlength(name)  # the strip that `paint_sign` paints, a twelfth of the height
        truth = (4 / 300, 194 / 220, (10 + wide) / 300, 218 / 220)
        assert iou(box, truth) > 0.6
        share = (truth[2] - truth[0]) * (truth[3] - truth[1])
        assert row["text_area"] == pytest.approx(share, rel=0.4)


def iou(one: tuple[float, ...], two: tuple[float, ...]) -> float:
    """Common share of two boxes."""
    wide = min(one[2], two[2]) - max(one[0], two[0])
    high = min(one[3], two[3]) - max(one[1], two[1])
    common = max(0, wide) * max(0, high)
    areas = [(b[2] - b[0]) * (b[3] - b[1]) for b in (one, two)]
    return common / (sum(areas) - common)


@OCR
def test_a_masked_picture_has_its_text_painted_over_and_nothing_else() -> None:
    image = Image.new("RGB", (320, 200), (90, 140, 60))
    ImageDraw.Draw(image).text((40, 60), "SUMMER SALE", (250, 250, 250), ImageFont.load_default(36))
    plain = painted(3, None)
    stage = TextAreaStage(TextAreaConfig(text=None, masked=True, format="png", **FAST))
    stage.setup()
    found = stage(pa.table({"image": [png(image), png(plain)]})).to_pylist()
    assert found[0]["text_area_text"].split() == ["SUMMER", "SALE"]
    masked = np.asarray(Image.open(io.BytesIO(found[0]["text_area_image"]))).astype(int)
    assert np.abs(masked - np.array([90, 140, 60])).max() <= 40  # no letter is left
    assert (masked != np.asarray(image)).any(axis=2).mean() < 0.25
    assert found[1]["text_area_image"] == png(plain)


@OCR
def test_text_area_keeps_the_contract_and_says_which_models_it_reads_with() -> None:
    rows = pa.table(
        {"image": [png(painted(1, "KALO")), b"no picture"], "text": ["kalo", None]},
        schema=pa.schema([("image", pa.binary()), ("text", pa.string())]),
    )
    answer = check_stage(TextAreaStage, rows, 1e-4, **FAST)
    assert [e and e["class"] for e in answer["error"].to_pylist()] == [None, "decode"]
    (told,) = TextAreaStage(TextAreaConfig()).examine()
    assert "PP-OCRv6_det_small.onnx, 9.9 MB" in told
    assert "nothing is downloaded" in told


@OCR
def test_a_model_that_is_not_there_is_told_before_anything_is_fetched(tmp_path: Path) -> None:
    config = TextAreaConfig(recogniser=str(tmp_path / "arabic.onnx"))
    with pytest.raises(MissingPackage, match=r"arabic\.onnx is not there"):
        TextAreaStage(config).examine()


@pytest.fixture(scope="module")
def astronaut() -> Image.Image:
    data = pytest.importorskip("skimage.data")
    return Image.fromarray(data.astronaut())


def test_the_face_of_a_photograph_is_found_and_blurring_changes_it_alone(
    astronaut: Image.Image,
) -> None:
    drawn = painted(5, "NO FACE")
    rows = pa.table({"image": [png(astronaut), png(drawn)]})
    stage = FacesStage(FacesConfig(blur=True, format="png"))
    stage.setup()
    face, none = stage(rows).to_pylist()
    assert (face["faces"], none["faces"]) == (1, 0)
    assert none["faces_image"] == png(drawn)
    (box,) = face["faces_boxes"]
    left, top, right, bottom = (round(share * 512) for share in box)
    assert left < 205 < 245 < right  # both of her eyes, which stand at (205, 115) and (245, 115)
    assert top < 115 < 140 < bottom
    before, after = np.asarray(astronaut), np.asarray(Image.open(io.BytesIO(face["faces_image"])))
    changed = (before != after).any(axis=2)
    grown = round(0.15 * (right - left)) + 1
    inside = np.zeros_like(changed)
    inside[top - grown : bottom + grown, left - grown : right + grown] = True
    assert not changed[~inside].any()
    assert changed[top:bottom, left:right].mean() > 0.95
    sharp, blurred = (
        cv2.Laplacian(cv2.cvtColor(p[top:bottom, left:right], cv2.COLOR_RGB2GRAY), cv2.CV_64F).var()
        for p in (before, after)
    )
    assert blurred < sharp / 100


def test_faces_are_found_by_a_detector_given_by_path(astronaut: Image.Image) -> None:
    other = Path(cv2.data.haarcascades) / "haarcascade_frontalface_alt2.xml"
    rows = pa.table({"image": [png(astronaut.resize((1024, 1024))), b"no picture"]})
    answer = check_stage(FacesStage, rows, 1e-5, model=str(other))
    assert answer["faces"].to_pylist() == [1, None]
    (box,) = answer["faces_boxes"].to_pylist()[0]
    assert box == pytest.approx([177 / 512, 66 / 512, 272 / 512, 161 / 512], abs=0.03)


@pytest.mark.parametrize("name", ["net.onnx", "cascade.xml"])
def test_a_file_that_is_no_detector_is_named_before_the_run(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.write_bytes(b"not a model")
    with pytest.raises(StageBroken, match=rf"{name} is no detector that OpenCV reads.*YuNet"):
        FacesStage(FacesConfig(model=str(file))).examine()
