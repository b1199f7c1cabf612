"""What a person must be told of the input: unreadable rows, repairs, repeated uids, files left
out.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from pairmill.sources.base import Remark, Unreadable
from pairmill.sources.spelled_out import ALONE

EXAMPLES = 3
ORDINARY = frozenset({ALONE, "equal rows", "rows with copied payload", "skipped files"})
"""Kinds that are worth a word and no fault: copies in web data, a README beside the data, facts
that are objects in every row.
"""


@dataclass(frozen=True)
class Told:
    """What reading skipped, repaired or could not read: how often, and the first places."""

    kind: str
    count: int
    examples: tuple[str, ...]

    @property
    def ordinary(self) -> bool:
        """Whether it is to be expected, and nothing to be warned of."""
        return self.kind in ORDINARY

    def __str__(self) -> str:
        more = "; …" if self.count > len(self.examples) else ""
        return f"{self.kind}: {self.count:,} ({'; '.join(self.examples)}{more})"


class Notes:
    """Unreadable rows and remarks of a source while it is read."""

    def __init__(self, remarks: Iterable[Remark] = ()) -> None:
        self.unreadable: list[Unreadable] = []
        self.counts: Counter[str] = Counter()
        self.examples: dict[str, list[str]] = {}
        for remark in remarks:
            self.add(remark)

    def add(self, part: Unreadable | Remark) -> None:
        """Takes in unreadable rows or a remark, with its place as an example."""
        if isinstance(part, Unreadable):
            self.unreadable.append(part)
            column = f", column {part.column!r}" if part.column else ""
            self._tell("unreadable rows", part.rows, f"{part.location}{column}: {part.reason}")
        else:
            self._tell(part.kind, part.count, f"{part.location}: {part.what}")

    def _tell(self, kind: str, count: int, example: str) -> None:
        self.counts[kind] += count
        examples = self.examples.setdefault(kind, [])
        if len(examples) < EXAMPLES and example not in examples:
            examples.append(example)

    def join(self, other: "Notes") -> None:
        """What was told of the next unit of the input."""
        self.unreadable += other.unreadable
        self.counts.update(other.counts)
        for kind, examples in other.examples.items():
            mine = self.examples.setdefault(kind, [])
            mine += [e for e in examples if e not in mine][: EXAMPLES - len(mine)]

    def to_json(self) -> dict[str, Any]:
        """As the workspace remembers it of a unit of the input."""
        unreadable = [[u.location, u.reason, u.column, u.rows] for u in self.unreadable]
        return {"unreadable": unreadable, "counts": self.counts, "examples": self.examples}

    @classmethod
    def from_json(cls, facts: dict[str, Any]) -> "Notes":
        """What `to_json` made."""
        notes = cls()
        notes.unreadable = [Unreadable(*parts) for parts in facts["unreadable"]]
        notes.counts = Counter(facts["counts"])
        notes.examples = {kind: list(examples) for kind, examples in facts["examples"].items()}
        return notes

    def told(self) -> tuple[Told, ...]:
        """What was noted, by kind in alphabetical order."""
        return tuple(Told(k, n, tuple(self.examples[k])) for k, n in sorted(self.counts.items()))

    def table(self) -> pa.Table:
        """unreadable.parquet: where, in which column, why, and for how many rows."""
        return pa.table(
            {
                "location": pa.array([u.location for u in self.unreadable], pa.string()),
                "column": pa.array([u.column for u in self.unreadable], pa.string()),
                "reason": pa.array([u.reason for u in self.unreadable], pa.string()),
                "rows": pa.array([u.rows for u in self.unreadable], pa.int64()),
            }
        )
