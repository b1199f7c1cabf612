"""Small text files that users write for a pipeline: lists of concepts, texts, addresses, files."""

import codecs
import re
from collections.abc import Iterator
from pathlib import Path

MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16's, with which it begins
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
"""Byte order marks, and the encoding of what stands behind one."""
MARK = "\ufeff"
LINE_END = re.compile("\r\n|\n|\r")


def decoded(data: bytes) -> str:
    """The text of a file's bytes, UTF-8 unless a byte order mark says otherwise, without that mark.

    Raises ValueError where it is no text.
    """
    mark, encoding = next(((m, e) for m, e in MARKS if data.startswith(m)), (b"", "utf-8"))
    rest = data[len(mark) :]
    try:
        text = rest.decode(encoding)
    except UnicodeDecodeError as error:
        line = rest[: error.start].count(b"\n") + 1
        name = encoding.upper()[:6].rstrip("-")
        raise ValueError(
            f"line {line}: the byte 0x{rest[error.start]:02x} is no {name}; save the file as UTF-8"
        ) from None
    if "\0" in text:
        raise ValueError("holds null bytes: it is no text, or no UTF-8; save it as UTF-8")
    return text


def lines_in(data: bytes) -> Iterator[tuple[int, str]]:
    """(number from 1, line without its end) of the lines of a file that say something: LF, CRLF or
    CR ends them, and a mark that files which were joined have in between is left out.

    Raises ValueError where it is no text.
    """
    for number, line in enumerate(LINE_END.split(decoded(data)), 1):
        line = line.removeprefix(MARK)
        if line.strip():
            yield number, line


def text_of(path: str) -> str:
    """The text of a file, its lines ended by LF; raises OSError, ValueError where it is none."""
    return LINE_END.sub("\n", decoded(Path(path).read_bytes()))


def entries_of(path: str) -> list[str]:
    """The lines of a file that say something, without white space around them; raises OSError, and
    ValueError where it is no text.
    """
    return [line.strip() for _, line in lines_in(Path(path).read_bytes())]
