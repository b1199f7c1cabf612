"""PNG as far as Pillow does not go: every chunk that the picture needs is whole, and no other one
is looked at.

Pillow checks no CRC of pixels, refuses a picture for a text beside it, and compares a transparent
colour in the samples' own depth with samples that it has widened to 8 bits.
Chunks are those of ISO/IEC 15948.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from pairmill.images.errors import DecodeError

SIGNATURE = b"\x89PNG\r\n\x1a\n"
NEEDED = {b"IHDR", b"PLTE", b"tRNS", b"iCCP", b"eXIf", b"IDAT", b"IEND"}
MUST_BE_WHOLE = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}
LARGEST_PROFILE = 2**20
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Samples of a pixel by colour type."""
GREY, RGB, PALETTE = 0, 2, 3


@dataclass(frozen=True)
class Header:
    """IHDR: sides in pixels, bits of a sample, colour type."""

    width: int
    height: int
    depth: int
    colour: int


@dataclass(frozen=True)
class Chunk:
    """A chunk of a PNG: its name, where it lies, and whether its CRC is the one of its content."""

    name: bytes
    start: int
    """Where its length field stands."""
    size: int
    """Bytes of its content."""
    sound: bool

    @property
    def end(self) -> int:
        """Where the next chunk begins: behind the length, the name and the CRC of 4 bytes each."""
        return self.start + 12 + self.size


def header_of(data: bytes) -> Header:
    """Raises DecodeError."""
    if len(data) < 33 or data[12:16] != b"IHDR" or data[8:12] != b"\x00\x00\x00\x0d":
        raise DecodeError("a PNG without a header")
    width, height, depth, colour = struct.unpack(">IIBB", data[16:26])
    if not width or not height or colour not in CHANNELS:
        raise DecodeError(f"a PNG whose header makes no sense ({width}×{height}, type {colour})")
    return Header(width, height, depth, colour)


def chunks(data: bytes) -> Iterator[Chunk]:
    """The chunks up to IEND; raises DecodeError where one is cut off."""
    view, at = memoryview(data), len(SIGNATURE)
    while True:
        if at + 12 > len(data):
            raise DecodeError("a PNG that is cut off")
        size, name = struct.unpack_from(">I4s", data, at)
        if at + 12 + size > len(data):
            raise DecodeError("a PNG that is cut off")
        stated = struct.unpack_from(">I", data, at + 8 + size)[0]
        sound = zlib.crc32(view[at + 4 : at + 8 + size]) == stated
        yield Chunk(name, at, size, sound)
        at += 12 + size
        if name == b"IEND":
            return


def essential(data: bytes) -> bytes:
    """The PNG with the chunks that decide its first picture, EXIF before the pixels; `data` itself
    where it has no others.  Raises DecodeError where one of them is damaged.
    """
    kept: list[Chunk] = []
    for chunk in chunks(data):
        if not chunk.sound and chunk.name in MUST_BE_WHOLE:
            raise DecodeError(f"a PNG whose {chunk.name.decode()} is damaged (wrong CRC)")
        if not chunk.name[0] & 0x20 and chunk.name not in NEEDED:
            raise DecodeError(f"a PNG with the unknown critical chunk {chunk.name!r}")
        if chunk.sound and chunk.name in NEEDED and is_usable(data, chunk):
            kept.append(chunk)
    if not any(chunk.name == b"IDAT" for chunk in kept):
        raise DecodeError("a PNG without pixels")
    exif = [c for c in kept if c.name == b"eXIf"]
    first = next(i for i, c in enumerate(kept) if c.name == b"IDAT")
    if sum(c.size + 12 for c in kept) + 8 == len(data) and all(c in kept[:first] for c in exif):
        return data
    kept = [c for c in kept if c.name != b"eXIf"]
    first = next(i for i, c in enumerate(kept) if c.name == b"IDAT")
    view = memoryview(data)
    parts = [view[c.start : c.end] for c in [*kept[:first], *exif[:1], *kept[first:]]]
    return b"".join([SIGNATURE, *parts])


def is_usable(data: bytes, chunk: Chunk) -> bool:
    """False for a colour profile that does not unpack, or to more than anybody's profile."""
    if chunk.name != b"iCCP":
        return True
    content = data[chunk.start + 8 : chunk.end - 4]
    packed = content.partition(b"\x00")[2][1:]
    try:
        unpacker = zlib.decompressobj()
        unpacker.decompress(packed, LARGEST_PROFILE)
    except zlib.error:
        return False
    return unpacker.eof


def has_transparent_colour(data: bytes) -> bool:
    """Whether colours of a PNG are transparent without an alpha channel (`tRNS`): loaders that
    convert such a picture to RGB show what was to be hidden.
    """
    if not data.startswith(SIGNATURE):
        return False
    try:
        for chunk in chunks(data):
            if chunk.name in (b"tRNS", b"IDAT"):
                return chunk.name == b"tRNS"
    except DecodeError:
        pass
    return False


def transparent_colour(data: bytes, header: Header) -> tuple[int, ...] | None:
    """The samples of the one colour that is transparent in a grey or RGB picture, in the picture's
    own depth, or None.
    """
    if header.colour not in (GREY, RGB):
        return None
    for chunk in chunks(data):
        if chunk.name == b"IDAT":
            return None
        if chunk.name == b"tRNS" and chunk.size == 2 * CHANNELS[header.colour]:
            return struct.unpack_from(f">{CHANNELS[header.colour]}H", data, chunk.start + 8)
    return None
