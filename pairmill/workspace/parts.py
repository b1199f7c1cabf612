"""Rows as they are read, before they have their place in the table: what depends on them alone.

Reading and storing take nearly all the time and know nothing of other rows, so processes of their
own may do both; between them stands what does (uids that no other row has, documents, shards), for
which a few bytes of each row are enough.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pairmill.addresses import without_credentials
from pairmill.schemas import hash_columns
from pairmill.workspace.digests import mixed, uid_hashes

MADE = {
    "#uid": pa.string(),
    "#given": pa.bool_(),
    "#document": pa.string(),
    "#position": pa.int64(),
    "#hash": pa.uint64(),
}
"""Columns of a part beside the table's: the uid as the row has it, whether the input gives it, the
document and the place in it that the input gives, 64 bits of the uid.
"""
UID_BYTES = 16
"""Of a digest that a uid is made of."""
OWN = ("uid", "doc_id", "position")
"""Columns of the table that are known when a row has its place."""
PLACED = pa.schema(
    [("part", pa.int32()), ("row", pa.int32()), ("position", pa.int32()), ("uid", pa.string())]
)
"""A row that has its place: where its part has it, its place in its document, and its uid where it
is another than the part says.
"""


@dataclass(frozen=True)
class InFile:
    """Rows of a batch of a file of Arrow batches: `count` from `first` on."""

    file: str
    batch: int
    first: int
    count: int

    def rows(self) -> pa.RecordBatch:
        """The rows, which are mapped, not read."""
        return batch_in(self.file, self.batch).slice(self.first, self.count)


@dataclass(frozen=True)
class InMemory:
    """Rows of a batch: `count` from `first` on."""

    batch: pa.RecordBatch
    first: int
    count: int

    def rows(self) -> pa.RecordBatch:
        """The rows."""
        return self.batch.slice(self.first, self.count)


@lru_cache(4)
def batch_in(file: str, batch: int) -> pa.RecordBatch:
    """A batch of a file; tiny files of the input have rows in one batch, one after another."""
    with pa.memory_map(file) as stream:
        return pa.ipc.open_file(stream).get_batch(batch)


@dataclass
class ReadPart:
    """Rows of one unit of the input, in order.  `documents`, `positions`: whether the input tells
    of them; `source`: whether it says where a row comes from.
    """

    where: InFile | InMemory
    documents: bool
    positions: bool
    source: bool

    @cached_property
    def rows(self) -> pa.RecordBatch:
        """The rows."""
        return self.where.rows()

    def __getstate__(self) -> dict[str, Any]:
        """What is mapped stays behind."""
        return {k: v for k, v in vars(self).items() if k != "rows"}


def read_parts(part: pa.Table, schema: pa.Schema) -> Iterator[ReadPart]:
    """A source's rows with a table's columns; as one part, unless they are very large."""
    n, names = part.num_rows, part.schema.names
    have: dict[str, Any] = {name: part.column(name) for name in names}
    have["text"] = pc.cast(have.get("text", pa.nulls(n)), pa.string())
    have["url"] = clean_urls(pc.cast(have.get("url", pa.nulls(n)), pa.string()))
    if "uid" in have:
        given = pc.cast(have["uid"], pa.string())
        given = whole(pc.if_else(pc.equal(given, ""), None, given))
        is_given = pc.is_valid(given)
        uids = pc.coalesce(given, row_uids(have, ~np.asarray(is_given)))
        hashes = uid_hashes(uids)
    else:
        is_given = pa.array(np.zeros(n, bool))
        digests = hash_columns.row_digests(hashed(have), UID_BYTES)
        uids, hashes = hash_columns.hexadecimal(digests, UID_BYTES), mixed(digests)
    documents, positions = "doc_id" in have, {"doc_id", "position"} <= set(names)
    ours = {
        "#uid": uids,
        "#given": is_given,
        "#document": have.get("doc_id"),
        "#position": have["position"] if positions else None,
        "#hash": pa.array(hashes),
    }
    columns = {f.name: as_field(have.get(f.name), f.type, n) for f in schema if f.name not in OWN}
    columns |= {name: as_field(ours[name], kind, n) for name, kind in MADE.items()}
    for batch in pa.table(columns).combine_chunks().to_batches():
        where = InMemory(batch, 0, batch.num_rows)
        yield ReadPart(where, documents, positions, "source" in have)


def parts_together(tables: Sequence[pa.Table], schema: pa.Schema) -> list[list[ReadPart]]:
    """The same of each of several tables with the same columns, as slices of one batch: what is
    made of rows costs far more for each table than for each row.
    """
    found = list(read_parts(pa.concat_tables(tables), schema)) if len(tables) > 1 else []
    if len(found) != 1:
        return [list(read_parts(table, schema)) for table in tables]
    sizes = [table.num_rows for table in tables]
    batch = found[0].rows
    return [
        [replace(found[0], where=InMemory(batch, end - size, size))]
        for size, end in zip(sizes, itertools.accumulate(sizes), strict=True)
    ]


def placed_rows(placed: pa.Table, parts: Mapping[int, ReadPart], schema: pa.Schema) -> pa.Table:
    """A shard's rows with a table's columns, whole documents in the order that the input gives."""
    numbers, rows = (np.asarray(placed.column(c).combine_chunks()) for c in ("part", "row"))
    starts = np.concatenate([[0], np.flatnonzero(np.diff(numbers)) + 1, [len(numbers)]])
    pieces = [
        parts[int(numbers[first])].rows.slice(int(rows[first]), last - first)
        for first, last in itertools.pairwise(starts.tolist())
    ]
    found = pa.Table.from_batches(pieces).combine_chunks()
    uids, changed = found.column("#uid"), placed.column("uid")
    if changed.null_count < len(changed):
        uids = pc.coalesce(changed, uids)
    documents = found.column("#document")
    own = {
        "uid": uids,
        "doc_id": uids if documents.null_count == len(documents) else pc.coalesce(documents, uids),
        "position": placed.column("position"),
    }
    table = pa.table([own.get(f.name) or found.column(f.name) for f in schema], schema=schema)
    if not any(parts[n].positions for n in np.unique(numbers).tolist()):
        return table
    return in_order(table, np.asarray(pc.fill_null(found.column("#position"), 2**62)))


def without_rest(rows: pa.Table) -> pa.Table:
    """The rows in memory of their own: a slice travels with all that it is a slice of."""
    columns = [pa.concat_arrays(column.chunks) for column in rows.columns]
    return pa.Table.from_arrays(columns, schema=rows.schema)


def in_order(table: pa.Table, given: np.ndarray) -> pa.Table:
    """Whole documents, their rows in the order of the positions `given`; rows without one come
    last.
    """
    numbers = table.column("position")
    document = np.cumsum(np.asarray(numbers) == 0)
    order = np.lexsort((np.arange(table.num_rows), given, document))
    if (np.diff(order) == 1).all():
        return table
    index = table.schema.get_field_index("position")
    return table.take(pa.array(order)).set_column(index, table.schema.field(index), numbers)


def whole(values: Any) -> pa.Array:
    """The values as one array."""
    return values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values


def clean_urls(urls: Any) -> pa.Array:
    """Addresses without credentials."""
    urls = whole(urls)
    if not has_byte(urls, b"@"):
        return urls
    # as bytes: a pattern for texts passes over what is no UTF-8
    may_have = pc.fill_null(pc.match_substring_regex(urls.cast(pa.binary()), MAY_HAVE), False)
    if not may_have.true_count:
        return urls
    clean = [without_credentials(url) for url in urls.filter(may_have).to_pylist()]
    return pc.replace_with_mask(urls, may_have, pa.array(clean, urls.type))


MAY_HAVE = r"/[\t\r\n]*/[^/?#]*@"
"""Holds of every address with credentials, and of few others: an `@` within a path is common."""


def has_byte(texts: pa.Array, byte: bytes) -> bool:
    """Whether a byte is in what lies in memory of some texts, which their values are part of."""
    _, offsets, data = texts.buffers()
    if data is None or not len(texts):
        return False
    wide = np.frombuffer(offsets, np.int32)[[texts.offset, texts.offset + len(texts)]]
    return bool((np.frombuffer(data, np.uint8)[slice(*wide.tolist())] == ord(byte)).any())


def row_uids(have: dict[str, Any], wanted: np.ndarray) -> pa.Array:
    """Uids by what a row holds, null where none is wanted."""
    if not wanted.any():
        return pa.nulls(len(wanted), pa.string())
    return hash_columns.row_uids(hashed(have), wanted)


def hashed(have: dict[str, Any]) -> list[pa.Array]:
    """What a row's uid is made of."""
    url = whole(have["url"])
    images = "sha256" in have and "image" in have
    marks = have["sha256"] if images else pa.nulls(len(url))
    return [url, whole(have["text"]), whole(marks)]


def as_field(values: Any, kind: pa.DataType, rows: int) -> Any:
    """A column in a type, all null where the source has none."""
    if values is None:
        return pa.nulls(rows, kind)
    return values.cast(kind) if values.type != kind else values
