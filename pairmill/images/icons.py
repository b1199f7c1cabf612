"""The header of an ICO: Pillow decodes an icon while it opens it, so its sides are looked at here
first.
"""

import struct

from pairmill.images.errors import DecodeError

LARGEST_PX = 1024
"""The format's own directory ends at 256 pixels; some writers put larger PNGs in."""
PNG = b"\x89PNG\r\n\x1a\n"


def check_icon(data: bytes) -> None:
    """Raises DecodeError where a picture in the icon is larger than an icon's."""
    count = int.from_bytes(data[4:6], "little")
    for n in range(min(count, (len(data) - 6) // 16)):
        size, at = struct.unpack_from("<II", data, 6 + 16 * n + 8)
        inner = data[at : at + min(size, 40)]
        if inner.startswith(PNG) and len(inner) >= 24:
            width, height = struct.unpack(">II", inner[16:24])
        elif len(inner) >= 12:
            width, height = struct.unpack("<ii", inner[4:12])
        else:
            continue
        if max(abs(width), abs(height) // 2) > LARGEST_PX:
            raise DecodeError(f"an icon with a picture of {width}×{height} pixels")
