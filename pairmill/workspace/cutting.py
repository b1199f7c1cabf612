"""Where shards begin and end: boundaries follow from the rows near them.

A row weighs one part in `rows_per_shard`, or its payload's part of half of SHARD_BYTES if that is
more.  From half a shard's weight on a boundary stands behind a row whose uid says so (a chance that
grows with the row's weight), at one and a half in any case, and always where a document ends.  So a
row more or less moves the boundaries near it, until the next one that both sides have in common.

A unit of the input (a file) of at least half a shard begins and ends on boundaries of its own: what
comes before and behind it does not move its shards.  Smaller ones stay whole, and stand together.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pairmill.schemas.arrow import is_payload, payload_sizes

SHARD_BYTES = 64 * 2**20
"""Payload of one shard, so that memory follows the bytes of images and not their number."""
ONE = 2**30
"""The weight of a shard as it should be; whole numbers add up the same in any order."""
RIPE, FULL = ONE // 2, ONE + ONE // 2
"""From where on a shard may end, and where it ends at the next document."""


def weights(rows: pa.Table, rows_per_shard: int) -> np.ndarray:
    """int64, one a row."""
    found = np.full(rows.num_rows, ONE // rows_per_shard, np.int64)
    for part in rows.schema:
        if is_payload(part.type):
            sizes = np.asarray(pc.fill_null(payload_sizes(rows.column(part.name)), 0))
            found = np.maximum(found, sizes.astype(np.int64) * ONE // (SHARD_BYTES // 2))
    return found


@dataclass
class CutRows:
    """Some rows in order, with what decides where they are cut."""

    table: pa.Table
    weight: np.ndarray
    ends: np.ndarray
    """bool: a boundary may stand behind the row because of its uid."""
    begins: np.ndarray
    """bool: the row begins a document."""

    @classmethod
    def of(
        cls, table: pa.Table, rows: pa.Table, hashes: np.ndarray, rows_per_shard: int
    ) -> "CutRows":
        """`table` stands for `rows` of a source, and has their positions; `hashes`: of their
        uids.
        """
        weight = weights(rows, rows_per_shard)
        # a uid of hex digits is a hash, of which the first digits order it: other bits decide here
        mixed = hashes * np.uint64(0x9E3779B97F4A7C15)
        chance = (mixed >> np.uint64(34)).astype(np.int64)
        begins = np.asarray(table.column("position").combine_chunks()) == 0
        return cls(table, weight, chance < 2 * weight, begins)

    def __len__(self) -> int:
        return self.table.num_rows

    def slice(self, first: int, last: int | None = None) -> "CutRows":
        """The rows from `first` to before `last`."""
        part = slice(first, last)
        length = None if last is None else last - first
        return CutRows(
            self.table.slice(first, length), self.weight[part], self.ends[part], self.begins[part]
        )


@dataclass
class Cutter:
    """Cuts a stream of units into shards.  `open`: the rows of the shard that has no end yet."""

    open: list[CutRows] = field(default_factory=list)
    weight: int = 0
    due: bool = False
    """Whether the open shard ends before the next row that begins a document, whatever comes."""

    was_due: bool = False
    """The same of the last shard that ended."""
    was_large: bool = False
    """Whether the last unit has shards of its own."""

    def flush(self) -> pa.Table | None:
        """The open shard, which ends here; None where no row is open."""
        if self.open:
            self.was_due = self.due
        rows, self.open, self.weight, self.due = self.open, [], 0, False
        return pa.concat_tables([r.table for r in rows]) if rows else None

    def take(self, rows: CutRows) -> None:
        """CutRows join the open shard, and may make its end due."""
        if not len(rows):
            return
        reached = self.weight + np.cumsum(rows.weight)
        self.due |= bool(np.any((reached >= RIPE) & (rows.ends | (reached >= FULL))))
        self.open.append(rows)
        self.weight = int(reached[-1])

    def unit(self, parts: Iterator[CutRows]) -> Iterator[tuple[pa.Table, bool]]:
        """Takes one unit; yields the shards that end before or within it, and which it is."""
        waiting: list[CutRows] = []
        for rows in parts:
            waiting.append(rows)
            if sum(int(r.weight.sum()) for r in waiting) >= RIPE:
                break
        else:
            self.was_large = False
            yield from self.small(waiting)
            return
        self.was_large = True
        yield from self.large(waiting, parts)

    def small(self, rows: list[CutRows]) -> Iterator[tuple[pa.Table, bool]]:
        """A unit that stays whole, and may stand with others in one shard."""
        if rows and self.due and rows[0].begins[0] and (ended := self.flush()) is not None:
            yield ended, True
        for part in rows:
            self.take(part)

    def large(
        self, waiting: list[CutRows], parts: Iterator[CutRows]
    ) -> Iterator[tuple[pa.Table, bool]]:
        """A unit that begins and ends on boundaries."""
        if waiting[0].begins[0] and (ended := self.flush()) is not None:
            yield ended, True
        ahead = joined(waiting)
        while True:
            while (cut := self.cut(ahead)) is not None:
                self.take(ahead.slice(0, cut))
                ended = self.flush()
                assert ended is not None
                yield ended, False
                ahead = ahead.slice(cut)
            more = next(parts, None)
            if more is None:
                break
            ahead = joined([ahead, more])
        self.take(ahead)
        self.due = True

    def cut(self, ahead: CutRows) -> int | None:
        """How many of the rows ahead end the open shard: at least one, and as many stay behind as
        make half a shard, so that the unit's last shard is no small one.
        """
        reached = self.weight + np.cumsum(ahead.weight)
        wanted = (reached >= RIPE) & (ahead.ends | (reached >= FULL))
        if not (self.due or wanted.any()):
            return None
        first = 0 if self.due else int(np.argmax(wanted)) + 1
        begins = np.flatnonzero(ahead.begins[first:])
        if not len(begins):
            return None
        at = first + int(begins[0])
        return at if int(ahead.weight[at:].sum()) >= RIPE else None


def joined(rows: list[CutRows]) -> CutRows:
    """Pieces of a unit as one."""
    if len(rows) == 1:
        return rows[0]
    return CutRows(
        pa.concat_tables([r.table for r in rows]),
        np.concatenate([r.weight for r in rows]),
        np.concatenate([r.ends for r in rows]),
        np.concatenate([r.begins for r in rows]),
    )
