"""Which raster format some bytes are in, by how they begin.

Pillow is told that one format and tries no other: what it knows beside raster formats starts other
programs (EPS runs Ghostscript), and a format that has no mark of its own is taken for anything.
"""

from pairmill.images.errors import DecodeError, NotAnImage

STARTS = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"BM", "BMP"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
    (b"II+\x00", "TIFF"),
    (b"MM\x00+", "TIFF"),
    (b"\x00\x00\x00\x0cjP  \r\n\x87\n", "JPEG2000"),
    (b"\xff\x4f\xff\x51", "JPEG2000"),
    (b"\x00\x00\x01\x00", "ICO"),
    (b"DDS ", "DDS"),
    (b"qoif", "QOI"),
    (b"\x01\xda", "SGI"),
    *((b"\x0a" + bytes([version, 1]), "PCX") for version in (0, 2, 3, 5)),
    *((b"P" + kind + space, "PPM") for kind in (b"1", b"2", b"3", b"4", b"5", b"6", b"f", b"F")
      for space in (b"\n", b" ", b"\t", b"\r")),
)  # fmt: skip
RASTER = sorted({name for _, name in STARTS} | {"WEBP", "AVIF", "TGA", "MPO"})
"""The formats that are read."""
AVIF_BRANDS = (b"avif", b"avis")
TGA_END = b"TRUEVISION-XFILE.\x00"
UNREAD = (
    (b"8BPS", "a Photoshop document"),
    (b"\xff\x0a", "a JPEG XL"),
    (b"\x00\x00\x00\x0cJXL ", "a JPEG XL"),
    (b"\x59\xa6\x6a\x95", "a Sun raster"),
    (b"icns", "an Apple icon"),
    (b"\x76\x2f\x31\x01", "an OpenEXR"),
    (b"#?RADIANCE", "a Radiance HDR"),
)
"""Pictures that are not read."""
OTHER = (
    (b"%!PS", "an EPS or PostScript: it is a program, not pixels"),
    (b"\xc5\xd0\xd3\xc6", "an EPS: it is a program, not pixels"),
    (b"%PDF", "a PDF"),
    (b"\xd7\xcd\xc6\x9a", "a WMF: it is a program, not pixels"),
    (b"PK\x03\x04", "a zip archive"),
    (b"\x1f\x8b", "gzip"),
    (b"\x1aE\xdf\xa3", "a video"),
)


def raster_format(data: bytes) -> str:
    """Pillow's name of the format; raises NotAnImage, or DecodeError for a picture that is not
    read.
    """
    for start, name in STARTS:
        if data.startswith(start):
            return name
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data[4:8] == b"ftyp":
        return iso_media(data)
    if data[-len(TGA_END) :] == TGA_END:
        return "TGA"
    if not data:
        raise NotAnImage("empty body")
    for start, words in UNREAD:
        if data.startswith(start):
            raise DecodeError(f"{words}, which is not read here")
    for start, words in OTHER:
        if data.startswith(start):
            raise NotAnImage(f"not an image but {words}")
    head = data[:512].lstrip()
    if b"<svg" in data[:512].lower():
        raise NotAnImage("an SVG: it is a program, not pixels")
    kind = "a web page" if head[:1] == b"<" else f"unknown bytes {data[:8]!r}"
    raise NotAnImage(f"not an image but {kind}")


def iso_media(data: bytes) -> str:
    """AVIF by its brands (ISO/IEC 14496-12, `ftyp`); HEIC and films are told by name."""
    size = min(max(int.from_bytes(data[:4], "big"), 16), 1024)
    brands = [data[8:12], *(data[i : i + 4] for i in range(16, min(size, len(data)), 4))]
    if any(brand in AVIF_BRANDS for brand in brands):
        return "AVIF"
    major = data[8:12].decode("latin-1")
    if major[:3] in ("hei", "hev", "mif", "msf"):
        raise DecodeError(f"a HEIC picture ({major!r}), which is not read here")
    raise NotAnImage(f"not an image but a film or sound ({major!r})")
