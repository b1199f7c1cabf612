"""Encoded bytes to pixels.  The header alone decides how large a picture is and which way up; what
is decoded later must be whole.
"""

import io

from PIL import Image, UnidentifiedImageError

from pairmill.errors import first_line
from pairmill.images import png
from pairmill.images.colour import flattened, is_plain, is_wide, scaled
from pairmill.images.errors import DecodeError, TooManyPixels
from pairmill.images.formats import raster_format
from pairmill.images.icons import check_icon
from pairmill.images.quiet import quiet
from pairmill.images.row_memory import fast_rows

MAX_PIXELS = 178_956_970
"""Pixels of the largest image that is decoded (Pillow's own limit for a decompression bomb)."""
ORIENTATION, WIDTH, HEIGHT = 0x0112, 256, 257
"""Tags of EXIF and TIFF."""
TURNING = ("exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif")
"""Facts of an image that hold its orientation."""
ON_ITS_SIDE = (5, 6, 7, 8)
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def open_image(data: bytes, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """The image with its header read and nothing decoded.

    Raises TooManyPixels, NotAnImage, or DecodeError for what the bytes show without decoding: an
    unknown format, a damaged header, a PNG that is cut off or has a wrong CRC.
    """
    kind = raster_format(data)
    if kind == "PNG":
        return open_png(data, max_pixels)
    if kind == "ICO":
        check_icon(data)
    image = opened(data, kind)
    check_size(*shown_size(image), max_pixels)
    return image


def open_png(data: bytes, max_pixels: int) -> Image.Image:
    """A PNG by the chunks that its pixels need; raises TooManyPixels, or DecodeError."""
    header = png.header_of(data)
    check_size(header.width, header.height, max_pixels)
    image = opened(png.essential(data), "PNG")
    colour = png.transparent_colour(data, header)
    if colour is not None and "transparency" in image.info:
        image.info["transparency"] = in_mode(colour, header.depth, image.mode)
    return image


def in_mode(colour: tuple[int, ...], depth: int, mode: str) -> int | tuple[int, ...]:
    """A transparent colour in the depth in which Pillow gives the samples."""
    if depth == 16 and mode != "RGB":
        return colour[0]
    full = 2**depth - 1
    eight = tuple(v >> 8 if depth == 16 else min(v, full) * 255 // full for v in colour)
    return eight if mode == "RGB" else eight[0]


def check_size(width: int, height: int, max_pixels: int) -> None:
    """Raises TooManyPixels where a picture of this size has more than `max_pixels` pixels."""
    if width * height > max_pixels:
        raise TooManyPixels(f"{width}×{height} pixels, more than {max_pixels}")


def opened(data: bytes, kind: str) -> Image.Image:
    """Pillow's image of one format; raises DecodeError with the reason that the format gives."""
    try:
        with quiet():
            return Image.open(io.BytesIO(data), formats=[kind])
    except Image.DecompressionBombError as error:
        raise TooManyPixels(first_line(error)) from None
    except UnidentifiedImageError:
        raise DecodeError(f"a {kind} that cannot be read: {reason(data, kind)}") from None
    except Exception as error:  # Pillow's decoders raise many kinds
        raise DecodeError(f"a {kind} that cannot be read: {first_line(error)}") from None


def open_as_others_do(data: bytes) -> Image.Image:
    """The image as any program opens it, with everything that is in the file; raises
    DecodeError.
    """
    return opened(data, raster_format(data))


def openable(data: bytes) -> bytes:
    """The bytes as any program opens them: without what stands beside the picture in a PNG where
    Pillow would refuse it for that (a text of megabytes, a broken one).
    """
    if not data.startswith(png.SIGNATURE):
        return data
    try:
        open_as_others_do(data)
        return data
    except DecodeError:
        return png.essential(data)


def reason(data: bytes, kind: str) -> str:
    """What the format's own reader says, which `Image.open` does not pass on."""
    factory, _ = Image.OPEN.get(kind, (None, None))
    if factory is None:
        return "this Pillow has no decoder for it"
    try:
        with quiet():
            factory(io.BytesIO(data), b"")
    except Exception as error:  # Pillow's decoders raise many kinds
        return first_line(error)
    return "its header is damaged"


def orientation(image: Image.Image) -> int:
    """How EXIF turns the image, 1 to 8, read without decoding it (PngImageFile's own `getexif`
    decodes).  Broken EXIF is no broken image: 1.
    """
    try:
        with quiet():
            found = Image.Image.getexif(image).get(ORIENTATION, 1)
    except Exception:  # EXIF is anybody's bytes
        return 1
    return found if isinstance(found, int) and found in UPRIGHT else 1


def shown_size(image: Image.Image) -> tuple[int, int]:
    """(width, height) in pixels as the image is shown, from the header alone."""
    width, height = image.size
    if image.format == "TIFF":  # Pillow turns its size at once, and its pixels when it loads them
        tags = getattr(image, "tag_v2", {})
        width, height = int(tags.get(WIDTH, width)), int(tags.get(HEIGHT, height))
    return (height, width) if orientation(image) in ON_ITS_SIDE else (width, height)


def is_shown_as_stored(image: Image.Image) -> bool:
    """Whether every decoder shows the very same: upright, one frame, 8-bit RGB, nothing
    transparent.
    """
    return is_plain(image) and orientation(image) == 1 and not getattr(image, "is_animated", False)


def check_pixels(image: Image.Image) -> None:
    """Decodes the first frame; raises DecodeError where it is not whole, or has samples that no
    picture can be made of.
    """
    load(image)
    if is_wide(image):
        scaled(image)


def load(image: Image.Image) -> None:
    """Decodes the first frame; raises DecodeError where it is not whole."""
    try:
        with quiet():
            if getattr(image, "is_animated", False):
                image.seek(0)
            with fast_rows(image):
                image.load()
    except MemoryError:
        raise
    except Exception as error:  # Pillow's decoders raise many kinds
        raise DecodeError(first_line(error)) from None


def upright(image: Image.Image) -> Image.Image:
    """A decoded image as it is shown, with nothing left in it that would turn it again."""
    turn = 1 if image.format == "TIFF" else orientation(image)
    if turn == 1:
        return image
    turned = image.transpose(UPRIGHT[turn])
    for key in TURNING:
        turned.info.pop(key, None)
    return turned


def flat_rgb(image: Image.Image) -> Image.Image:
    """First frame, upright, on white where it is transparent, 8-bit sRGB; raises DecodeError."""
    load(image)
    try:
        with quiet():
            return flattened(upright(image))
    except (DecodeError, MemoryError):
        raise
    except Exception as error:  # Pillow's conversions raise many kinds
        raise DecodeError(first_line(error)) from None


def decode_rgb(data: bytes) -> Image.Image:
    """Encoded bytes to an 8-bit sRGB image; raises DecodeError."""
    return flat_rgb(open_image(data))
