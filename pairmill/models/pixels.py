"""Images within bounds of size, for models that spend tokens by the pixel."""

import math
from typing import Any

from PIL import Image

GREY = Image.new("RGB", (64, 48), (90, 120, 150))
LARGE = 3 * 512 * 512
"""Numbers of a picture as its processor gives it, from which on one keeps a model busy."""


def greys(processor: Any) -> dict[str, Any]:
    """A model's inputs for measuring it: four plain pictures, or one where a model looks at large
    ones.
    """
    one = dict(processor(images=[GREY], return_tensors="pt"))
    if max(value.numel() for value in one.values()) >= LARGE:
        return one
    return dict(processor(images=[GREY] * 4, return_tensors="pt"))


def within(image: Image.Image, least: int | None, most: int | None) -> Image.Image:
    """The image with at least and at most so many pixels, in its own shape as nearly as whole
    pixels allow.
    """
    pixels = image.width * image.height
    if most is not None and pixels > most:
        scale = math.sqrt(most / pixels)
        size = (max(1, int(image.width * scale)), max(1, int(image.height * scale)))
        width, height = min(size[0], most), min(size[1], most)
        return image.resize((width, height), Image.Resampling.BICUBIC)
    if least is not None and pixels < least:
        scale = math.sqrt(least / pixels)
        size = (math.ceil(image.width * scale), math.ceil(image.height * scale))
        return image.resize(size, Image.Resampling.BICUBIC)
    return image
