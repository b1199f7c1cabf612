"""Any Pillow mode to 8-bit sRGB on white: transparency, colour profiles, wide samples."""

import io
from functools import lru_cache

import numpy as np
from PIL import Image, ImageCms

from pairmill.images.errors import DecodeError

BITS_PER_SAMPLE, SAMPLE_FORMAT, PHOTOMETRIC = 258, 339, 262
"""Tags of TIFF 6.0."""
SIGNED, WHITE_IS_ZERO = 2, 0
INTEGER_SCALES = (255, 1023, 4095, 16_383, 65_535)
FLOAT_SCALES = (1.0, 255.0, 65_535.0)
WIDE = ("I", "F")
"""Modes of more than 8 bits a sample begin so."""
PROFILE_SPACES = {"GRAY": "L", "RGB ": "RGB", "CMYK": "CMYK", "Lab ": "LAB"}
"""Colour space of an ICC profile → the mode that it describes."""


def is_plain(image: Image.Image) -> bool:
    """Whether a decoder that knows nothing but 8-bit samples shows an RGB picture rightly."""
    return image.mode == "RGB" and "transparency" not in image.info


def is_wide(image: Image.Image) -> bool:
    """Whether samples have more than 8 bits, or are floats."""
    return image.mode.startswith(WIDE)


def flattened(image: Image.Image) -> Image.Image:
    """A decoded image as 8-bit sRGB, on white where it is transparent; raises DecodeError for
    samples whose range nobody can tell.
    """
    colours, alpha = separated(image)
    rgb = to_srgb(colours, image.info.get("icc_profile"))
    if alpha is None:
        return rgb
    ground = Image.new("RGB", rgb.size, (255, 255, 255))
    ground.paste(rgb, (0, 0), alpha)
    return ground


def separated(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """(the colours as 1, 3 or 4 samples of 8 bits, alpha or None)."""
    if is_wide(image):
        return scaled(image), transparent_samples(image)
    if image.mode == "1":
        image = as_grey(image)
    if image.mode in ("La", "RGBa"):
        image = image.convert("RGBA" if image.mode == "RGBa" else "LA")
    if (
        image.mode in ("P", "PA", "L", "RGB") and "transparency" in image.info
    ) or image.mode == "PA":
        image = image.convert("RGBA")
    if image.mode == "LA":
        return image.getchannel("L"), image.getchannel("A")
    if image.mode == "RGBA":
        return image.convert("RGB"), image.getchannel("A")
    return (image if image.mode in PROFILE_SPACES.values() else image.convert("RGB")), None


def as_grey(image: Image.Image) -> Image.Image:
    """One bit as 0 and 255, its transparent sample too."""
    grey = image.convert("L")
    grey.info = dict(image.info)
    return grey


def transparent_samples(image: Image.Image) -> Image.Image | None:
    """Alpha of a wide grey picture in which one sample is transparent."""
    sample = image.info.get("transparency")
    if not isinstance(sample, int):
        return None
    return Image.fromarray(np.where(np.asarray(image) == sample, 0, 255).astype(np.uint8))


def scaled(image: Image.Image) -> Image.Image:
    """Grey samples of 12, 16 or 32 bits, or floats, in 8 bits.

    Full scale is what the file states.  Where everything would come out black by that, as with 10
    bits in samples of 16, and for floats, it is the next usual one above the largest sample.
    """
    samples = np.asarray(image)
    low, high = float(samples.min()), float(samples.max())
    if not np.isfinite((low, high)).all():
        raise DecodeError("float samples that are no numbers: their range cannot be told")
    if low < 0:
        raise DecodeError(f"samples from {low:g} to {high:g}: negative ones have no grey value")
    full = stated_scale(image)
    if full is None or (high > 0 and high * 255 / full < 1):
        scales = FLOAT_SCALES if image.mode == "F" else (*INTEGER_SCALES, 2**32 - 1)
        found = next((scale for scale in scales if scale >= high), None)
        if found is None:
            raise DecodeError(f"samples up to {high:g}: their full scale cannot be told")
        full = found
    grey = np.clip(samples.astype(np.float64) * (255 / full) + 0.5, 0, 255).astype(np.uint8)
    if tag(image, PHOTOMETRIC) == WHITE_IS_ZERO:
        grey = 255 - grey
    return Image.fromarray(grey)


def stated_scale(image: Image.Image) -> float | None:
    """The largest sample that the file's own header allows; None for floats."""
    if image.mode == "F":
        return None
    bits = tag(image, BITS_PER_SAMPLE)
    if bits is None:
        return 2**16 - 1  # what PNG, PGM and JPEG 2000 are widened to
    return 2 ** (bits - 1) - 1 if tag(image, SAMPLE_FORMAT) == SIGNED else 2**bits - 1


def tag(image: Image.Image, number: int) -> int | None:
    """The first value of a TIFF tag; None where the image is no TIFF or has none."""
    value = getattr(image, "tag_v2", {}).get(number)
    first = value[0] if isinstance(value, tuple) and value else value
    return first if isinstance(first, int) else None


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """RGB by the image's own colour profile.  A profile that is broken or of another colour space
    is passed over, as browsers do.
    """
    transform = transform_to_srgb(profile, image.mode) if profile else None
    if transform is not None:
        rgb = ImageCms.applyTransform(image, transform)
        assert rgb is not None  # only where it works in place
        rgb.info.pop("icc_profile", None)  # sRGB, with the time at which it was made
        return rgb
    return image if image.mode == "RGB" else image.convert("RGB")


@lru_cache(maxsize=32)
def transform_to_srgb(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """None where nothing is to be done, or nothing can be."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if PROFILE_SPACES.get(source.profile.xcolor_space) != mode:
            return None
        if (source.profile.profile_description or "").startswith("sRGB"):
            return None
        return ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None
