"""A look at a text file before it is read: names, kinds of values, and what does not fit.

Small files are looked at whole, and what was parsed is kept until it is read; of large ones the
beginning, the middle and the end.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from pairmill.sources import json_lines
from pairmill.sources.base import Input, NoInput, Unreadable
from pairmill.sources.guesses import Guess
from pairmill.sources.quoted import Dialect
from pairmill.sources.rows import MAX_COLUMNS, Part, Rows, filled_lines, shown
from pairmill.sources.table_config import PairsConfig
from pairmill.sources.text_files import (
    WINDOW_BYTES,
    EmptyFile,
    beginning,
    dialect_of,
    separated_rows,
    windows,
    without_header,
)
from pairmill.sources.text_stream import Block, blocks, has_old_line_ends

DELIMITERS = (",", "\t", ";", "|")
LEAST_FAULTS = 3
"""Rows in a wrong encoding, or with stray quotes, from which on the file's description is at fault
rather than the rows.
"""
MANY_FAULTS = 10
EXCEL = re.compile(rb'"?sep=(.)"?[\r\n]*$', re.IGNORECASE)
"""A first line that tells Excel the delimiter."""


@dataclass
class TextProfile:
    """What a look at one text file found."""

    item: Input
    kind: str
    dialect: Dialect | None = None
    guesses: dict[str, Guess] = field(default_factory=dict)
    sound: int = 0
    faults: list[str] = field(default_factory=list)
    """Places and reasons of rows that were unreadable, the first thousand or more."""
    bad: int = 0
    """How many these were in all."""
    mostly_bad: str | None = None
    """What is to be said where no more rows are sound than not: the file's description is at fault,
    unless other files bear it out.
    """
    problems: list[str] = field(default_factory=list)
    """What of the description does not fit the file."""
    damage: str | None = None
    """Why nothing of the file can be read at all."""
    lost: int = 1
    """Rows that count as unreadable then."""
    old_line_ends: bool = False
    """Whether carriage returns alone end its lines."""
    parts: list[Part] | None = None
    """All rows, where the file was looked at whole."""

    def __getstate__(self) -> dict[str, Any]:
        """Another process reads the file."""
        return {**vars(self), "parts": None}

    def names(self) -> list[str]:
        """The names of the input's columns, in the order they were found."""
        return list(self.dialect.names) if self.dialect else list(self.guesses)

    def schema(self) -> pa.Schema:
        """The input's columns; null where no value was seen."""
        if self.dialect:
            return pa.schema([(name, pa.string()) for name in self.dialect.names])
        return pa.schema([(name, guess.dtype()) for name, guess in self.guesses.items()])

    def nested(self) -> set[str]:
        """The columns whose values are lists or objects."""
        return {name for name, guess in self.guesses.items() if guess.nested()}


def profile_of(item: Input, kind: str, config: PairsConfig, whole: bool) -> TextProfile:
    """Of a file; never raises for what it holds: its faults stand in the profile."""
    profile = TextProfile(item, kind)
    try:
        profile.old_line_ends = has_old_line_ends(item, config.encoding)
        if kind == "jsonl":
            found = json_lines.profile(windows(item, config, whole))
            profile.guesses, profile.sound, profile.bad, profile.faults = found
            if len(profile.guesses) > MAX_COLUMNS:
                profile.problems.append(
                    f"{item.name} has more than {MAX_COLUMNS:,} different keys; "
                    "a table of so many columns is not read"
                )
        else:
            profile.dialect = dialect_of(item, kind, config)
            _profile_separated(profile, config, whole)
    except NoInput as error:
        profile.problems.append(str(error))
    except EmptyFile:
        profile.damage = "the file is empty"
    except (OSError, ValueError) as error:
        profile.damage = f"{type(error).__name__}: {error}"
    if not profile.problems and profile.damage is None:
        profile.problems += misfits(profile, config)
        if not profile.problems and profile.bad:
            judge(profile, config)
    return profile


def judge(profile: TextProfile, config: PairsConfig) -> None:
    """A file without a sound row is damaged; one with few says so."""
    bad, sound = profile.bad, profile.sound
    if not sound:
        profile.damage = f"not one of {bad:,} rows looked at can be read: {profile.faults[0]}"
        profile.lost = max(1, lines_of_all(profile, config))
    elif bad >= MANY_FAULTS and bad >= sound:
        profile.mostly_bad = (
            f"{profile.item.name}: {bad:,} of {bad + sound:,} rows looked at cannot be read: "
            + "; ".join(profile.faults[:3])
        )


def lines_of_all(profile: TextProfile, config: PairsConfig) -> int:
    """Lines of a file that are not blank, without its header."""
    count = 0
    try:
        stream: Iterator[Block] = blocks(profile.item, config.encoding)
        if profile.dialect is not None:
            stream = without_header(stream, profile.dialect, config, profile.item.name)
        for block in stream:
            count += len(filled_lines(block.data, block.line, json_lines.BLANK))
    except (OSError, ValueError):
        pass  # as far as it can be unpacked
    return count


def _profile_separated(profile: TextProfile, config: PairsConfig, whole: bool) -> None:
    assert profile.dialect is not None
    parts = list(separated_rows(profile.item, profile.dialect, config, whole))
    for part in parts:
        if isinstance(part, Rows):
            profile.sound += part.table.num_rows
            for name in profile.dialect.names:
                profile.guesses.setdefault(name, Guess()).add_texts(part.table.column(name))
        elif isinstance(part, Unreadable):
            place = part.location.removeprefix(profile.item.name).strip()
            profile.faults.append(f"{place}: {part.reason}")
            profile.bad += part.rows
    profile.parts = parts if whole else None


def misfits(profile: TextProfile, config: PairsConfig) -> list[str]:
    """What of delimiter, header, quoting and encoding does not fit, and what would."""
    name, dialect = profile.item.name, profile.dialect
    found: list[str] = []
    if dialect is not None:
        first = beginning(profile.item, config)
        head = first.data[:WINDOW_BYTES] if first else b""
        lines = [line for line in head.splitlines() if line.strip()][:50]
        found += _header_misfits(name, dialect, config, lines)
        if not found:
            found += _delimiter_misfits(name, dialect, lines)
            found += _quote_misfits(profile, dialect, lines)
    wrong = [f for f in profile.faults if "the file's encoding" in f]
    if len(wrong) >= LEAST_FAULTS and len(wrong) >= lines_beyond_ascii(profile, config) / 2:
        found = [
            f"{name} is not in {config.encoding} ({wrong[0]}); say its `encoding:`, such as cp1252"
        ]
    return found


def _header_misfits(
    name: str, dialect: Dialect, config: PairsConfig, lines: list[bytes]
) -> list[str]:
    if config.names or config.header is False:
        return []
    if lines and (sign := EXCEL.match(lines[0])):
        return [
            f"{name} begins with a line for Excel, {shown(lines[0])}, and no header: take the line "
            f"away, and say `delimiter: {json.dumps(sign[1].decode('utf-8', 'replace'))}` if it is "
            "no comma"
        ]
    if not any("://" in n for n in dialect.names):
        return []
    shape = [kind_of_text(n) for n in dialect.names]
    return [
        f"{name} seems to have no header: its first line is {shown(lines[0])}; "
        f"say `names: [{', '.join(shape)}]`, or `header: true` if these are names"
    ] if config.header is None else []  # fmt: skip


def kind_of_text(value: str) -> str:
    """A guess at a column's name by one of its values, for messages."""
    if "://" in value:
        return "url"
    return "number" if value.replace(".", "").replace("-", "").isdigit() else "text"


def _delimiter_misfits(name: str, dialect: Dialect, lines: list[bytes]) -> list[str]:
    if len(dialect.names) > 1 or len(lines) < 2:
        return []
    for other in DELIMITERS:
        counts = {line.count(other.encode()) for line in lines}
        if other != dialect.delimiter and len(counts) == 1 and counts != {0}:
            return [
                f"{name} has no {dialect.delimiter!r} in its first line, but {other!r}: "
                f"say `delimiter: {json.dumps(other)}`"
            ]
    return []


def _quote_misfits(profile: TextProfile, dialect: Dialect, lines: list[bytes]) -> list[str]:
    name = profile.item.name
    if not dialect.quoting:
        d = dialect.delimiter.encode()
        fields = [f for line in lines for f in line.split(d)]
        pairs = [f for f in fields if len(f) > 1 and f[:1] == f[-1:] == b'"']
        if len(pairs) >= 0.5 * max(len(fields), 1):
            return [f"{name} has its values in quotes, {shown(lines[0])}; say `quoting: true`"]
        return []
    stray = [f for f in profile.faults if "quote" in f]
    if len(stray) >= 10 and len(stray) >= 0.01 * (profile.sound + len(profile.faults)):
        return [
            f"{name} has quotes that enclose no values ({stray[0]}); say `quoting: false` "
            "if a quote is a letter there like any other"
        ]
    return []


def lines_beyond_ascii(profile: TextProfile, config: PairsConfig) -> int:
    """Lines with letters beyond ASCII in what was looked at."""
    count = 0
    for block in windows(profile.item, config, profile.parts is not None):
        array = np.frombuffer(block.data, np.uint8)
        lines = np.searchsorted(np.flatnonzero(array == 10), np.flatnonzero(array > 127))
        count += len(np.unique(lines))
    return count
