"""CSV and TSV: a fast reading of what is plainly sound, and a careful one, record by record, of the
block in which a fault stands.
"""

import codecs
import re
from collections.abc import Generator, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.csv

from pairmill.sources.base import Remark, Unreadable
from pairmill.sources.quoted import BLANK, BadRecord, Dialect, Unfinished, record_at, sound_until
from pairmill.sources.rows import Part, Rows, filled_lines, for_arrow, line_place, lines_of, shown
from pairmill.sources.text_stream import Block
from pairmill.texts.amounts import amount

PATIENCE_BYTES = 2**18
"""A quoted value that is open for longer is looked at carefully, as its quote may be a stray one.
"""
MAX_RECORD_BYTES = 16 * 2**20
MARKS = re.compile(rb"^(?:\xef\xbb\xbf)+", re.MULTILINE)


def separated(blocks: Iterator[Block], dialect: Dialect, file: str) -> Iterator[Part]:
    """Every value as text, as it stands in the file; null where it is one of the null values and
    not quoted.  What the parser gave is compared with the lines counted over the bytes.
    """
    held, first = b"", 0
    for block in blocks:
        if block.too_long:
            yield Unreadable(
                line_place(file, block.line),
                f"a line of more than 64 MB; it begins {shown(block.data)}",
            )
            continue
        text, places = without_marks(block)
        if places:
            what = "a byte order mark before a line, as of a file put behind another: taken off"
            yield Remark("repaired values", line_place(file, places[0]), what, len(places))
        data, first = (held + text, first) if held else (text, block.line)
        taken = yield from _block(data, first, dialect, file, final=False)
        held = data[taken:]
        first += data.count(b"\n", 0, taken)
    if held:
        yield from _block(held, first, dialect, file, final=True)


def without_marks(block: Block) -> tuple[bytes, list[int]]:
    """A block's bytes without byte order marks that begin lines, and where these stood."""
    data, places = block.data, list[int]()
    if codecs.BOM_UTF8 in data:
        for mark in MARKS.finditer(data):
            places.append(block.line + data.count(b"\n", 0, mark.start()))
        data = MARKS.sub(b"", data)
    return data, places


def _block(
    data: bytes, first: int, dialect: Dialect, file: str, final: bool
) -> Generator[Part, None, int]:
    """Reads what is whole of a block; gives the number of bytes that were read."""
    if not dialect.quoting:
        rows = fast(data, filled_lines(data, first, BLANK), dialect, quotes=False)
        yield from [rows] if rows else careful_lines(data, first, dialect, file)
        return len(data)
    end, places, multiline = sound_until(data, first, dialect)
    rows = fast(data[:end], places, dialect, quotes=True, multiline=multiline) if end else None
    if rows:
        yield rows
        rest = data[end:]
        if not rest or (len(rest) < PATIENCE_BYTES and not final):
            return end
        first += data.count(b"\n", 0, end)
    else:
        end, rest = 0, data
    return end + (yield from careful_records(rest, first, dialect, file, final))


def fast(
    data: bytes, places: np.ndarray, dialect: Dialect, quotes: bool, multiline: bool = False
) -> Rows | None:
    """The rows by Arrow's parser; None where anything about them is not plainly sound."""
    if b"\r" in data:
        if not quotes:
            data = data.replace(b"\r\n", b"\n")
        if data.count(b"\r") != data.count(b"\r\n"):
            return None
    if not len(places):
        return None
    try:
        table = pyarrow.csv.read_csv(
            for_arrow(data),
            read_options=pyarrow.csv.ReadOptions(
                column_names=list(dialect.names), block_size=max(len(data) // 4, 2**20)
            ),
            parse_options=pyarrow.csv.ParseOptions(
                delimiter=dialect.delimiter,
                quote_char='"' if quotes else False,
                newlines_in_values=multiline,
            ),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(dialect.names, pa.string()),
                null_values=list(dialect.null_values),
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )
    except (pa.ArrowException, UnicodeDecodeError):
        return None
    if table.num_rows != len(places):
        return None
    return Rows(table, places)


class Gathered:
    """Records on their way to a table."""

    def __init__(self, dialect: Dialect, file: str) -> None:
        self.dialect, self.file = dialect, file
        self.nulls = set(dialect.null_values)
        self.records: list[list[str | None]] = []
        self.places: list[int] = []

    def add(
        self, fields: list[bytes], quoted: list[bool], line: int, text: bytes
    ) -> Unreadable | None:
        """Adds a record, or says why it is none."""
        names = self.dialect.names
        if len(fields) != len(names):
            return Unreadable(
                line_place(self.file, line),
                f"{amount(len(fields), 'field')} where the header has {len(names)}: {shown(text)}",
            )
        values: list[str | None] = []
        for name, field, in_quotes in zip(names, fields, quoted, strict=True):
            try:
                value = field.decode()
            except UnicodeDecodeError as error:
                return Unreadable(
                    line_place(self.file, line),
                    f"the bytes of {shown(field)} are not in the file's encoding "
                    f"({error.reason} at byte {error.start})",
                    name,
                )
            values.append(None if not in_quotes and value in self.nulls else value)
        self.records.append(values)
        self.places.append(line)
        return None

    def rows(self) -> Iterator[Rows]:
        """The records as one table of texts; nothing where there are none."""
        if self.records:
            columns = [pa.array(v, pa.string()) for v in zip(*self.records, strict=True)]
            table = pa.Table.from_arrays(columns, names=list(self.dialect.names))
            yield Rows(table, np.array(self.places, np.int64))


def careful_lines(data: bytes, first: int, dialect: Dialect, file: str) -> Iterator[Part]:
    """Files without quoting, line by line."""
    gathered, delimiter = Gathered(dialect, file), dialect.delimiter.encode()
    for number, line in lines_of(data, first, BLANK):
        fields = line.split(delimiter)
        if fault := gathered.add(fields, [False] * len(fields), number, line):
            yield fault
    yield from gathered.rows()


def careful_records(
    data: bytes, first: int, dialect: Dialect, file: str, final: bool
) -> Generator[Part, None, int]:
    """Records one by one; where one has no sense, its first line alone is unreadable.

    Gives the number of bytes that were read: a record that is not at its end is left.
    """
    gathered = Gathered(dialect, file)
    at, line = 0, first
    while at < len(data):
        end = data.find(b"\n", at)
        end = len(data) if end < 0 else end + 1
        if not data[at:end].strip(BLANK + b"\n"):
            at, line = end, line + 1
            continue
        try:
            fields, quoted, end = record_at(data, at, dialect, final)
            fault = gathered.add(fields, quoted, line, data[at:end])
        except Unfinished:
            if len(data) - at < MAX_RECORD_BYTES:
                break
            fault = Unreadable(line_place(file, line), "a value of more than 16 MB in quotes")
        except BadRecord as error:
            fault = Unreadable(
                line_place(file, line), f"{error}: {shown(data[at:end])}", error.column
            )
        if fault:
            yield fault
        line += data.count(b"\n", at, end)
        at = end
    yield from gathered.rows()
    return at
