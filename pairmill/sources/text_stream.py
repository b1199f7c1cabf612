"""Text files as blocks of whole lines in UTF-8: decoded, with bounds on what one line may
hold.
"""

import codecs
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import chain

from pairmill.sources.input_file import Input
from pairmill.sources.unpacking import BrokenStream, packing_of, unpacked
from pairmill.texts.files import MARKS

FORMATS = {
    "parquet": "parquet", "pq": "parquet", "csv": "csv", "tsv": "tsv", "tab": "tsv",
    "jsonl": "jsonl", "ndjson": "jsonl", "json": "jsonl",
    "arrow": "arrow", "feather": "arrow", "ipc": "arrow",
}  # fmt: skip
BLOCK_BYTES = 8 * 2**20
"""Text that is parsed at once."""
MAX_LINE_BYTES = 64 * 2**20
"""A longer row is unreadable; its bytes are passed over without being held."""
BOMS = tuple((mark, name.removesuffix("-le").removesuffix("-be")) for mark, name in MARKS)
"""Byte order marks, and the encoding by which a decoder takes the mark off itself."""


@dataclass(frozen=True)
class Block:
    """Whole lines: number of the first, counting from 1, and their bytes."""

    line: int
    data: bytes
    too_long: bool = False
    """The line goes on for more than MAX_LINE_BYTES; `data` is its beginning."""


def format_of(name: str) -> str | None:
    """`parquet`, `csv`, `tsv`, `jsonl` or `arrow` by the file's name, or None."""
    packing = packing_of(name)
    plain = name.lower().removesuffix(packing or "")
    found = FORMATS.get(plain.rsplit(".", 1)[-1])
    return None if found in ("parquet", "arrow") and packing else found


def decoded(pieces: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    """Bytes in UTF-8, without a byte order mark.

    What the encoding does not allow comes as bytes that UTF-8 does not allow either, so that the
    row it stands in is found by one check.
    """
    first = next(pieces, b"")
    while 0 < len(first) < 4 and (more := next(pieces, b"")):
        first += more
    marked = wide_mark(first)
    if marked and not encoding.startswith(marked):
        encoding = marked
    if encoding in ("utf-8", "ascii"):
        yield first.removeprefix(codecs.BOM_UTF8)
        yield from pieces
        return
    wide = encoding.startswith(("utf-16", "utf-32"))
    errors = "surrogatepass" if wide else "surrogateescape"
    decoder = codecs.getincrementaldecoder(encoding)(errors)
    back = "surrogatepass" if wide else "surrogateescape"
    yield decoder.decode(first).lstrip("\ufeff").encode("utf-8", back)
    for piece in pieces:
        yield decoder.decode(piece).encode("utf-8", back)
    try:
        yield decoder.decode(b"", True).encode("utf-8", back)
    except UnicodeDecodeError:
        yield b"\xff"


def wide_mark(head: bytes) -> str | None:
    """`utf-16` or `utf-32` where a file's first bytes are that encoding's byte order mark."""
    found = next((name for bom, name in BOMS if head.startswith(bom)), None)
    return None if found == "utf-8" else found


def with_line_feeds(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Text with line feeds where only carriage returns end its lines, as on old Macs."""
    first = next(pieces, b"")
    if not ends_lines_alone(first):
        yield first
        yield from pieces
        return
    for piece in chain([first], pieces):
        yield piece.replace(b"\r", b"\n")


def has_old_line_ends(item: Input, encoding: str) -> bool:
    """Whether a file's first bytes have carriage returns and no line feed."""
    with closing(unpacked(item)) as pieces:
        try:
            return ends_lines_alone(next(decoded(pieces, encoding), b""))
        except BrokenStream:
            return False


def ends_lines_alone(first: bytes) -> bool:
    """Whether the beginning of a text has carriage returns and no line feed."""
    return b"\r" in first[:-1] and b"\n" not in first


@dataclass(frozen=True)
class TextRange:
    """Bytes of a file in UTF-8 from `start` to before `stop` (None: to the end); `line`: number of
    the first line.
    """

    start: int
    stop: int | None
    line: int


def blocks(
    item: Input,
    encoding: str,
    start: int = 0,
    block_bytes: int = BLOCK_BYTES,
    within: TextRange | None = None,
) -> Generator[Block, None, None]:
    """The file's lines in blocks of `block_bytes` or more; the last line may lack its end.
    `within`: those in a range alone.

    Raises BrokenStream after the last whole line that could be unpacked.
    """
    held: list[bytes] = []
    size, line, fault = 0, 1, None
    pieces: Iterator[bytes]
    if within is not None:
        line, raw = within.line, unpacked(item, within.start, within.stop)
        pieces = raw if within.start else with_line_feeds(decoded(raw, encoding))
    else:
        pieces = with_line_feeds(decoded(unpacked(item, start), encoding))
    while True:
        try:
            piece = next(pieces, None)
        except BrokenStream as error:
            fault, piece = error, None
        if piece is None:
            break
        held.append(piece)
        size += len(piece)
        if size < block_bytes:
            continue
        if b"\n" not in piece and size < MAX_LINE_BYTES:
            continue
        data = b"".join(held)
        end = data.rfind(b"\n") + 1
        if end:
            yield Block(line, data[:end])
            line += data.count(b"\n", 0, end)
            held = [data[end:]]
        elif size >= MAX_LINE_BYTES:
            yield Block(line, data[:200], too_long=True)
            held = [_after_line(pieces)]
            line += 1
        size = sum(map(len, held))
    data = b"".join(held)
    if fault is not None:
        end = data.rfind(b"\n") + 1
        if end:
            yield Block(line, data[:end])
        raise fault
    if data:
        yield Block(line, data)


def _after_line(pieces: Iterator[bytes]) -> bytes:
    """Passes over the rest of a line; gives what stands behind its end."""
    for piece in pieces:
        if (end := piece.find(b"\n")) >= 0:
            return piece[end + 1 :]
    return b""
