"""JSON lines: a fast reading of blocks that are plainly sound, and a careful one, line by line, of
the block in which a fault stands.
"""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json

from pairmill.sources.base import Remark, Unreadable
from pairmill.sources.guesses import EXACT, Guess
from pairmill.sources.rows import (
    MAX_COLUMNS,
    Part,
    Rows,
    filled_lines,
    for_arrow,
    line_place,
    lines_of,
    newline_places,
    shown,
)
from pairmill.sources.spelled_out import spelled_out
from pairmill.sources.text_stream import Block

BLANK = b" \t\r"
NULL_BEHIND = re.compile(rb"\}\s*null")
HALF = re.compile("[\ud800-\udfff]")
MAX_DEPTH = 200
"""Levels of a JSON value; Arrow's reader ends the process at some ten thousand."""


class Misfit(ValueError):
    """A value that its column's type does not hold."""


def json_lines(
    blocks: Iterator[Block], schema: pa.Schema, nested: set[str], file: str
) -> Iterator[Part]:
    """Rows with the columns of `schema`; those in `nested` as JSON text.

    Keys that are not in `schema` are told.
    """
    for block in blocks:
        if block.too_long:
            reason = f"a line of more than 64 MB; it begins {shown(block.data)}"
            yield Unreadable(line_place(file, block.line), reason)
            continue
        rows = None if nested else fast(block, schema)
        if rows is not None:
            yield rows
        else:
            yield from careful(block, schema, nested, file)


def fast(block: Block, schema: pa.Schema) -> Rows | None:
    """The rows by Arrow's parser, or None where anything about them is not plainly sound."""
    places = filled_lines(block.data, block.line, BLANK)
    table = parsed(block.data, schema)
    if table is None or table.num_rows != len(places) or not len(places):
        return None
    for name in table.schema.names:
        column = table.column(name)
        if pa.types.is_floating(column.type) and not doubles_are_exact(column):
            return None
    return Rows(table, places)


def parsed(data: bytes, schema: pa.Schema | None) -> pa.Table | None:
    """The block by Arrow's parser; with no schema it finds the types."""
    if not only_objects(data) or may_have_too_many_keys(data):
        return None
    if most_in_a_line(data, b"[{") > MAX_DEPTH:
        return None
    options = pa.json.ParseOptions(
        explicit_schema=schema,
        unexpected_field_behavior="infer" if schema is None else "error",
    )
    size = len(data) + 1 if schema is None else max(len(data) // 4, 2**20)
    try:
        table = pa.json.read_json(
            for_arrow(data),
            # a single block is read faster by whoever asks than by a thread of Arrow's
            read_options=pa.json.ReadOptions(block_size=size, use_threads=len(data) > size),
            parse_options=options,
        )
        table.validate(full=True)  # Arrow's parser does not look whether texts are UTF-8
    except (pa.ArrowException, UnicodeDecodeError):
        return None
    return table


def only_objects(data: bytes) -> bool:
    """Whether every line begins with an object and no null follows one: Arrow's parser ends the
    process at a null that stands by itself.
    """
    starts = np.append(0, newline_places(data) + 1)
    heads = np.frombuffer(data, np.uint8)[starts[starts < len(data)]]
    return bool(np.isin(heads, list(b"{\n")).all()) and not NULL_BEHIND.search(data)


def most_in_a_line(data: bytes, letters: bytes) -> int:
    """The most of some letters in one line, 0 where that cannot be more than MAX_DEPTH: no value in
    it has more opening brackets, no object more colons.
    """
    every = sum(data.count(bytes([letter])) for letter in letters)
    blank = b"\n\n" in data or data.startswith(b"\n")
    if not blank and every - data.count(b"\n") <= MAX_DEPTH:
        return 0  # every line begins with one: few are left for any of them
    array = np.frombuffer(data, np.uint8)
    places = np.flatnonzero(np.isin(array, list(letters)))
    lines = np.searchsorted(newline_places(data), places)
    return int(np.bincount(lines).max(initial=0))


def may_have_too_many_keys(data: bytes) -> bool:
    """Looks closely only where a line is long enough for so many."""
    longest = np.diff(newline_places(data), prepend=-1, append=len(data)).max()
    return bool(longest > 4 * MAX_COLUMNS) and most_in_a_line(data, b":") > MAX_COLUMNS


def doubles_are_exact(column: pa.ChunkedArray) -> bool:
    """Whether no integer beyond 2^53 can stand behind a double, nor one that became infinite."""
    largest = pc.max(pc.abs(column)).as_py()
    return largest is None or largest < EXACT


def careful(block: Block, schema: pa.Schema, nested: set[str], file: str) -> Iterator[Part]:
    """The rows of a block, line by line: sound lines as one table, each faulty one as Unreadable,
    and a remark for every key that the schema does not have.
    """
    names, types = schema.names, schema.types
    columns: list[list[Any]] = [[] for _ in names]
    places: list[int] = []
    rows: list[dict[str, Any]] = []
    unknown: dict[str, list[int]] = {}
    known = set(names)
    for number, line in lines_of(block.data, block.line, BLANK):
        try:
            row = parsed_line(line)
            values = []
            for name, dtype in zip(names, types, strict=True):
                values.append(converted(row.get(name), dtype, name, line))
        except (ValueError, RecursionError) as error:
            column = error.args[1] if isinstance(error, Misfit) else None
            yield Unreadable(line_place(file, number), reason_of(error), column)
            continue
        for column_values, value in zip(columns, values, strict=True):
            column_values.append(value)
        places.append(number)
        rows.append(row)
        for name in row.keys() - known:
            if row[name] is not None:
                unknown.setdefault(name, []).append(number)
    if places:
        arrays = [pa.array(v, t) for v, t in zip(columns, types, strict=True)]
        yield Rows(pa.Table.from_arrays(arrays, schema=schema), np.array(places, np.int64))
    yield from spelled_out(rows, schema, lambda i: line_place(file, places[i]))
    for name, lines in sorted(unknown.items()):
        yield Remark(
            "values left out", line_place(file, lines[0]),
            f"the key {shown(name)} was not in what was looked at before reading; "
            f"name it with `types: {{{name}: …}}`", len(lines),
        )  # fmt: skip


def reason_of(error: Exception) -> str:
    """Why a line is not read, in words for people."""
    if isinstance(error, RecursionError):
        return "no JSON object: nested too deeply"
    return str(error.args[0]) if isinstance(error, Misfit) else f"no JSON object: {error}"


NAMES = {list: "a list", str: "a text", bool: "true or false", type(None): "null"}
"""What a line of JSON is that is no object, in JSON's words."""


def parsed_line(line: bytes) -> dict[str, Any]:
    """The object of one line; raises ValueError or RecursionError."""
    try:
        text = line.decode().removeprefix("\ufeff")  # of a file put behind another
    except UnicodeDecodeError as error:
        raise ValueError(f"bytes that are not in the file's encoding ({error})") from None
    row = json.loads(text)
    if not isinstance(row, dict):
        raise ValueError(f"{NAMES.get(type(row), 'a number')}, not an object")
    if len(row) > MAX_COLUMNS:
        raise ValueError(f"{len(row):,} keys; at most {MAX_COLUMNS:,} are read")
    if b"\\u" in line and any(HALF.search(key) for key in row):
        raise ValueError("a key with half of a surrogate pair, which is no character")
    return row


def converted(value: Any, dtype: pa.DataType, name: str, line: bytes) -> Any:
    """A JSON value as its column's type has it; raises Misfit."""
    if value is None:
        return None
    if pa.types.is_string(dtype):
        return text_of(value, name, line)
    if pa.types.is_list(dtype) and isinstance(value, list):
        return [converted(v, dtype.value_type, name, line) for v in value]
    if pa.types.is_boolean(dtype) and isinstance(value, bool):
        return value
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if number and pa.types.is_integer(dtype) and value == value and abs(value) != float("inf"):
        low, high = (0, 2**64) if pa.types.is_unsigned_integer(dtype) else (-(2**63), 2**63)
        if int(value) == value and low <= value < high:
            return int(value)
    if number and pa.types.is_floating(dtype) and (isinstance(value, float) or abs(value) <= EXACT):
        return float(value)
    raise Misfit(f"{shown(json.dumps(value))} is no {dtype}, as all values before it are", name)


def text_of(value: Any, name: str, line: bytes) -> str:
    """A text as it is, a number as it is spelled in the line, all else as JSON."""
    if not isinstance(value, str):
        if isinstance(value, int | float) and not isinstance(value, bool):
            spelled = json.loads(line, parse_int=str, parse_float=str, parse_constant=str)
            top = spelled.get(name)
            return top if isinstance(top, str) else json.dumps(value)
        value = json.dumps(value, ensure_ascii=False)
    try:
        value.encode()
    except UnicodeEncodeError:
        raise Misfit("half of a surrogate pair, which is no character", name) from None
    return str(value)


def profile(blocks: Iterable[Block]) -> tuple[dict[str, Guess], int, int, list[str]]:
    """(what each key holds, lines that are objects, those that are none, their first reasons)."""
    guesses: dict[str, Guess] = {}
    faults: list[str] = []
    sound = bad = 0
    for block in blocks:
        if block.too_long:
            bad += 1
            faults.append(f"line {block.line}: a line of more than 64 MB")
            continue
        table = parsed(block.data, None)
        doubtful = table is not None and any(
            pa.types.is_struct(c.type)
            or (pa.types.is_floating(c.type) and not doubles_are_exact(c))
            or (pa.types.is_list(c.type) and pa.types.is_nested(c.type.value_type))
            for c in table.columns
        )
        if table is not None and not doubtful:
            sound += table.num_rows
            for name in table.schema.names:
                guesses.setdefault(name, Guess()).add_parsed(table.column(name))
            continue
        for number, line in lines_of(block.data, block.line, BLANK):
            try:
                row = parsed_line(line)
                json.dumps(row)
            except (ValueError, RecursionError) as error:
                bad += 1
                if len(faults) < 1000:
                    faults.append(f"line {number}: {reason_of(error)}")
                continue
            sound += 1
            for name, value in row.items():
                guesses.setdefault(name, Guess()).add(value)
            if len(guesses) > MAX_COLUMNS:
                return guesses, sound, bad, faults
    return guesses, sound, bad, faults


def to_table(rows: list[dict[str, Any]]) -> pa.Table:
    """Objects as a table; nested values as JSON text, columns of mixed types as text."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    arrays = {}
    for name in names:
        guess = Guess()
        values = [row.get(name) for row in rows]
        for value in values:
            guess.add(value)
        dtype = guess.dtype()
        arrays[name] = pa.array(
            [converted(v, dtype, name, b"{}") if v is not None else None for v in values], dtype
        )
    return pa.table(arrays)
