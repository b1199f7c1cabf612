"""Text that is painted in a picture: how much of it text covers, what it says, and whether the
caption only says it again.
"""

import os
from importlib import resources
from importlib.util import find_spec
from typing import Annotated, Any, Literal

import numpy as np
import pyarrow as pa
from PIL import Image, ImageDraw
from pydantic import Field

from pairmill.errors import MissingPackage
from pairmill.filters.regions import SHARES, encoded, filled, shares
from pairmill.schemas.arrow import column
from pairmill.schemas.config import FILE, SPEED, StageConfig
from pairmill.stages.base import Stage
from pairmill.stages.decoding import decoded
from pairmill.texts.words import plain_words

PURPOSE = "stage text_area"


class TextAreaConfig(StageConfig):
    """Text in pictures by RapidOCR, whose models come with its package (extra `ocr`).

    T-MARS drops pairs whose text only repeats what is painted: `{stage: text_area, masked: true}`,
    then `{stage: clip, image: text_area_image, keep: clip_score >= 0.28}` scores what is left of a
    picture without its text; or `keep: text_area_overlap < 0.5`.
    """

    stage: Annotated[Literal["text_area"], SPEED] = "text_area"
    image: str = "image"
    """Column with encoded images."""
    text: str | None = "text"
    """Column with captions that are compared with the painted text; null: none is."""
    min_score: float = Field(0.6, ge=0, le=1)
    """Lines that are read with less certainty do not count as text."""
    min_chars: int = Field(2, ge=1, le=100)
    """Lines of fewer letters and digits do not count: a ring is easily read as an O."""
    side: int = Field(736, ge=64, le=4096)
    """Pixels of the shorter side at which text is looked for: larger finds smaller letters, and
    takes longer.
    """
    masked: bool = False
    """Writes the picture with its text painted over, each box in the mean colour around it."""
    format: Literal["jpg", "png"] = "jpg"
    """Encoding of pictures that are painted over: JPEG of quality 95, or PNG, which loses
    nothing; pictures without text keep their bytes.
    """
    detector: Annotated[str | None, FILE] = None
    """ONNX file of another detector of PaddleOCR; absent: PP-OCRv6 small, of the package."""
    recogniser: Annotated[str | None, FILE] = None
    """ONNX file of another recogniser of PaddleOCR, for other scripts; absent: PP-OCRv6 small, of
    the package, for Latin letters, Chinese and Japanese.
    """


class TextAreaStage(Stage):
    """`text_area` (share of the picture that text covers), `text_area_text` (lines from top to
    bottom), `text_area_boxes`, and `text_area_overlap`: the share of the caption's words that are
    painted.
    """

    Config = TextAreaConfig
    prefix = "text_area"
    decodes = True
    actor = True

    def reads(self) -> list[str]:
        return [self.config.image, *self.may_lack()]

    def may_lack(self) -> list[str]:
        return [self.config.text] if self.config.text else []

    def writes(self) -> pa.Schema:
        c, of = self.column, self.config.image
        fields = [
            column(c(), pa.float32(), "share of the picture that text covers", "", 0, 1,
                   role="score", of=of),
            column(c("text"), pa.string(), "painted text, a line a line"),
            column(c("boxes"), pa.list_(SHARES), "left, top, right, bottom of each line, as shares "
                   "of width and height"),
        ]  # fmt: skip
        if self.config.text:
            doc = "share of the caption's words that are painted"
            fields.append(column(c("overlap"), pa.float32(), doc, "", 0, 1, of=self.config.text))
        if self.config.masked:
            doc = "the picture with its text painted over"
            fields.append(column(c("image"), pa.large_binary(), doc, of=of))
        return pa.schema(fields)

    def examine(self) -> list[str]:
        files = model_files(self.config)
        sizes = ", ".join(
            f"{name} {os.path.basename(path)}, {os.path.getsize(path) / 1e6:.1f} MB"
            for name, path in files.items()
        )
        return [f"text in pictures is read by {sizes}; nothing is downloaded"]

    def setup(self) -> None:
        cpus = max(1, int(self.config.resources.cpus or self.cpus))
        self.reader = Reader(self.config, cpus)

    def __call__(self, rows: pa.Table) -> pa.Table:
        found = decoded(rows.column(self.config.image))
        data = rows.column(self.config.image).take(pa.array(found.sound, pa.int64())).to_pylist()
        captions = [None] * rows.num_rows
        if self.config.text:
            captions = rows.column(self.config.text).to_pylist()
        answers = [self.reader(image) for image in found.images]
        columns: list[list[Any]] = [
            [
                covered(image, [polygon for polygon, _ in lines])
                for image, lines in zip(found.images, answers, strict=True)
            ],
            ["\n".join(text for _, text in lines) for lines in answers],
            [
                [shares(image, box_of(polygon)) for polygon, _ in lines]
                for image, lines in zip(found.images, answers, strict=True)
            ],
        ]
        if self.config.text:
            painted = columns[1]
            columns.append(
                [overlap(captions[r], text) for r, text in zip(found.sound, painted, strict=True)]
            )
        if self.config.masked:
            columns.append(
                [
                    encoded(
                        filled(image, [box_of(polygon) for polygon, _ in lines]), self.config.format
                    )
                    if lines
                    else own
                    for image, lines, own in zip(found.images, answers, data, strict=True)
                ]
            )
        return found.answer(self.writes(), *columns)


class Reader:
    """RapidOCR with models that are on this machine: gives (corners in pixels, (4, 2); text) of
    each line, from top to bottom.
    """

    def __init__(self, config: TextAreaConfig, threads: int) -> None:
        files = model_files(config)
        from rapidocr import RapidOCR

        engine = "EngineConfig.onnxruntime"
        options = {
            "Global.log_level": "error",
            "Global.text_score": config.min_score,
            "Det.model_path": files["detector"],
            "Cls.model_path": files["direction"],
            "Rec.model_path": files["recogniser"],
            "Det.limit_side_len": config.side,
            f"{engine}.intra_op_num_threads": threads,
            f"{engine}.inter_op_num_threads": 1,
        }
        self.ocr: Any
        self.ocr, self.min_chars = RapidOCR(params=options), config.min_chars

    def __call__(self, image: Image.Image) -> list[tuple[np.ndarray, str]]:
        answer = self.ocr(np.ascontiguousarray(np.asarray(image)[:, :, ::-1]))
        if answer.boxes is None or answer.txts is None:
            return []
        lines = [
            (polygon, text)
            for polygon, text in zip(answer.boxes, answer.txts, strict=True)
            if sum(map(str.isalnum, text)) >= self.min_chars
        ]
        return sorted(lines, key=lambda line: (line[0][:, 1].min(), line[0][:, 0].min()))


def installed() -> bool:
    """Whether the packages of the extra are there."""
    return all(find_spec(name) is not None for name in ("rapidocr", "onnxruntime"))


def model_files(config: TextAreaConfig) -> dict[str, str]:
    """Paths of the models by what they do; raises MissingPackage, so that nothing is fetched while
    rows are computed.
    """
    if not installed():
        raise MissingPackage("rapidocr, onnxruntime", PURPOSE, "ocr")
    models = resources.files("rapidocr") / "models"
    own = {
        "detector": config.detector or str(models / "PP-OCRv6_det_small.onnx"),
        "direction": str(models / "ch_ppocr_mobile_v2.0_cls_mobile.onnx"),
        "recogniser": config.recogniser or str(models / "PP-OCRv6_rec_small.onnx"),
    }
    if missing := [path for path in own.values() if not os.path.exists(path)]:
        package = (
            f"rapidocr>=3.10,<4 (with its models: {os.path.basename(missing[0])} is not there)"
        )
        raise MissingPackage(package, PURPOSE, "ocr")
    return own


def box_of(polygon: np.ndarray) -> tuple[float, float, float, float]:
    """Left, top, right, bottom of some corners."""
    (left, top), (right, bottom) = polygon.min(0), polygon.max(0)
    return float(left), float(top), float(right), float(bottom)


def covered(image: Image.Image, polygons: list[np.ndarray]) -> float:
    """Share of a picture's pixels that lie in one of some polygons."""
    mask = Image.new("L", image.size, 0)
    draw = ImageDraw.Draw(mask)
    for polygon in polygons:
        draw.polygon([(float(x), float(y)) for x, y in polygon], fill=1)
    return float(np.asarray(mask).mean())


def overlap(caption: str | None, painted: str) -> float | None:
    """Share of a caption's words that are painted; None where there is no word."""
    words = plain_words(caption or "")
    seen = set(plain_words(painted))
    return sum(word in seen for word in words) / len(words) if words else None
