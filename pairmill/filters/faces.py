"""Faces in pictures: how many, where, and, where it is asked for, blurred."""

from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pyarrow as pa
from PIL import Image
from pydantic import Field

from pairmill.errors import StageBroken, first_line
from pairmill.filters.regions import SHARES, Box, blurred, encoded, shares
from pairmill.schemas.arrow import column
from pairmill.schemas.config import FILE, SPEED, StageConfig
from pairmill.stages.base import Stage
from pairmill.stages.decoding import decoded

Face = tuple[Box, float]
"""Its box in pixels, and how sure the detector is."""
CASCADE = "haarcascade_frontalface_default.xml"
NEIGHBOURS = 5
"""Overlapping finds that make a face, for a cascade."""


class FacesConfig(StageConfig):
    """Faces by OpenCV: YuNet where its file is given, else the cascade that comes with OpenCV.

    The cascade (Viola–Jones) needs no download and finds upright frontal faces alone; for data that
    people may be recognised in take YuNet (`face_detection_yunet_2023mar.onnx` of OpenCV's model
    zoo) by path.  `blur: true` writes `faces_image`; name it as an output's `image:`.
    """

    stage: Annotated[Literal["faces"], SPEED] = "faces"
    image: str = "image"
    """Column with encoded images."""
    model: Annotated[str | None, FILE] = None
    """File of a detector: YuNet (.onnx) or a cascade of OpenCV (.xml)."""
    min_score: float = Field(0.7, ge=0, le=1)
    """Least certainty of a face, for YuNet; a cascade says yes or no."""
    side: int = Field(640, ge=32, le=4096)
    """Larger pictures are looked at with the longer side shrunk to this, in pixels."""
    min_side: int = Field(24, ge=8, le=1024)
    """Smaller faces are not looked for, in pixels of the shrunk picture."""
    blur: bool = False
    """Writes the picture with its faces blurred; one without faces keeps its bytes."""
    grow: float = Field(0.15, ge=0, le=1)
    """By this share of its size a box grows on each side before it is blurred."""
    format: Literal["jpg", "png"] = "jpg"
    """Encoding of blurred pictures: JPEG of quality 95, or PNG, which loses nothing."""


class FacesStage(Stage):
    """`faces` (their number), `faces_boxes`, `faces_scores`, largest first; with `blur`,
    `faces_image`.
    """

    Config = FacesConfig
    prefix = "faces"
    decodes = True
    cpus = 0.5

    def reads(self) -> list[str]:
        return [self.config.image]

    def writes(self) -> pa.Schema:
        c, where = self.column, "left, top, right, bottom as shares of width and height"
        fields = [
            column(c(), pa.int32(), "faces that were found", "", 0),
            column(c("boxes"), pa.list_(SHARES), f"{where}, of each face"),
            column(c("scores"), pa.list_(pa.float32()), "how sure the detector is of each"),
        ]
        if self.config.blur:
            doc = "the picture with its faces blurred"
            fields.append(column(c("image"), pa.large_binary(), doc, of=self.config.image))
        return pa.schema(fields)

    def notes(self) -> list[str]:
        if self.config.model:
            return []
        return [
            f"{self.name}: faces are looked for by the cascade that comes with OpenCV, which finds "
            "frontal ones alone; `model:` takes YuNet by path"
        ]

    def examine(self) -> list[str]:
        detector(self.name, self.config)
        return []

    def setup(self) -> None:
        self.detect = detector(self.name, self.config)

    def __call__(self, rows: pa.Table) -> pa.Table:
        found = decoded(rows.column(self.config.image))
        data = rows.column(self.config.image).take(pa.array(found.sound, pa.int64())).to_pylist()
        answers = [self.faces(image) for image in found.images]
        columns: list[list[Any]] = [
            [len(faces) for faces in answers],
            [
                [shares(image, box) for box, _ in faces]
                for image, faces in zip(found.images, answers, strict=True)
            ],
            [[score for _, score in faces] for faces in answers],
        ]
        if self.config.blur:
            columns.append(
                [
                    encoded(self.blurred(image, faces), self.config.format) if faces else own
                    for image, faces, own in zip(found.images, answers, data, strict=True)
                ]
            )
        return found.answer(self.writes(), *columns)

    def blurred(self, image: Image.Image, faces: list[Face]) -> Image.Image:
        """The picture with its faces blurred."""
        return blurred(image, [box for box, _ in faces], self.config.grow)

    def faces(self, image: Image.Image) -> list[Face]:
        """Faces of a picture, largest first."""
        scale = min(1.0, self.config.side / max(image.size))
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        small = image if scale == 1 else image.resize(size, Image.Resampling.BOX)
        across, down = image.width / size[0], image.height / size[1]
        found = []
        for (left, top, right, bottom), score in self.detect(np.asarray(small)):
            box = (left * across, top * down, right * across, bottom * down)
            found.append((box, score))
        return sorted(found, key=lambda face: (-area(face[0]), face[0]))


def area(box: Box) -> float:
    """Pixels of a box."""
    return (box[2] - box[0]) * (box[3] - box[1])


def detector(stage: str, config: FacesConfig) -> "Cascade | YuNet":
    """The detector that a config names; raises StageBroken where its file is none."""
    import cv2

    path = config.model or str(Path(cv2.__file__).parent / "data" / CASCADE)
    try:
        return YuNet(path, config) if path.endswith(".onnx") else Cascade(path, config)
    except (cv2.error, SystemError, ValueError) as error:
        message = f"{path} is no detector that OpenCV reads ({first_line(error)})"
        raise StageBroken(
            f"stage {stage!r}: {message}; give YuNet's .onnx file or a cascade's .xml file"
        ) from None


class Cascade:
    """A cascade of Viola and Jones."""

    def __init__(self, path: str, config: FacesConfig) -> None:
        import cv2

        self.cascade, self.config = cv2.CascadeClassifier(path), config
        if self.cascade.empty():
            raise ValueError("not a cascade")

    def __call__(self, pixels: np.ndarray) -> list[Face]:
        """Faces of an RGB picture, uint8 (height, width, 3)."""
        import cv2

        grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
        least = self.config.min_side
        if min(grey.shape) < least:
            return []
        boxes, _, scores = self.cascade.detectMultiScale3(
            grey, 1.1, NEIGHBOURS, minSize=(least, least), outputRejectLevels=True
        )
        return [
            ((float(x), float(y), float(x + w), float(y + h)), float(score))
            for (x, y, w, h), score in zip(boxes, scores, strict=True)
        ]


class YuNet:
    """YuNet (Wu, Peng, Yu 2023), by OpenCV's own reader of its answers."""

    def __init__(self, path: str, config: FacesConfig) -> None:
        import cv2

        self.config = config
        self.net = cv2.FaceDetectorYN.create(path, "", (320, 320), config.min_score)

    def __call__(self, pixels: np.ndarray) -> list[Face]:
        """Faces of an RGB picture, uint8 (height, width, 3)."""
        height, width = pixels.shape[:2]
        self.net.setInputSize((width, height))
        _, found = self.net.detect(np.ascontiguousarray(pixels[:, :, ::-1]))
        faces = [] if found is None else found.tolist()
        return [
            ((x, y, x + w, y + h), score)
            for x, y, w, h, *_, score in faces
            if min(w, h) >= self.config.min_side
        ]
