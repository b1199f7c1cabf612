"""Column files: what one stage wrote of one shard, under the address of what decides it."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pairmill.schemas.arrow import ERROR, error_array, is_payload, payload_sizes
from pairmill.schemas.companions import companions, forgotten, mark_of, size_of, without_suffix
from pairmill.workspace.read_memory import READ
from pairmill.workspace.storage import Storage

FACTS = b"pairmill"
"""Key of what a file says of itself, in its metadata."""


def stored_schema(writes: pa.Schema) -> pa.Schema:
    """row, the stage's columns, what stands beside those with payload, error."""
    beside = [companion for field in writes for companion in companions(field)]
    return pa.schema([pa.field("row", pa.int32()), *writes, *beside, pa.field("error", ERROR)])


def with_sizes(table: pa.Table, writes: pa.Schema) -> pa.Table:
    """Adds `c#size` for each payload column `c`."""
    for field in writes:
        if is_payload(field.type):
            sizes = payload_sizes(table.column(field.name))
            table = table.append_column(size_of(field.name), sizes)
    return table


def none_forgotten(table: pa.Table, writes: pa.Schema) -> pa.Table:
    """Adds `c#forgotten`, false in every row, for each payload column `c`."""
    marks = pa.array(np.zeros(table.num_rows, bool))
    for field in writes:
        if is_payload(field.type):
            table = table.append_column(mark_of(field.name), marks)
    return table


def without_secrets(new: pa.Table) -> pa.Table:
    """The rows with failures that tell no secret."""
    errors = new.column("error")
    if errors.null_count == new.num_rows:
        return new
    clean = error_array([e and (e["class"] or "", e["message"] or "") for e in errors.to_pylist()])
    return new.set_column(new.schema.get_field_index("error"), "error", clean)


@dataclass(frozen=True)
class ColumnFile:
    """What one stage wrote of one shard: `writes` are its columns, `stored` what each is called in
    the file, `facts` what the file says of itself: where the columns lie that it was made from.
    """

    storage: Storage
    name: str
    writes: pa.Schema
    stored: Mapping[str, str]
    facts: Mapping[str, Any]

    def load(self, columns: Collection[str], near: np.ndarray | None = None) -> pa.Table | None:
        """`row`, `error` and the wanted columns of the rows computed so far, sorted by row; None if
        there are none.

        `near`: only the row groups that may hold some of these rows.
        """
        wanted = ["row", "error", *sorted(columns)]
        names = [self.spelled(c) for c in wanted]
        groups = None if near is None else lambda meta: groups_near(meta, near)

        def read() -> pa.Table:
            return self.storage.read_table(self.name, names, groups).combine_chunks()

        try:
            if near is None and self.storage.local:
                table = READ.read(self.storage.path(self.name), names, read)
            else:
                table = read()
        except FileNotFoundError:
            self.storage.check_there()
            return None
        return table.rename_columns(wanted)

    def spelled(self, column: str) -> str:
        """What a column of the stage, or one beside it, is called in the file."""
        plain = without_suffix(column)
        return self.stored.get(plain, plain) + column[len(plain) :]

    def schema(self) -> pa.Schema:
        """Of the file."""
        fields = (f.with_name(self.spelled(f.name)) for f in stored_schema(self.writes))
        return pa.schema(fields, metadata={FACTS: json.dumps(self.facts)})

    def commit(self, new: pa.Table) -> pa.Table:
        """Adds rows to the file atomically and gives back the rows of `new` as they are stored now.

        A row that is stored already stays as it is, so that every reader sees one value, unless
        what is stored is a failure or has lost its payload: then the new one takes its place.
        """
        return self.store(self.as_stored(new)).rename_columns(stored_schema(self.writes).names)

    def as_stored(self, new: pa.Table) -> pa.Table:
        """Rows as the file has them: its own names, and all that stands beside payload."""
        ours = stored_schema(self.writes)
        new = with_sizes(without_secrets(new), self.writes)
        new = none_forgotten(new, self.writes).select(ours.names)
        new = new.cast(ours).rename_columns([self.spelled(c) for c in ours.names])
        return new.cast(self.schema())

    def store(self, new: pa.Table) -> pa.Table:
        """The same of rows that `as_stored` gave."""
        schema = new.schema
        if self.storage.local:  # before a folder is made in its place
            self.storage.check_there()

        def merged(old: pa.Table | None) -> pa.Table:
            if old is None:
                if not self.storage.local:
                    self.storage.check_there()
                return new
            return merge(old.select(schema.names).cast(schema), new)

        stored = self.storage.update_table(self.name, merged, distinct=("row",))
        if stored is not new:
            wanted = pc.is_in(stored.column("row"), value_set=new.column("row").combine_chunks())
            stored = stored.filter(wanted).combine_chunks()
        return stored

    def evict(self, rows: Collection[int]) -> None:
        """Forgets the payload bytes of `rows` and marks them so; all other columns stay, the sizes
        too.
        """

        def without_bytes(table: pa.Table | None) -> pa.Table:
            if table is None:
                raise FileNotFoundError(self.name)
            gone = pc.is_in(table.column("row"), value_set=pa.array(sorted(rows), pa.int32()))
            for field in self.schema():
                if is_payload(field.type):
                    # A value without a byte (an empty list of tiles) stays: nothing is gained.
                    size = table.column(size_of(field.name))
                    lost = pc.fill_null(pc.and_(gone, pc.greater(size, 0)), False)
                    i = table.schema.get_field_index(mark_of(field.name))
                    marks = pc.or_(lost, table.column(i))
                    table = table.set_column(i, table.schema.field(i), marks)
                    i = table.schema.get_field_index(field.name)
                    kept = pc.if_else(lost, pa.scalar(None, field.type), table.column(i))
                    table = table.set_column(i, field, kept)
            return table

        self.storage.update_table(self.name, without_bytes, distinct=("row",))


def groups_at(sizes: Sequence[int], rows: np.ndarray) -> tuple[list[int], np.ndarray]:
    """Row groups of `sizes` rows each that hold the rows at places `rows` of a file, and their
    places within these groups.
    """
    ends = np.cumsum(np.asarray(sizes, np.int64))
    group = np.searchsorted(ends, rows, "right")
    chosen, at = np.unique(group, return_inverse=True)
    before = np.concatenate([[0], np.cumsum(np.asarray(sizes, np.int64)[chosen])]).astype(np.int64)
    return chosen.tolist(), rows - (ends - sizes)[group] + before[at]


def groups_near(meta: pq.FileMetaData, rows: np.ndarray) -> list[int]:
    """Row groups that may hold some of `rows`, by the statistics of the column `row`, which comes
    first.
    """
    found = []
    for i in range(meta.num_row_groups):
        statistics = meta.row_group(i).column(0).statistics
        if (
            statistics is None
            or not statistics.has_min_max
            or ((rows >= statistics.min) & (rows <= statistics.max)).any()
        ):
            found.append(i)
    return found


def merge(old: pa.Table, new: pa.Table) -> pa.Table:
    """The union of both, sorted by row: sound old rows first, then new ones, then old failures."""
    payload = [f.name for f in new.schema if is_payload(f.type)]
    sound = np.array(pc.is_null(old.column("error")))
    for name in payload:
        sound &= ~forgotten(old, name)
    both = pa.concat_tables([old, new]).combine_chunks()
    rank = np.concatenate([np.where(sound, 0, 2), np.ones(new.num_rows, np.int64)])
    rows = np.asarray(both.column("row"))
    order = np.lexsort((rank, rows))
    first = np.append(True, rows[order][1:] != rows[order][:-1])[: len(rows)]
    return both.take(pa.array(order[first]))
