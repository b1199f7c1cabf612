"""Pictures as they stand in a package: one format, upright, under a name that tells the truth."""

import hashlib
import io
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from PIL import Image

from pairmill.images import (
    DecodeError,
    flat_rgb,
    has_transparent_colour,
    open_image,
    openable,
    upright,
)
from pairmill.images import orientation as exif_orientation

Format = Literal["auto", "jpg", "png", "webp", "original"]
"""`format:` of an output."""
COMMON = ("jpg", "png", "webp")
"""Formats that every consumer opens."""
EXIF_MARKS = {"jpg": b"Exif\0\0", "png": b"eXIf", "webp": b"EXIF"}
"""What stands in the bytes of a picture that has EXIF, and so perhaps an orientation."""
SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\xff\xd8\xff", "jpg"),
    (0, b"\x89PNG\r\n\x1a\n", "png"),
    (8, b"WEBP", "webp"),
    (0, b"GIF8", "gif"),
    (0, b"II*\0", "tiff"),
    (0, b"MM\0*", "tiff"),
    (0, b"II+\0", "tiff"),
    (0, b"MM\0+", "tiff"),
    (0, b"BM", "bmp"),
    (4, b"ftypavif", "avif"),
    (4, b"ftypavis", "avif"),
    (4, b"ftypheic", "heic"),
    (4, b"ftypheix", "heic"),
    (4, b"ftypmif1", "heif"),
    (0, b"\0\0\0\x0cjP  \r\n\x87\n", "jp2"),
    (0, b"\xff\x4f\xff\x51", "j2k"),
    (0, b"\0\0\1\0", "ico"),
    (0, b"8BPS", "psd"),
    (8, b"WAVE", "wav"),
    (0, b"fLaC", "flac"),
    (0, b"OggS", "ogg"),
    (0, b"ID3", "mp3"),
    (0, b"\xff\xfb", "mp3"),
    (0, b"\x1aE\xdf\xa3", "mkv"),
    (4, b"ftyp", "mp4"),
    (0, b"%PDF-", "pdf"),
)
"""(offset, bytes, suffix) of file formats, by their published signatures."""
PICTURE_SUFFIXES = ("jpg", "png", "webp", "gif", "tiff", "bmp", "avif", "jp2", "j2k", "ico")


def suffix(data: bytes) -> str:
    """The file suffix that the bytes deserve; `bin` where nothing is known of them."""
    for at, mark, name in SIGNATURES:
        if data[at : at + len(mark)] == mark:
            return name
    return "bin"


@dataclass(frozen=True)
class Picture:
    """A sample's picture: encoded bytes, their suffix, and whether they are other bytes than the
    pipeline's.
    """

    data: bytes
    suffix: str
    changed: bool = False

    @property
    def sha256(self) -> str:
        """SHA-256 of the encoded bytes, in hex."""
        return hashlib.sha256(self.data).hexdigest()


def packed(data: bytes, wanted: Format, remarks: Counter[str]) -> Picture:
    """The picture as the package holds it; what was done to it is counted in `remarks`.

    One that cannot be decoded stays as it is.
    """
    kind = suffix(data)
    turned = orientation(data, kind) != 1
    if wanted == "original" and not turned:
        return Picture(data, kind)
    target = wanted if wanted in COMMON else kind if kind in COMMON else "png"
    keyed = has_transparent_colour(data)
    if kind == target and not turned and not keyed:
        return slim(data, kind, remarks)
    try:
        made = encoded(data, target)
    except (DecodeError, OSError, ValueError):
        remarks["pictures that cannot be decoded were packed as they are"] += 1
        return Picture(data, kind)
    if turned:
        remarks["pictures that EXIF turns were turned upright and encoded anew"] += 1
    if keyed:
        remarks["PNGs with transparent colours (tRNS) were laid over white"] += 1
    if kind != target:
        remarks[f"{kind} pictures were encoded as {target} (`format: original` keeps them)"] += 1
    return Picture(made, target, changed=True)


def slim(data: bytes, kind: str, remarks: Counter[str]) -> Picture:
    """The picture, without texts beside it for which loaders would refuse it."""
    try:
        found = openable(data)
    except DecodeError:
        return Picture(data, kind)
    if found is data:
        return Picture(data, kind)
    remarks["PNGs were packed without a text for which loaders refuse them"] += 1
    return Picture(found, kind, changed=True)


def orientation(data: bytes, kind: str) -> int:
    """The EXIF orientation; 1 (upright) where there is none."""
    mark = EXIF_MARKS.get(kind)
    if (mark and mark not in data) or (not mark and kind not in PICTURE_SUFFIXES):
        return 1
    if kind == "tiff":
        return 1  # Pillow, like other readers, turns these when it decodes them
    try:
        return exif_orientation(open_image(data))
    except DecodeError:
        return 1


def encoded(data: bytes, kind: str) -> bytes:
    """Raises DecodeError, and what Pillow raises where the format cannot hold the picture."""
    image = open_image(data)
    out = io.BytesIO()
    if kind == "jpg":
        flat_rgb(image).save(out, "JPEG", quality=95)
    elif kind == "png":
        with_alpha(image).save(out, "PNG")
    else:
        with_alpha(image).save(out, "WEBP", lossless=True)
    return out.getvalue()


def with_alpha(image: Image.Image) -> Image.Image:
    """First frame, upright; an alpha channel stays, a transparent colour becomes white."""
    try:
        image.load()
    except Exception as error:  # Pillow's decoders raise many kinds
        raise DecodeError(str(error)) from None
    image = upright(image)
    clear = image.mode in ("RGBA", "LA", "PA")
    return image.convert("RGBA") if clear else flat_rgb(image)


def usual_format(pictures: Iterable[bytes]) -> Format:
    """The format of most of these pictures, among those that every consumer opens; jpg where there
    is none.
    """
    counts = Counter(kind for data in pictures if (kind := suffix(data)) in COMMON)
    ranked = sorted(counts, key=lambda kind: (-counts[kind], COMMON.index(kind)))
    return ranked[0] if ranked else "jpg"  # type: ignore[return-value]
