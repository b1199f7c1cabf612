"""Raw bytes to the stored image: check the header, decode no more than needed, resize, encode."""

import io
import json
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps

from pairmill.errors import first_line
from pairmill.images import (
    MAX_PIXELS,
    DecodeError,
    TooManyPixels,
    check_pixels,
    flat_rgb,
    is_shown_as_stored,
    open_as_others_do,
    open_image,
    orientation,
    shown_size,
)
from pairmill.stages.download.config import DownloadConfig

KEEPABLE = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp"}
LONGEST_WARPED_PX = 32_767
"""OpenCV's warpAffine takes no longer side."""


class TooLarge(ValueError):
    """More pixels or bytes than allowed."""


class Unwanted(ValueError):
    """An image that the options refuse: too small, too long, another hash."""


@dataclass(frozen=True)
class Stored:
    """An image as it is stored: encoded bytes, size in pixels, and what the original was."""

    data: bytes
    width: int
    height: int
    original_width: int
    original_height: int
    format: str
    exif: str | None


Check = Callable[[Image.Image], None]


def process(data: bytes, options: DownloadConfig, check: Check | None = None) -> Stored:
    """Raises NotAnImage, DecodeError, TooLarge or Unwanted.  `check` sees the decoded picture
    before any crop or border.
    """
    try:
        image = open_image(data, min(MAX_PIXELS, options.max_image_area))
    except TooManyPixels as error:
        raise TooLarge(f"{error} (max_image_area is {options.max_image_area})") from None
    original = shown_size(image)
    check_shape(original, options)
    size = target(original, options)
    exif = exif_json(data) if options.extract_exif else None
    if size is None and options.skip_reencode and image.format in KEEPABLE:
        form = KEEPABLE[image.format]
        if is_shown_as_stored(image) and (as_it_is := whole(data, form)):
            if check:
                check(flat_rgb(as_it_is))
            return Stored(data, *original, *original, form, exif)
    raw, upright = image.size, orientation(image) == 1
    if size is not None and image.format == "JPEG":
        image.draft("RGB", size if original == raw else size[::-1])
    shrunk = round(raw[0] / image.width)
    rgb = flat_rgb(image)
    if check:
        check(rgb)
    if size is not None:
        # A reduced JPEG is rounded up to whole pixels; the picture itself ends a fraction of a
        # pixel before its edge.
        exact = (
            (min(rgb.width, raw[0] / shrunk), min(rgb.height, raw[1] / shrunk))
            if upright
            else rgb.size
        )
        rgb = resize(rgb, size, options, exact)
    return Stored(
        encode(rgb, options), rgb.width, rgb.height, *original, options.encode_format, exif
    )


def whole(data: bytes, form: str) -> Image.Image | None:
    """The image whose bytes may stay as they are; None for a PNG that only a decoder as patient as
    ours opens (a text of megabytes beside the picture).  Raises DecodeError where it is damaged.
    """
    try:
        image = open_as_others_do(data)
        check_pixels(image)
    except DecodeError:
        if form == "png":
            return None
        raise
    return image


def check_shape(shown: tuple[int, int], options: DownloadConfig) -> None:
    """Raises Unwanted for sides that the options refuse."""
    shorter, longer = min(shown), max(shown)
    if shorter < options.min_image_size:
        least = options.min_image_size
        raise Unwanted(f"shorter side {shorter} px, less than min_image_size {least}")
    if longer > options.max_aspect_ratio * shorter:
        most = options.max_aspect_ratio
        raise Unwanted(f"aspect {longer / shorter:.2f}, more than max_aspect_ratio {most:g}")


def target(size: tuple[int, int], options: DownloadConfig) -> tuple[int, int] | None:
    """The size in pixels to scale to before any crop or border, or None where the image stays as it
    is.
    """
    if options.image_size is None or options.resize_mode == "no":
        return None
    width, height = size
    reference = max(size) if options.resize_mode in ("keep_ratio_largest", "border") else min(size)
    square = options.resize_mode in ("center_crop", "border")
    if reference == options.image_size and (not square or width == height):
        return None
    if options.resize_only_if_bigger and reference < options.image_size:
        return None
    scale = options.image_size / reference
    return max(1, round(width * scale)), max(1, round(height * scale))


def resize(
    image: Image.Image, size: tuple[int, int], options: DownloadConfig, exact: tuple[float, float]
) -> Image.Image:
    """The `exact` part of the image to `size`, then the crop or the white border of the square
    modes.

    A step of less than two, as a reduced JPEG leaves it, is bilinear at the exact positions
    (benchmarks/decoders.py: a third less time than a window of Pillow's, and no further from full
    decoding); a larger one uses a Hamming window.
    """
    if image.size != size:
        steps = exact[0] / size[0], exact[1] / size[1]
        if max(steps) < 1:
            image = image.resize(size, Image.Resampling.BICUBIC, box=(0, 0, *exact))
        elif max(steps) < 2 and max(*image.size, *size) < LONGEST_WARPED_PX:
            image = bilinear(image, size, steps)
        else:
            image = image.resize(size, Image.Resampling.HAMMING, box=(0, 0, *exact))
    side = options.image_size or 0
    if options.resize_mode == "center_crop":
        left, top = (image.width - side) // 2, (image.height - side) // 2
        return image.crop((left, top, left + side, top + side))
    if options.resize_mode == "border":
        return ImageOps.pad(image, (side, side), color=(255, 255, 255))
    return image


def bilinear(image: Image.Image, size: tuple[int, int], steps: tuple[float, float]) -> Image.Image:
    """The image at `size`, sampled bilinearly; `steps`: source pixels a pixel, across and down."""
    import cv2

    x, y = steps
    to_source = np.array([[x, 0, x / 2 - 0.5], [0, y, y / 2 - 0.5]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return Image.fromarray(
        cv2.warpAffine(
            np.asarray(image), to_source, size, flags=flags, borderMode=cv2.BORDER_REPLICATE
        )
    )


def encode(image: Image.Image, options: DownloadConfig) -> bytes:
    """Raises TooLarge where the format cannot hold the sides (JPEG 65,500 px, WebP 16,383 px)."""
    out = io.BytesIO()
    try:
        if options.encode_format == "png":
            level = min(9, options.encode_quality)
            image.save(out, "PNG", compress_level=level, icc_profile=None)  # it is sRGB now
        elif options.encode_format == "webp":
            image.save(out, "WEBP", quality=options.encode_quality)
        else:
            image.save(out, "JPEG", quality=options.encode_quality)
    except (OSError, ValueError) as error:
        sides, form = f"{image.width}×{image.height} pixels", options.encode_format
        raise TooLarge(f"{sides} cannot be stored as {form}: {first_line(error)}") from None
    return out.getvalue()


def exif_json(data: bytes) -> str | None:
    """All EXIF tags as img2dataset stores them: the names of exifread (`Image Make`,
    `EXIF ExposureTime`, `GPS GPSLatitude`), values as text.  Broken EXIF is no broken image: None.
    """
    import exifread

    try:
        tags = exifread.process_file(io.BytesIO(data), details=False)
        texts = {str(name): str(value).strip() for name, value in tags.items()}
    except Exception:  # EXIF is anybody's bytes
        return None
    return json.dumps(texts, sort_keys=True) if texts else None
