"""Rows of the demo world as the files a web server would hold: formats, colour modes, copies and
broken ones.
"""

import io
import random

from PIL import Image, ImageDraw

from pairmill.demo.drawing import render
from pairmill.demo.world import World, WorldRow

FORMATS = (
    "jpeg",
    "png",
    "webp",
    "gif",
    "jpeg_rotated",
    "jpeg_cmyk",
    "png_alpha",
    "jpeg_grey",
    "png_palette",
)
FORMAT_WEIGHTS = (66, 8, 8, 3, 5, 3, 3, 1, 3)


def picture_bytes(world: World, row: WorldRow) -> bytes:
    """The encoded image of a row; exact copies have the same bytes as their original."""
    key = row.index if row.copy == "confusable" else row.picture
    rng = world.rng("picture", row.picture)
    width = rng.randint(240, 640)
    height = max(160, int(width * rng.choice((0.62, 0.75, 1.0, 1.3))))
    image = render(row.scene, width, height, rng)
    kind = rng.choices(FORMATS, FORMAT_WEIGHTS)[0]
    quality = rng.randint(72, 95)
    if row.copy == "near":
        return near_copy(image, row.change or "", world.rng("near", row.index))
    return encode(image, kind, quality, world.rng("encode", key))


def encode(image: Image.Image, kind: str, quality: int, rng: random.Random) -> bytes:
    """The picture in the format of its row."""
    out = io.BytesIO()
    if kind == "png":
        image.save(out, "PNG")
    elif kind == "webp":
        image.save(out, "WEBP", quality=quality)
    elif kind == "gif":
        image.convert("P", palette=Image.Palette.ADAPTIVE).save(out, "GIF")
    elif kind == "png_palette":
        image.convert("P", palette=Image.Palette.ADAPTIVE).save(out, "PNG")
    elif kind == "png_alpha":
        image.putalpha(Image.new("L", image.size, 255))
        image.save(out, "PNG")
    elif kind == "jpeg_rotated":
        exif = Image.Exif()
        exif[0x0112] = 6  # stored lying on its side; to be shown turned by 90° clockwise
        image.rotate(90, expand=True).save(out, "JPEG", quality=quality, exif=exif)
    elif kind == "jpeg_cmyk":
        image.convert("CMYK").save(out, "JPEG", quality=quality)
    elif kind == "jpeg_grey":
        image.convert("L").save(out, "JPEG", quality=quality)
    else:
        image.save(out, "JPEG", quality=quality, comment=f"camera {rng.randrange(10**6)}")
    return out.getvalue()


def near_copy(image: Image.Image, change: str, rng: random.Random) -> bytes:
    """The same picture as somebody else stores it."""
    out = io.BytesIO()
    if change == "resized":
        scale = rng.uniform(0.6, 0.9)
        image = image.resize(
            (int(image.width * scale), int(image.height * scale)), Image.Resampling.BICUBIC
        )
    elif change == "cropped":
        dx, dy = int(image.width * 0.02), int(image.height * 0.02)
        image = image.crop((dx, dy, image.width - dx, image.height - dy))
    elif change == "watermarked":
        draw = ImageDraw.Draw(image)
        draw.text((image.width * 0.6, image.height * 0.92), "© demo stock", fill=(230, 230, 230))
    image.save(out, "JPEG", quality=rng.randint(40, 70))
    return out.getvalue()


def bomb() -> bytes:
    """A PNG of a few hundred bytes whose header promises 400 megapixels."""
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(1000)))
        + chunk(b"IEND", b"")
    )
