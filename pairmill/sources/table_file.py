"""One file of a table source, and the parts in which it can be read."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa

from pairmill.sources.base import Input
from pairmill.sources.names import FileMapping
from pairmill.sources.parquet_files import PART_BYTES, row_groups
from pairmill.sources.text_profile import TextProfile
from pairmill.sources.text_ranges import RANGE_BYTES, text_ranges
from pairmill.sources.text_stream import TextRange


@dataclass(frozen=True)
class TableFile:
    """One input file: its columns in the input's names, and what they become."""

    item: Input
    kind: str
    schema: pa.Schema
    mapping: FileMapping
    profile: TextProfile | None = None
    """Of a text format."""
    rows: int | None = None
    """Where the file's footer tells."""
    own: frozenset[str] = frozenset()
    """Columns that stand in the file itself."""
    encoding: str = "utf-8"
    """Of a text format."""

    @cached_property
    def within(self) -> Sequence[range | TextRange | None]:
        """The parts of a file that can be read one without the other: row groups, or bytes; found
        once, also for other processes.
        """
        if self.kind == "parquet":
            return list(row_groups(self.item, self.rows or 0, PART_BYTES))
        if self.profile is not None and self.profile.parts is None:
            return text_ranges(self.item, self.encoding, self.profile.dialect, RANGE_BYTES) or [
                None
            ]
        return [None]
