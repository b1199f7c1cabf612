"""Text files of tables: their dialect, their rows, and windows at their beginning, middle and
end.
"""

from collections.abc import Iterator
from contextlib import closing

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pairmill.sources.base import Input, NoInput, Remark, Unreadable
from pairmill.sources.json_lines import json_lines
from pairmill.sources.quoted import BadRecord, Dialect, Unfinished, record_at
from pairmill.sources.rows import MAX_COLUMNS, Part, Rows, line_place, shown
from pairmill.sources.separated import separated
from pairmill.sources.table_config import PairsConfig
from pairmill.sources.text_ranges import has_wide_letters
from pairmill.sources.text_stream import Block, TextRange, blocks
from pairmill.sources.unpacking import BrokenStream, packing_of

WINDOW_BYTES = 2**18


class EmptyFile(Exception):
    """A file without a line."""


def windows(item: Input, config: PairsConfig, whole: bool) -> Iterator[Block]:
    """All blocks, or a window each at the beginning, the middle and the end.

    What is packed, or has letters of two bytes, can only be looked at from its beginning.
    """
    stream = blocks(item, config.encoding)
    if whole:
        try:
            yield from stream
        except BrokenStream:
            return
        return
    wide = (
        packing_of(item.name) is not None
        or config.encoding.startswith(("utf-16", "utf-32"))
        or has_wide_letters(item)
    )
    places = {0, item.size_bytes // 2, item.size_bytes - WINDOW_BYTES}
    for start in [0] if wide or item.size_bytes <= WINDOW_BYTES else sorted(places):
        first = beginning(item, config, start)
        if first is None:
            continue
        data = first.data[: WINDOW_BYTES * (8 if wide else 1)]
        begin = data.find(b"\n") + 1 if start > 0 else 0
        # the last line of what is shorter than a window is whole, whether or not it has an end
        end = data.rfind(b"\n") + 1 if start or len(data) >= WINDOW_BYTES else len(data)
        if end > begin:
            yield Block(1 if start == 0 else -start, data[begin:end])


def beginning(item: Input, config: PairsConfig, start: int = 0) -> Block | None:
    """The lines from some byte on, a window's length or a little more."""
    stream = blocks(item, config.encoding, start, WINDOW_BYTES)
    with closing(stream):
        return next(stream, None)


def dialect_of(item: Input, kind: str, config: PairsConfig) -> Dialect:
    """The file's dialect, and its columns by its header or the config; raises NoInput."""
    delimiter = config.delimiter or ("\t" if kind == "tsv" else ",")
    quoting = kind == "csv" if config.quoting is None else config.quoting
    nulls = tuple(config.null_values)
    header = not config.names if config.header is None else config.header
    first = Dialect((), delimiter, quoting, nulls)
    fields = [] if config.names else header_of(item, config, first)
    if config.names:
        names = list(config.names)
    elif header:
        names = [name.strip() or f"column_{i}" for i, name in enumerate(fields, 1)]
    else:
        names = [f"column_{i}" for i in range(1, len(fields) + 1)]
    if len(names) > MAX_COLUMNS:
        raise NoInput(f"{item.name} has {len(names):,} columns; at most {MAX_COLUMNS:,} are read")
    if twice := next((n for i, n in enumerate(names) if n in names[:i]), None):
        at = [str(i) for i, n in enumerate(names, 1) if n == twice]
        raise NoInput(
            f"{item.name}: the header names {twice!r} more than once (columns {', '.join(at)}); "
            "give the columns names of their own with `names: [...]` and `header: true`"
        )
    return Dialect(tuple(names), delimiter, quoting, nulls)


def header_of(item: Input, config: PairsConfig, dialect: Dialect) -> list[str]:
    """The fields of the file's first record."""
    first = beginning(item, config)
    if first is None or not first.data.strip():
        raise EmptyFile
    fields, _ = first_record(first.data, dialect, item.name)
    return [f.decode("utf-8", "replace") for f in fields]


def first_record(data: bytes, dialect: Dialect, file: str) -> tuple[list[bytes], int]:
    """(fields, end) of the first record of a file that is not blank."""
    at = 0
    while not data[at : (end := data.find(b"\n", at) + 1 or len(data))].strip(b" \r\n"):
        at = end
    if not dialect.quoting:
        return data[at:end].rstrip(b"\r\n").split(dialect.delimiter.encode()), end
    try:
        fields, _, end = record_at(data, at, dialect, final=True)
    except (BadRecord, Unfinished) as error:
        raise NoInput(
            f"{file}: its first line has quotes that do not fit ({error}): {shown(data[at:end])}; "
            "say `quoting: false` if quotes are letters there"
        ) from None
    return fields, end


def without_header(
    stream: Iterator[Block], dialect: Dialect, config: PairsConfig, file: str
) -> Iterator[Block]:
    """The blocks behind the header line, where the file has one."""
    has_header = not config.names if config.header is None else config.header
    for block in stream:
        if has_header and block.line == 1:
            _, end = first_record(block.data, dialect, file)
            block = Block(1 + block.data.count(b"\n", 0, end), block.data[end:])
        if block.data:
            yield block


def separated_rows(
    item: Input,
    dialect: Dialect,
    config: PairsConfig,
    whole: bool = True,
    within: TextRange | None = None,
) -> Iterator[Part]:
    """The rows of a CSV or TSV, or of a range of it, or those in the windows of a look."""
    stream = blocks(item, config.encoding, within=within) if whole else windows(item, config, False)
    try:
        for part in separated(
            without_header(stream, dialect, config, item.name), dialect, item.name
        ):
            yield part
            if isinstance(part, Rows):
                yield from headers_among(part, dialect, item.name)
    except BrokenStream as error:
        yield Unreadable(item.name, str(error))


def headers_among(rows: Rows, dialect: Dialect, file: str) -> Iterator[Remark]:
    """Rows that say the header once more, as where files were put behind one another."""
    same = pc.equal(rows.table.column(0), dialect.names[0])
    if len(dialect.names) < 2 or not pc.any(same).as_py():
        return
    for name in dialect.names[1:]:
        same = pc.and_kleene(same, pc.equal(rows.table.column(name), name))
    places = rows.places[np.asarray(pc.fill_null(same, False))]
    if len(places):
        yield Remark(
            "headers among rows", line_place(file, int(places[0])),
            "the header once more, as a row: its words count as values, so that columns of "
            "numbers are text; take such lines away", len(places),
        )  # fmt: skip


def json_rows(
    item: Input,
    schema: pa.Schema,
    nested: set[str],
    encoding: str,
    within: TextRange | None = None,
) -> Iterator[Part]:
    """The rows of a file of JSON lines, or of a range of it."""
    try:
        yield from json_lines(blocks(item, encoding, within=within), schema, nested, item.name)
    except BrokenStream as error:
        yield Unreadable(item.name, str(error))
