"""Values that are of another type than a look at the files gave: how many of them are the type's
fault and not the rows'.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from pairmill.errors import RunError
from pairmill.sources.base import Unreadable

MISFITS, MISFIT_SHARE = 1000, 0.01
"""Values of one column that do not fit its type, and their share of the rows, from which on the
type is at fault and not the rows.
"""


Heard = Callable[[int, Sequence[Unreadable]], None]
"""Counts rows and misfits."""


class TypeChanges(RunError):
    """Too many values of a column do not fit the type that a look at the files gave."""

    def __init__(self, column: str, dtype: pa.DataType, first: Unreadable, count: int) -> None:
        super().__init__(
            f"column {column!r} is {dtype} by a look at the beginning, middle and end of the "
            "files, "
            f"but {count:,} values are not; the first: {first.location}, {first.reason}. "
            f"Say `types: {{{column}: text}}` (or float64) in the source"
        )


@dataclass
class Misfits:
    """Rows that were read so far, and values among them that do not fit, by column."""

    rows: int = 0
    counts: Counter[str] = field(default_factory=Counter)

    def passed(self, rows: int, faults: list[Unreadable]) -> None:
        """A file that is known already."""
        self.rows += rows + len(faults)
        self.counts.update(fault.column or "" for fault in faults)

    def heard(self, types: pa.Schema, rows: int, faults: Sequence[Unreadable]) -> None:
        """Rows that were read, and values among them that do not fit; raises TypeChanges."""
        self.rows += rows
        for fault in faults:
            column = fault.column or ""
            self.counts[column] += 1
            if self.counts[column] > max(MISFITS, MISFIT_SHARE * self.rows):
                raise TypeChanges(column, types.field(column).type, fault, self.counts[column])
