"""Encoded images to RGB pixels, the same way everywhere."""

import io
import warnings

from PIL import Image, ImageOps

from pairmill.errors import first_line

MAX_PIXELS = 178_956_970
"""Pixels of the largest image that is decoded (Pillow's own limit for a decompression bomb)."""


class DecodeError(ValueError):
    """The bytes are no image that can be shown."""


class TooManyPixels(DecodeError):
    """The header promises more than MAX_PIXELS pixels; nothing was decoded."""


def open_image(data: bytes) -> Image.Image:
    """The image with its header read and nothing decoded; raises DecodeError."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(data))
    except Image.DecompressionBombError as error:
        raise TooManyPixels(first_line(error)) from None
    except Exception as error:  # Pillow's decoders raise many kinds
        raise DecodeError(first_line(error)) from None
    if image.width * image.height > MAX_PIXELS:
        raise TooManyPixels(f"{image.width}×{image.height} pixels are more than {MAX_PIXELS}")
    return image


def shown_size(image: Image.Image) -> tuple[int, int]:
    """(width, height) in pixels after EXIF rotation, from the header alone."""
    try:
        turned = image.getexif().get(0x0112, 1) in (5, 6, 7, 8)
    except Exception:  # broken EXIF is no broken image
        turned = False
    return (image.height, image.width) if turned else (image.width, image.height)


def flat_rgb(image: Image.Image) -> Image.Image:
    """First frame, upright, on white where it is transparent, 8-bit RGB; raises DecodeError."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image.seek(0) if getattr(image, "is_animated", False) else None
            image.load()
            image = upright(image)
            if image.mode == "RGB":
                return image
            if image.mode.startswith("I;16") or image.mode in ("I", "F"):
                image = (
                    image.convert("I").point(lambda v: v / 256, "L")
                    if image.mode != "F"
                    else image.convert("L")
                )
            if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
                image = image.convert("RGBA")
                ground = Image.new("RGBA", image.size, (255, 255, 255, 255))
                return Image.alpha_composite(ground, image).convert("RGB")
            return image.convert("RGB")
    except Exception as error:  # Pillow's decoders raise many kinds
        raise DecodeError(first_line(error)) from None


def upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # broken EXIF is no broken image
        return image


def decode_rgb(data: bytes) -> Image.Image:
    """Encoded bytes to an 8-bit RGB image; raises DecodeError."""
    return flat_rgb(open_image(data))
