"""A source's rows with the pool's columns: uid, document, position, address without secrets."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pairmill.addresses import without_credentials
from pairmill.schemas import hash_columns
from pairmill.sources.base import Remark
from pairmill.workspace.told import Notes
from pairmill.workspace.uids import UniqueUids

GIVEN = "#position"
"""Positions as the input gives them, until a shard is whole."""


class Positions:
    """Counts rows within documents; neighbouring rows with one doc_id are one document."""

    def __init__(self) -> None:
        self.last: str | None = None
        self.next = 0

    def number(self, doc_ids: list[str]) -> list[int]:
        """Position of each row in its document, from 0; counting goes on from the call before."""
        found = []
        for doc in doc_ids:
            self.next = self.next + 1 if doc == self.last else 0
            self.last = doc
            found.append(self.next)
        return found


def prepared(
    part: pa.Table, schema: pa.Schema, position: Positions, unique: UniqueUids, notes: Notes
) -> pa.Table:
    """A source's rows with the pool's columns."""
    n = part.num_rows
    have: dict[str, Any] = {name: part.column(name) for name in part.schema.names}
    have["text"] = pc.cast(have.get("text", pa.nulls(n)), pa.string())
    have["url"] = clean_urls(pc.cast(have.get("url", pa.nulls(n)), pa.string()))
    given = pc.cast(have["uid"], pa.string()) if "uid" in have else pa.nulls(n, pa.string())
    given = whole(pc.if_else(pc.equal(given, ""), None, given))
    made = row_uids(have, np.asarray(pc.is_null(given)))
    uids, repeated = unique.unique(pc.coalesce(given, made))
    for i in repeated:
        where = f"{have['source'][i].as_py()}" if "source" in have else "the input"
        if given[i].as_py() is None:
            notes.add(Remark("equal rows", where, "url, text and image are those of a row before"))
        else:
            what = f"{given[i].as_py()!r} is the uid of a row before; this one got another"
            notes.add(Remark("repeated uids", where, what))
    have["uid"] = uids
    if "doc_id" in have:
        docs = pc.coalesce(pc.cast(have["doc_id"], pa.string()), uids)
        numbers = pa.array(position.number(docs.to_pylist()), pa.int32())
    else:
        docs, numbers = uids, pa.array(np.zeros(n, np.int32))
        position.last = None
    have["doc_id"], have["position"] = docs, numbers
    have.setdefault("source", pa.nulls(n, pa.string()))
    table = pa.table([as_field(have.get(f.name), f, n) for f in schema], schema=schema)
    if {"doc_id", "position"} <= set(part.schema.names):
        table = table.append_column(GIVEN, pc.cast(part.column("position"), pa.int64()))
    return table


def in_order(table: pa.Table) -> pa.Table:
    """Whole documents, their rows in the order of the positions that the input gives; rows without
    one come last.
    """
    if GIVEN not in table.schema.names:
        return table
    given = np.asarray(pc.fill_null(table.column(GIVEN), 2**62))
    numbers = table.column("position")
    document = np.cumsum(np.asarray(numbers) == 0)
    order = np.lexsort((np.arange(table.num_rows), given, document))
    table = table.drop_columns([GIVEN])
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
    if not pc.any(pc.match_substring(urls, "@")).as_py():
        return urls
    return pa.array([without_credentials(u) for u in urls.to_pylist()], pa.string())


def row_uids(have: dict[str, Any], wanted: np.ndarray) -> pa.Array:
    """Uids by what a row holds, null where none is wanted."""
    if not wanted.any():
        return pa.nulls(len(wanted), pa.string())
    images = "sha256" in have and "image" in have
    marks = have["sha256"] if images else pa.nulls(len(wanted))
    return hash_columns.row_uids([whole(v) for v in (have["url"], have["text"], marks)], wanted)


def as_field(values: Any, field: pa.Field, rows: int) -> Any:
    """A column in a field's type, all null where the source has none."""
    if values is None:
        return pa.nulls(rows, field.type)
    return values.cast(field.type) if values.type != field.type else values
