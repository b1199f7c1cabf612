"""Encoded images to RGB pixels, the same way in sources, stages, outputs and reports."""

from pairmill.images.errors import DecodeError, NotAnImage, TooManyPixels
from pairmill.images.formats import RASTER, raster_format
from pairmill.images.png import has_transparent_colour
from pairmill.images.reading import (
    MAX_PIXELS,
    check_pixels,
    decode_rgb,
    flat_rgb,
    is_shown_as_stored,
    open_as_others_do,
    open_image,
    openable,
    orientation,
    shown_size,
    upright,
)

__all__ = [
    "MAX_PIXELS",
    "RASTER",
    "DecodeError",
    "NotAnImage",
    "TooManyPixels",
    "check_pixels",
    "decode_rgb",
    "flat_rgb",
    "has_transparent_colour",
    "is_shown_as_stored",
    "open_as_others_do",
    "open_image",
    "openable",
    "orientation",
    "raster_format",
    "shown_size",
    "upright",
]
