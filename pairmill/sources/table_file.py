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


def with_partition_columns(table: pa.Table, file: TableFile) -> pa.Table:
    """The table with a column of text for each Hive partition of the file's folders that it does
    not have itself.
    """
    for name, value in file.item.partitions:
        if name not in table.schema.names:
            table = table.append_column(
                name, pa.repeat(pa.scalar(value, pa.string()), table.num_rows)
            )
    return table


def json_schema(file: TableFile, schema: pa.Schema) -> pa.Schema:
    """The keys of a file of JSON lines; text where no value was seen, and where the column is text
    over all files, so that its numbers stay as they are spelled.
    """
    assert file.profile is not None
    of = {path: ours for ours, paths in file.mapping.made.items() for path in paths}
    of |= {theirs: ours for theirs, ours in file.mapping.others.items()}
    fields = []
    for name, guess in file.profile.guesses.items():
        dtype = guess.dtype()
        ours = schema.field(of[name]).type if name in of else dtype
        plain = not pa.types.is_nested(dtype) and pa.types.is_string(ours)
        fields.append((name, pa.string() if plain or pa.types.is_null(dtype) else dtype))
    return pa.schema(fields)
