"""Quotes of CSV as RFC 4180 has them: where records end, and which quotes are stray."""

from dataclasses import dataclass

import numpy as np

from pairmill.sources.rows import newline_places

SWALLOWED_LINES = 20
"""Lines within one quoted value that look like records, from which on its quote is a stray one even
where no addresses stand in them.
"""
BLANK = b" \r"
"""Letters of a line that is no record; a tab may be a delimiter."""
QUOTE = ord('"')
LINE_ENDS = (10, 13)


@dataclass(frozen=True)
class Dialect:
    """How a file is separated, and the names of its columns."""

    names: tuple[str, ...]
    delimiter: str
    quoting: bool
    null_values: tuple[str, ...] = ("",)


class BadRecord(ValueError):
    """A line at which no record begins that makes sense."""

    def __init__(self, message: str, column: str | None = None) -> None:
        super().__init__(message)
        self.column = column


class Unfinished(Exception):
    """A record goes on behind what was read so far."""


def sound_until(data: bytes, first: int, dialect: Dialect) -> tuple[int, np.ndarray, bool]:
    """(end of the last whole record, the line numbers at which records begin, whether values hold
    line ends); the end is 0 where a quote stands where RFC 4180 knows none.
    """
    newlines = newline_places(data)
    if not len(newlines):
        return 0, newlines, False
    quotes = np.flatnonzero(np.frombuffer(data, np.uint8) == QUOTE)
    inside = np.searchsorted(quotes, newlines) % 2 == 1
    ends = newlines[~inside]
    if not len(ends):
        return 0, ends, False
    end = int(ends[-1]) + 1
    within = inside & (newlines < end)
    if not _well_placed(data, quotes[quotes < end], dialect.delimiter):
        return 0, ends, False
    if within.any() and _swallows(data, newlines[within], quotes, dialect):
        return 0, ends, False
    begins = np.concatenate([[0], ends[:-1] + 1])
    lines = first + np.searchsorted(newlines, begins)
    heads = np.frombuffer(data, np.uint8)[begins]
    doubtful = np.flatnonzero((begins == ends) | np.isin(heads, list(BLANK)))
    blank = [i for i in doubtful.tolist() if not data[begins[i] : ends[i]].strip(BLANK)]
    return end, np.delete(lines, blank) if blank else lines, bool(within.any())


def _well_placed(data: bytes, quotes: np.ndarray, delimiter: str) -> bool:
    """Whether every quote opens at the beginning of a value, closes at its end, or is doubled."""
    if len(quotes) % 2:
        return False
    if not len(quotes):
        return True
    array = np.frombuffer(data, np.uint8)
    borders = (ord(delimiter), *LINE_ENDS)
    opening, closing = quotes[::2], quotes[1::2]
    before = array[np.maximum(opening - 1, 0)]
    opens = np.isin(before, (*borders, QUOTE)) | (opening == 0)
    after = array[np.minimum(closing + 1, len(array) - 1)]
    closes = np.isin(after, (*borders, QUOTE)) | (closing == len(array) - 1)
    # a quote before an opening one has to be the closing one of the pair before: a doubled quote
    doubled = np.zeros(len(opening), bool)
    doubled[1:] = opening[1:] == closing[:-1] + 1
    return bool((opens & closes).all() and (doubled | (before != QUOTE) | (opening == 0)).all())


def _swallows(data: bytes, newlines: np.ndarray, quotes: np.ndarray, dialect: Dialect) -> bool:
    """Whether a quoted value holds lines that look like records of their own."""
    value = np.searchsorted(quotes, newlines)
    several = np.flatnonzero(np.diff(value) == 0)
    if not len(several):
        return False
    for group in np.split(newlines, np.flatnonzero(np.diff(value)) + 1):
        if len(group) < 2:
            continue
        opening = int(quotes[np.searchsorted(quotes, group[0]) - 1])
        before = data[data.rfind(b"\n", 0, opening) + 1 : opening]
        if looks_like_records(data[group[0] + 1 : group[-1]], dialect, before):
            return True
    return False


def looks_like_records(text: bytes, dialect: Dialect, before: bytes) -> bool:
    """Whether nearly all lines within a quoted value have as many fields as the header, and either
    an address in each of them or very many of them.

    `before`: what stands before the value in its line; where that has an address, lines without
    one are no records, however many they are.
    """
    delimiters = len(dialect.names) - 1
    if not delimiters:
        return False
    lines = text[: 2**16].split(b"\n")
    alike = [line for line in lines if line.count(dialect.delimiter.encode()) == delimiters]
    if len(alike) < 0.9 * len(lines):
        return False
    if all(b"://" in line for line in alike):
        return True
    return len(lines) >= SWALLOWED_LINES and b"://" not in before


def record_at(
    data: bytes, at: int, dialect: Dialect, final: bool
) -> tuple[list[bytes], list[bool], int]:
    """Fields of the record that begins at `at`, which of them are quoted, and where it ends.

    Raises BadRecord, or Unfinished where more of the file has to be read first.
    """
    delimiter = ord(dialect.delimiter)
    fields: list[bytes] = []
    quoted: list[bool] = []
    newline = _line_end(data, at)
    while True:
        if data[at : at + 1] == b'"':
            field, at = _quoted_value(data, at, dialect, final, len(fields))
            fields.append(field)
            quoted.append(True)
            if at >= len(data):
                return fields, quoted, at
            if data[at] == delimiter:
                at += 1
                newline = _line_end(data, at)
                continue
            return fields, quoted, at + (2 if data[at] == 13 else 1)
        stop = data.find(dialect.delimiter.encode(), at, newline)
        quoted.append(False)
        if stop < 0:
            fields.append(data[at:newline].removesuffix(b"\r"))
            return fields, quoted, min(newline + 1, len(data))
        fields.append(data[at:stop])
        at = stop + 1


def _line_end(data: bytes, at: int) -> int:
    end = data.find(b"\n", at)
    return len(data) if end < 0 else end


def _quoted_value(
    data: bytes, at: int, dialect: Dialect, final: bool, index: int
) -> tuple[bytes, int]:
    """The value in quotes that begins at `at`, and the place behind its closing quote."""
    column = dialect.names[index] if index < len(dialect.names) else f"field {index + 1}"
    start = at + 1
    before = data[data.rfind(b"\n", 0, at) + 1 : at]
    look = start
    while True:
        close = data.find(b'"', look)
        if close < 0:
            inner = data[start:].split(b"\n", 1)
            if final or (len(inner) > 1 and looks_like_records(inner[1], dialect, before)):
                raise BadRecord("a quote is opened and never closed", column)
            raise Unfinished
        if data[close + 1 : close + 2] != b'"':
            break
        look = close + 2
    after = data[close + 1 : close + 3]
    if not after and not final:
        raise Unfinished
    if after and after[0] not in (ord(dialect.delimiter), 10) and after != b"\r\n":
        raise BadRecord("text behind a closing quote", column)
    value = data[start:close]
    if b"\n" in value:
        inside = value.split(b"\n", 1)[1].rpartition(b"\n")[0]
        if inside and looks_like_records(inside, dialect, before):
            raise BadRecord("a quote is opened and not closed in its own line", column)
    return value.replace(b'""', b'"'), close + 1
