"""Raw bytes to the stored image: sniff, check the header, decode no more than needed, resize,
encode.
"""

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from pairmill.errors import first_line
from pairmill.images import DecodeError, TooManyPixels, flat_rgb, open_image, shown_size
from pairmill.stages.download.config import DownloadConfig

KEEPABLE = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp"}
MAGIC = (
    b"\xff\xd8\xff",
    b"\x89PNG\r\n\x1a\n",
    b"GIF8",
    b"RIFF",
    b"BM",
    b"II*\x00",
    b"MM\x00*",
    b"\x00\x00\x01\x00",
)


LONGEST_WARPED_PX = 32_767
"""OpenCV's warpAffine takes no longer side."""


class NotAnImage(ValueError):
    """The bytes are of another kind: a web page, an SVG, nothing."""


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


def process(
    data: bytes, options: DownloadConfig, look: Callable[[Image.Image], None] = lambda image: None
) -> Stored:
    """Raises NotAnImage, DecodeError, TooLarge or Unwanted.  `look` sees the decoded picture before
    any crop or border.
    """
    sniff(data)
    try:
        image = open_image(data)
    except TooManyPixels as error:
        raise TooLarge(str(error)) from None
    original = shown_size(image)
    width, height = original
    if width * height > options.max_image_area:
        raise TooLarge(
            f"{width}×{height} pixels, more than max_image_area {options.max_image_area}"
        )
    if min(width, height) < options.min_image_size:
        raise Unwanted(
            f"shorter side {min(width, height)} px, less than min_image_size {options.min_image_size}"
        )
    if max(width, height) > options.max_aspect_ratio * min(width, height):
        raise Unwanted(
            f"aspect {max(width, height) / min(width, height):.2f}, more than max_aspect_ratio {options.max_aspect_ratio:g}"
        )
    exif = exif_json(image) if options.extract_exif else None
    size = target(original, options)
    plain = image.mode == "RGB" and not turned(image) and not getattr(image, "is_animated", False)
    if size is None and options.skip_reencode and plain and image.format in KEEPABLE:
        check_decodes(image)
        look(image)
        return Stored(data, width, height, width, height, KEEPABLE[image.format], exif)
    raw, upright = image.size, not turned(image)
    if size is not None and image.format == "JPEG":
        image.draft("RGB", size if original == raw else size[::-1])
    shrunk = round(raw[0] / image.width)
    rgb = flat_rgb(image)
    look(rgb)
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
        encode(rgb, options), rgb.width, rgb.height, width, height, options.encode_format, exif
    )


def sniff(data: bytes) -> None:
    head = data[:512].lstrip()
    if data.startswith(MAGIC) or data[4:8] == b"ftyp":
        return
    if not data:
        raise NotAnImage("empty body")
    if b"<svg" in head[:512].lower():
        raise NotAnImage("an SVG: it is a program, not pixels")
    kind = "a web page" if head[:1] == b"<" else f"unknown bytes {data[:8]!r}"
    raise NotAnImage(f"not an image but {kind}")


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
    import cv2

    x, y = steps
    to_source = np.array([[x, 0, x / 2 - 0.5], [0, y, y / 2 - 0.5]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return Image.fromarray(
        cv2.warpAffine(
            np.asarray(image), to_source, size, flags=flags, borderMode=cv2.BORDER_REPLICATE
        )
    )


def turned(image: Image.Image) -> bool:
    """Whether EXIF rotates or mirrors the image."""
    try:
        return image.getexif().get(0x0112, 1) != 1
    except Exception:  # broken EXIF is no broken image
        return False


def check_decodes(image: Image.Image) -> None:
    """Kept bytes must be a whole image, too."""
    try:
        image.load()
    except Exception as error:  # Pillow's decoders raise many kinds
        raise DecodeError(
            str(error).splitlines()[0] if str(error) else type(error).__name__
        ) from None


def encode(image: Image.Image, options: DownloadConfig) -> bytes:
    """Raises TooLarge where the format cannot hold the sides (JPEG 65,500 px, WebP 16,383 px)."""
    out = io.BytesIO()
    try:
        if options.encode_format == "png":
            image.save(out, "PNG", compress_level=min(9, options.encode_quality))
        elif options.encode_format == "webp":
            image.save(out, "WEBP", quality=options.encode_quality)
        else:
            image.save(out, "JPEG", quality=options.encode_quality)
    except (OSError, ValueError) as error:
        raise TooLarge(
            f"{image.width}×{image.height} pixels cannot be stored as {options.encode_format}: {first_line(error)}"
        ) from None
    return out.getvalue()


def exif_json(image: Image.Image) -> str | None:
    from PIL.ExifTags import TAGS

    try:
        tags: dict[str, Any] = {
            str(TAGS.get(k, k)): str(v)[:500] for k, v in image.getexif().items()
        }
    except Exception:  # broken EXIF is no broken image
        return None
    return json.dumps(tags, sort_keys=True) if tags else None
