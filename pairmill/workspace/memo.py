"""What the workspace remembers of files it has read, so that a known one is not read again.

`ingest/<first unit>.<all units>.parquet` tells of a segment: neighbouring units of a source (files,
as a rule) that begin and end on boundaries.  It holds their shards, and whatever else reading them
told, so that what is told of a table does not depend on what was read before.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pairmill.errors import CorruptWorkspace
from pairmill.schemas.hashing import digest
from pairmill.workspace.shards import ShardFacts, stored_files
from pairmill.workspace.storage import Storage
from pairmill.workspace.tables import Table, facts_in, lines_of
from pairmill.workspace.told import Notes
from pairmill.workspace.uids import SeenUids

FOLDER = "ingest"
FACTS = b"pairmill"
FRESH = "fresh"
"""Column of the hashes of all uids, a part of them in each line."""
KEPT_ROWS = 2**21
"""Rows of segments that are kept once they are opened: eight bytes each."""
GROUP_HASHES = 2**20
"""Hashes in one row group, so that writing them takes little memory."""


@dataclass
class Segment:
    """Neighbouring units that begin and end on boundaries.

    `units`: their keys; `first`, `last`: document ids of their first and last row, None where the
    input has none; `next`: the place that the last row has in its document; `large`: whether the
    first unit has shards of its own; `due`: whether the last shard ends here whatever comes next.
    """

    units: list[str] = field(default_factory=list)
    shards: list[ShardFacts] = field(default_factory=list)
    seen: list[SeenUids] = field(default_factory=list)
    notes: list[Notes] = field(default_factory=list)
    first: str | None = None
    last: str | None = None
    next: int = 0
    large: bool = False
    due: bool = False

    @property
    def rows(self) -> int:
        """Rows of all shards."""
        return sum(s.rows for s in self.shards)


def segment_file(units: Sequence[str]) -> str:
    """Where a segment is remembered."""
    return f"{FOLDER}/{units[0]}.{digest(list(units))}.parquet"


def remember(storage: Storage, segment: Segment) -> None:
    """Stores a segment with rows."""
    seen = SeenUids.together(segment.seen)
    facts = {
        "units": segment.units,
        "notes": [n.to_json() for n in segment.notes],
        "repeats": seen.repeats,
        "first": segment.first,
        "last": segment.last,
        "next": segment.next,
        "large": segment.large,
        "due": segment.due,
    }
    lines = lines_of(Table.of("", segment.shards, 0, ()))
    count = len(segment.shards)
    ends = np.arange(count + 1, dtype=np.int64) * len(seen.fresh) // count
    hashes = pa.LargeListArray.from_arrays(pa.array(ends), pa.array(seen.fresh))
    lines = lines.append_column(FRESH, hashes)
    at_once = max(1, GROUP_HASHES * count // max(1, len(seen.fresh)))
    name = segment_file(segment.units)
    told = lines.replace_schema_metadata({FACTS: json.dumps(facts)})
    storage.write_table(name, told, row_group_size=at_once)


class Memory:
    """The segments that a workspace remembers; `shards`: files of shards that are there."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.shards = set(stored_files(storage))
        self.kept: dict[str, Segment] = {}
        self.room = KEPT_ROWS
        self.names: dict[str, list[str]] = {}
        for name, _ in storage.files(FOLDER):
            first = name.removeprefix(f"{FOLDER}/").partition(".")[0]
            self.names.setdefault(first, []).append(name)

    def find(self, keys: Sequence[str], at: int, schema: pa.Schema) -> Segment | None:
        """The longest segment that begins with the unit at a place, if all its files are there."""
        found = (self.opened(name) for name in self.names.get(keys[at], ()))
        fitting = [
            s
            for s in found
            if s is not None
            and s.units == list(keys[at : at + len(s.units)])
            and all(self.shards.issuperset(shard.files(schema)) for shard in s.shards)
        ]
        return max(fitting, key=lambda s: len(s.units), default=None)

    def opened(self, name: str) -> Segment | None:
        """A segment as it was remembered; None where it cannot be read: then its files are.  It is
        asked for several times, and kept meanwhile, if it is not large.
        """
        if name not in self.kept:
            segment = self.read(name)
            if segment is None or self.room < segment.rows:
                return segment
            self.kept[name] = segment
            self.room -= segment.rows
        return self.kept[name]

    def read(self, name: str) -> Segment | None:
        """The same, read."""
        try:
            lines = self.storage.read_table(name)
            facts = json.loads((lines.schema.metadata or {})[FACTS])
            fresh = np.asarray(pc.list_flatten(lines.column(FRESH)).combine_chunks(), np.uint64)
            seen = SeenUids(fresh, tuple((u, b, a) for u, b, a in facts["repeats"]))
            return Segment(
                facts["units"],
                facts_in(lines.drop_columns([FRESH])),
                [seen],
                [Notes.from_json(n) for n in facts["notes"]],
                *(facts[key] for key in ("first", "last", "next", "large", "due")),
            )
        except (FileNotFoundError, CorruptWorkspace, LookupError, TypeError, ValueError):
            return None
