"""Where rows that were read stand in the table: uids that no other row has, places in documents,
and what decides in which shard they are.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pairmill.sources.base import Remark
from pairmill.workspace.cutting import CutRows
from pairmill.workspace.digests import uid_hashes
from pairmill.workspace.parts import PLACED, ReadPart
from pairmill.workspace.told import Notes
from pairmill.workspace.uids import UniqueUids


class Positions:
    """Counts rows within documents; neighbouring rows with one doc_id are one document."""

    def __init__(self) -> None:
        self.last: str | None = None
        self.next = 0

    def number(self, doc_ids: pa.Array) -> np.ndarray:
        """int32: position of each row in its document, from 0; counting goes on from the call
        before.
        """
        rows = np.arange(len(doc_ids))
        begins = np.ones(len(doc_ids), bool)
        begins[1:] = np.asarray(pc.not_equal(doc_ids[1:], doc_ids[:-1]))
        begins[0] = doc_ids[0].as_py() != self.last
        start = np.maximum.accumulate(np.where(begins, rows, -1 - self.next))
        found = (rows - start).astype(np.int32)
        self.last, self.next = doc_ids[-1].as_py(), int(found[-1])
        return found


class Placing:
    """Gives the parts of a source, one after another, their places."""

    def __init__(self) -> None:
        self.positions, self.uids = Positions(), UniqueUids()

    def place(
        self, number: int, part: ReadPart, rows_per_shard: int, notes: Notes
    ) -> tuple[CutRows, str]:
        """(a part's rows, ready to be cut; the first one's document).  `number`: the part's."""
        rows = part.rows
        count, hashes = rows.num_rows, np.asarray(rows.column("#hash"))
        repeated = self.uids.repeated(hashes)
        changed = pa.nulls(count, pa.string())
        if len(repeated):
            at = pa.array(repeated)
            old = rows.column("#uid").take(at).to_pylist()
            self.tell(part, repeated, old, notes)
            new = self.uids.others(old)
            changed = spread(new, repeated, count)
            hashes = hashes.copy()
            hashes[repeated] = uid_hashes(pa.array(new, pa.string()))
        first = changed[0].as_py() or rows.column("#uid")[0].as_py()
        if part.documents:
            uids = pc.coalesce(changed, rows.column("#uid"))
            docs = pc.coalesce(rows.column("#document"), uids)
            numbers, first = self.positions.number(docs), docs[0].as_py()
        else:
            numbers = np.zeros(count, np.int32)
            self.positions.last = None
        columns = [np.full(count, number, np.int32), np.arange(count, dtype=np.int32), numbers]
        placed = pa.table([*map(pa.array, columns), changed], schema=PLACED)
        narrow = pa.Table.from_batches([rows])
        return CutRows.of(placed, narrow, hashes, rows_per_shard), first

    def tell(self, part: ReadPart, rows: np.ndarray, uids: list[str], notes: Notes) -> None:
        """A word on rows whose uid was there before."""
        for i, uid in zip(rows.tolist(), uids, strict=True):
            where = f"{part.rows.column('source')[i].as_py()}" if part.source else "the input"
            if not part.rows.column("#given")[i].as_py():
                same = "url, text and image are those of a row before"
                notes.add(Remark("equal rows", where, same))
            else:
                what = f"{uid!r} is the uid of a row before; this one got another"
                notes.add(Remark("repeated uids", where, what))


def spread(values: list[str], rows: np.ndarray, count: int) -> pa.Array:
    """Texts at some rows of `count`, null elsewhere."""
    at = np.zeros(count, np.int64)
    at[rows] = np.arange(len(rows))
    lacks = np.ones(count, bool)
    lacks[rows] = False
    return pa.array(values, pa.string()).take(pa.array(at, mask=lacks))
