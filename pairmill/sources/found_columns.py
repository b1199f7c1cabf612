"""What is known of a file before the columns of all files are compared, and how that is written
down for the next run.
"""

import base64
import json
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from pairmill.sources.base import Input
from pairmill.sources.file_looks import FileLook, Stamp
from pairmill.sources.guesses import Guess
from pairmill.sources.quoted import Dialect
from pairmill.sources.text_profile import TextProfile


@dataclass(frozen=True)
class FileColumns:
    """Its columns; `profile`: of a text format; `rows`: where the file's footer tells."""

    item: Input
    kind: str
    schema: pa.Schema
    profile: TextProfile | None = None
    rows: int | None = None
    whole: bool = True
    """Whether all of it was looked at."""


@dataclass
class WrittenColumns:
    """Columns of files as texts, and back; most files of a source have the same."""

    schemas: dict[pa.Schema, str] = field(default_factory=dict)
    read: dict[str, tuple[pa.Schema, TextProfile | None]] = field(default_factory=dict)

    def look(self, columns: FileColumns, stamp: Stamp, whole: bool) -> FileLook | None:
        """As it is remembered; None of a file of which rows could not be read: who reads it next
        looks at it again.
        """
        profile = columns.profile
        if profile is None:
            if (found := self.schemas.get(columns.schema)) is None:
                data = base64.b64encode(columns.schema.serialize()).decode()
                found = self.schemas[columns.schema] = json.dumps({"schema": data})
            return FileLook(stamp, columns.kind, whole, found, columns.rows)
        if profile.faults or profile.problems or profile.damage is not None:
            return None
        dialect = profile.dialect
        told = {
            "dialect": dialect and [getattr(dialect, name) for name in DIALECT],
            "guesses": {name: guess_told(guess) for name, guess in profile.guesses.items()},
            "old_line_ends": profile.old_line_ends,
        }
        found = json.dumps(told, ensure_ascii=False)
        return FileLook(stamp, columns.kind, whole, found, profile.sound)

    def columns(self, item: Input, look: FileLook) -> FileColumns | None:
        """What was found at a file; None where that is not as it was written."""
        try:
            if look.found not in self.read:
                self.read[look.found] = columns_in(json.loads(look.found), item, look.kind)
            schema, like = self.read[look.found]
        except (ValueError, LookupError, TypeError, AttributeError, pa.ArrowException):
            return None
        if like is None:
            return FileColumns(item, look.kind, schema, rows=look.rows)
        profile = TextProfile(item, look.kind, like.dialect, like.guesses, look.rows or 0)
        profile.old_line_ends = like.old_line_ends
        return FileColumns(item, look.kind, schema, profile, whole=look.whole)


DIALECT = ("names", "delimiter", "quoting", "null_values")


def columns_in(told: Any, item: Input, kind: str) -> tuple[pa.Schema, TextProfile | None]:
    """The columns that a text tells."""
    if "schema" in told:
        return pa.ipc.read_schema(pa.py_buffer(base64.b64decode(told["schema"]))), None
    profile = TextProfile(item, kind, old_line_ends=bool(told["old_line_ends"]))
    if told["dialect"] is not None:
        names, delimiter, quoting, null_values = told["dialect"]
        profile.dialect = Dialect(tuple(names), delimiter, quoting, tuple(null_values))
    profile.guesses = {name: guess_in(guess) for name, guess in told["guesses"].items()}
    return profile.schema(), profile


def guess_told(guess: Guess) -> list[Any]:
    """As plain data."""
    items = None if guess.items is None else guess_told(guess.items)
    return [sorted(guess.kinds), guess.low, guess.high, items]


def guess_in(told: list[Any]) -> Guess:
    """Out of plain data."""
    kinds, low, high, items = told
    return Guess(set(kinds), int(low), int(high), None if items is None else guess_in(items))
