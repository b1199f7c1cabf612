"""Boxes in pictures: as shares of width and height, painted over, blurred."""

import io

import numpy as np
import pyarrow as pa
from PIL import Image, ImageFilter

JPEG_QUALITY = 95
SHARES = pa.list_(pa.float32(), 4)
"""Left, top, right, bottom as shares of width and height, as DataComp writes `face_bboxes`."""
Box = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels."""


def shares(image: Image.Image, box: Box) -> list[float]:
    """A box within the picture, as shares of its sides."""
    left, top, right, bottom = box
    across = (min(max(x / image.width, 0.0), 1.0) for x in (left, right))
    down = (min(max(y / image.height, 0.0), 1.0) for y in (top, bottom))
    (x0, x1), (y0, y1) = across, down
    return [x0, y0, x1, y1]


def whole(image: Image.Image, box: Box, grow: float = 0.0) -> tuple[int, int, int, int]:
    """The whole pixels of a box, which grows by a share of its size on each side and ends where the
    picture ends.
    """
    left, top, right, bottom = box
    dx, dy = grow * (right - left), grow * (bottom - top)
    return (
        max(0, int(np.floor(left - dx))),
        max(0, int(np.floor(top - dy))),
        min(image.width, int(np.ceil(right + dx))),
        min(image.height, int(np.ceil(bottom + dy))),
    )


def filled(image: Image.Image, boxes: list[Box]) -> Image.Image:
    """A copy with boxes painted in the mean colour of a rim around each of them."""
    pixels = np.asarray(image)
    out = pixels.copy()
    for box in boxes:
        left, top, right, bottom = whole(image, box)
        x0, y0, x1, y1 = whole(image, box, 0.1)
        rim = np.ones((y1 - y0, x1 - x0), bool)
        rim[top - y0 : bottom - y0, left - x0 : right - x0] = False
        near = pixels[y0:y1, x0:x1]
        colours = near[rim] if rim.any() else near.reshape(-1, 3)
        if colours.size:
            out[top:bottom, left:right] = colours.mean(0).round().astype(np.uint8)
    return Image.fromarray(out)


def blurred(image: Image.Image, boxes: list[Box], grow: float) -> Image.Image:
    """A copy with boxes blurred beyond recognition; what lies outside of them stays as it is."""
    out = image.copy()
    for box in boxes:
        place = whole(image, box, grow)
        if place[2] > place[0] and place[3] > place[1]:
            face = out.crop(place)
            radius = max(face.size) / 6
            out.paste(face.filter(ImageFilter.GaussianBlur(radius)), place[:2])
    return out


def encoded(image: Image.Image, form: str) -> bytes:
    """The picture as JPEG of high quality, or as PNG."""
    out = io.BytesIO()
    if form == "png":
        image.save(out, "PNG")
    else:
        image.save(out, "JPEG", quality=JPEG_QUALITY)
    return out.getvalue()
