"""Large text files in byte ranges that begin with a record, so that several processes read them.

A range ends where every reading of the file sees the end of a record: behind a line end that stands
in no quotes, as long as every quote before it is where RFC 4180 has one.  From the first quote on
that is elsewhere the file stays in one piece.
"""

from collections.abc import Iterator

import fsspec

from pairmill.sources.input_file import Input
from pairmill.sources.quoted import Dialect, sound_until
from pairmill.sources.text_stream import TextRange, wide_mark
from pairmill.sources.unpacking import packing_of

RANGE_BYTES = 16 * 2**20
PLAIN = ("utf-8", "ascii")
"""Encodings in which a line end is one byte that is no part of another letter."""


def text_ranges(
    item: Input, encoding: str, dialect: Dialect | None, range_bytes: int
) -> list[TextRange] | None:
    """The ranges of a local file of more than one; None where it is read as a whole.  `dialect`: of
    a file with separators.
    """
    local = item.url.startswith("file://")
    if not local or packing_of(item.name) or encoding not in PLAIN:
        return None  # what lies elsewhere would be fetched twice
    if item.size_bytes < 2 * range_bytes or has_wide_letters(item):
        return None
    starts = list(begins(item, dialect, range_bytes))
    if len(starts) == 1:
        return None
    stops = [start for start, _ in starts[1:]]
    return [
        TextRange(start, stop, line)
        for (start, line), stop in zip(starts, [*stops, None], strict=True)
    ]


def has_wide_letters(item: Input) -> bool:
    """Whether the file's first bytes say that it is UTF-16 or UTF-32."""
    with fsspec.open(item.url, "rb") as stream:
        return wide_mark(stream.read(4)) is not None


def begins(item: Input, dialect: Dialect | None, range_bytes: int) -> Iterator[tuple[int, int]]:
    """(byte, line) at which each range begins."""
    at, line, held = 0, 1, b""
    yield at, line
    with fsspec.open(item.url, "rb") as stream:
        while piece := stream.read(range_bytes):
            data = held + piece
            end = data.rfind(b"\n") + 1
            if dialect is not None and dialect.quoting and b'"' in data:
                end = sound_until(data, line, dialect)[0]
                if not end:
                    return
            if at + end >= item.size_bytes:
                return
            if end:
                at, line, held = at + end, line + data.count(b"\n", 0, end), data[end:]
                yield at, line
            elif len(data) > 4 * range_bytes:  # a line without an end
                return
            else:
                held = data
