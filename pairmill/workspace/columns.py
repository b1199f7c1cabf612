"""Column sets: what one stage wrote under one identity, one Parquet file per shard."""

from collections.abc import Collection, Sequence

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pairmill.schemas.arrow import ERROR, SIZE_SUFFIX, error_array, is_payload, payload_sizes
from pairmill.workspace.storage import Storage


def shard_file(shard: int) -> str:
    return f"shard-{shard:06d}.parquet"


def stored_schema(writes: pa.Schema) -> pa.Schema:
    """row, the stage's columns, the sizes of its payload columns, error."""
    sizes = [pa.field(f.name + SIZE_SUFFIX, pa.int64()) for f in writes if is_payload(f.type)]
    return pa.schema([pa.field("row", pa.int32()), *writes, *sizes, pa.field("error", ERROR)])


def with_sizes(table: pa.Table, writes: pa.Schema) -> pa.Table:
    """Adds `c#size` for each payload column `c`."""
    for field in writes:
        if is_payload(field.type):
            sizes = payload_sizes(table.column(field.name))
            table = table.append_column(field.name + SIZE_SUFFIX, sizes)
    return table


def without_secrets(new: pa.Table) -> pa.Table:
    """The rows with failures that tell no secret."""
    errors = new.column("error")
    if errors.null_count == new.num_rows:
        return new
    clean = error_array([e and (e["class"] or "", e["message"] or "") for e in errors.to_pylist()])
    return new.set_column(new.schema.get_field_index("error"), "error", clean)


class ColumnStore:
    """Reads and commits the column files of a workspace."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage

    def load(
        self, column_set: str, shard: int, columns: Collection[str], near: np.ndarray | None = None
    ) -> pa.Table | None:
        """`row`, `error` and the wanted columns of the rows computed so far, sorted by row; None if
        there are none.

        `near`: only the row groups that may hold some of these rows.
        """
        name, wanted = (
            f"columns/{column_set}/{shard_file(shard)}",
            ["row", "error", *sorted(columns)],
        )
        try:
            table = self.storage.read_table(
                name, wanted, None if near is None else lambda meta: groups_near(meta, near)
            )
        except FileNotFoundError:
            self.storage.check_there()
            return None
        return table.combine_chunks()

    def commit(self, column_set: str, shard: int, new: pa.Table, writes: pa.Schema) -> pa.Table:
        """Adds rows to a shard's file atomically and gives back the rows of `new` as they are
        stored now.

        A row that is stored already stays as it is, so that every reader sees one value, unless
        what is stored is a failure or has lost its payload: then the new one takes its place.
        """
        new = (
            with_sizes(without_secrets(new), writes)
            .select(stored_schema(writes).names)
            .cast(stored_schema(writes))
        )
        name = f"columns/{column_set}/{shard_file(shard)}"
        if self.storage.local:  # before a folder is made in its place
            self.storage.check_there()

        def merged(old: pa.Table | None) -> pa.Table:
            if old is None:
                if not self.storage.local:
                    self.storage.check_there()
                return new
            return merge(old.select(new.schema.names).cast(new.schema), new, writes)

        stored = self.storage.update_table(name, merged)
        if stored is new:
            return new
        wanted = pc.is_in(stored.column("row"), value_set=new.column("row").combine_chunks())
        return stored.filter(wanted).combine_chunks()

    def evict(self, column_set: str, shard: int, rows: Collection[int], writes: pa.Schema) -> None:
        """Forgets the payload bytes of `rows`; their sizes turn negative, all other columns stay."""

        def forgotten(table: pa.Table | None) -> pa.Table:
            if table is None:
                raise FileNotFoundError(name)
            gone = pc.is_in(table.column("row"), value_set=pa.array(sorted(rows), pa.int32()))
            for field in writes:
                if is_payload(field.type):
                    i = table.schema.get_field_index(field.name + SIZE_SUFFIX)
                    size = table.column(i)
                    # A value without a byte (an empty list of tiles) stays: nothing is gained, and
                    # no size below zero would tell that it is gone.
                    lost = pc.fill_null(pc.and_(gone, pc.greater(size, 0)), False)
                    table = table.set_column(
                        i, table.schema.field(i), pc.if_else(lost, pc.negate(size), size)
                    )
                    i = table.schema.get_field_index(field.name)
                    kept = pc.if_else(lost, pa.scalar(None, field.type), table.column(i))
                    table = table.set_column(i, field, kept)
            return table

        name = f"columns/{column_set}/{shard_file(shard)}"
        self.storage.update_table(name, forgotten)


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


def merge(old: pa.Table, new: pa.Table, writes: pa.Schema) -> pa.Table:
    """The union of both, sorted by row: sound old rows first, then new ones, then old failures."""
    payload = [f.name for f in writes if is_payload(f.type)]
    sound = pc.is_null(old.column("error"))
    for name in payload:
        lost = pc.fill_null(pc.less(old.column(name + SIZE_SUFFIX), 0), False)
        sound = pc.and_(sound, pc.invert(lost))
    both = pa.concat_tables([old, new]).combine_chunks()
    rank = np.concatenate([np.where(np.asarray(sound), 0, 2), np.ones(new.num_rows, np.int64)])
    order = (
        pl.DataFrame(
            {"row": np.asarray(both.column("row")), "rank": rank, "at": np.arange(both.num_rows)}
        )
        .sort("row", "rank")
        .unique("row", keep="first", maintain_order=True)["at"]
    )
    return both.take(pa.array(order.to_numpy()))
