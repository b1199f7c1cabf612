"""Pictures in every format and mode that Pillow writes, PNGs by the chunk, and a colour profile."""

import io
import struct
import warnings
import zlib
from functools import cache

import numpy as np
from PIL import Image, ImageCms

NOISE = Image.fromarray(
    np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8)
).resize((120, 80), Image.Resampling.BICUBIC)


@cache
def in_modes() -> dict[str, Image.Image]:
    """One picture in each of Pillow's modes."""
    found = {m: NOISE.convert(m) for m in "1 L P RGB RGBA CMYK YCbCr HSV".split()}
    grey = np.asarray(NOISE.convert("L")).astype(np.uint16) * 257
    found["LA"] = NOISE.convert("L").convert("LA")
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    found["LAB"] = ImageCms.profileToProfile(NOISE, srgb, lab, outputMode="LAB")  # type: ignore[assignment]
    found["I;16"] = Image.fromarray(grey)
    found["I"] = Image.fromarray(grey.astype(np.int32))
    found["F"] = Image.fromarray((grey / 65_535).astype(np.float32))
    return found


def forms() -> list[str]:
    """Those that Pillow writes, and no package of others has to be there for."""
    Image.init()
    return sorted(set(Image.SAVE) - {"BUFR", "GRIB", "HDF5", "WMF"})


@cache
def files_of(form: str) -> dict[str, bytes]:
    """Mode → a file, for every mode that Pillow can write in a format."""
    found = {}
    for mode, image in in_modes().items():
        out = io.BytesIO()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # of a format that will go
                image.save(out, form)
        except Exception:  # Pillow says in many ways that a format has no such mode
            continue
        found[mode] = out.getvalue()
    return found


def chunk(name: bytes, content: bytes) -> bytes:
    crc = struct.pack(">I", zlib.crc32(name + content))
    return struct.pack(">I", len(content)) + name + content + crc


def png(
    size: tuple[int, int], depth: int, colour: int, rows: bytes | None, *before: bytes
) -> bytes:
    """A PNG of packed rows (None: pixels that do not unpack), with chunks before the pixels."""
    header = struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, 0)
    pixels = b"no zlib stream" if rows is None else zlib.compress(rows)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + b"".join(before)
        + chunk(b"IDAT", pixels)
        + chunk(b"IEND", b"")
    )


def swapped_profile() -> bytes:
    """An ICC profile (version 2, three matrix columns and a linear curve each) in which what is
    stored as red is blue, and the other way round.
    """
    columns = {
        b"rXYZ": (0.1431, 0.0606, 0.7141),
        b"gXYZ": (0.3851, 0.7169, 0.0971),
        b"bXYZ": (0.4360, 0.2225, 0.0139),
        b"wtpt": (0.9642, 1.0, 0.8249),
    }
    s15 = lambda values: struct.pack(">3i", *(round(v * 65_536) for v in values))  # noqa: E731
    tags = {name: b"XYZ \0\0\0\0" + s15(values) for name, values in columns.items()}
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(2.2 * 256)) + b"\0\0"
    tags |= {name: curve for name in (b"rTRC", b"gTRC", b"bTRC")}
    text = b"swapped\0"
    tags[b"desc"] = b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + bytes(79)
    tags[b"cprt"] = b"text\0\0\0\0none\0\0\0\0"
    at, table, body = 128 + 4 + 12 * len(tags), b"", b""
    for name, content in tags.items():
        content += bytes(-len(content) % 4)
        table += struct.pack(">4sII", name, at + len(body), len(content))
        body += content
    size = at + len(body)
    head = struct.pack(">I4sI4s4s4s", size, b"none", 0x02100000, b"mntr", b"RGB ", b"XYZ ")
    head += struct.pack(">6H4s", 2026, 1, 1, 0, 0, 0, b"acsp") + bytes(28)
    head += s15((0.9642, 1.0, 0.8249))
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def encoded(form: str) -> bytes:
    out = io.BytesIO()
    NOISE.save(out, form)
    return out.getvalue()


FILES_OF_TWO = (encoded("PNG"), encoded("JPEG"))
"""The picture as PNG and as JPEG."""


def damaged_png() -> bytes:
    """One byte of the pixels is another."""
    data = bytearray(FILES_OF_TWO[0])
    data[len(data) // 2] ^= 1
    return bytes(data)


def tiff(samples: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(samples).save(out, "TIFF")
    return out.getvalue()
