"""A child table out of its parent: the elements of a shard's lists as rows, and what comes back of
them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pairmill.fates.decide import Trace
from pairmill.fates.trace import lost_payload, trace
from pairmill.plan.blocks import PARENT_UID, EachBlock, one_array
from pairmill.plan.chain import Chain
from pairmill.schemas import hash_columns
from pairmill.schemas.arrow import ERROR, is_payload, payload_sizes
from pairmill.schemas.companions import size_of
from pairmill.work.block import block_columns
from pairmill.workspace.addresses import input_of
from pairmill.workspace.digests import digest_of
from pairmill.workspace.elements import (
    PARENT,
    PLACE,
    hash_of_element,
    known_elements,
    memo_file,
    remember_elements,
    store_elements,
)
from pairmill.workspace.shards import ShardFacts, read_rows
from pairmill.workspace.storage import Storage

ROWS_AT_ONCE = 256
"""Parents whose lists are in memory at the same time."""


@dataclass(frozen=True)
class OpenedShard:
    """What a parent's shard gives: its elements, or None where lists of `lost` parents have to be
    computed again first, since their bytes are stored no more.
    """

    facts: ShardFacts | None
    lost: int = 0


def opened(chain: Chain, index: int, shard: int) -> OpenedShard:
    """The elements of the living rows of a shard, stored as a shard of the child table unless they
    are there; lists are those of before stage `index`.
    """
    block, storage = block_at(chain, index), Storage(chain.root)
    found = parents_of(chain, index, shard)
    wide = [c for c in bytes_read(block) if is_payload(chain.dtype(c))]
    if lost := int((lost_payload(found, chain, wide) & found.alive).sum()):
        return OpenedShard(None, lost)
    rows, memo = np.flatnonzero(found.alive).astype(np.int32), memo_of(chain, block, shard, found)
    if (known := known_elements(storage, memo)) is not None:
        return OpenedShard(known)
    facts = elements_stored(chain, index, shard, found, rows)
    remember_elements(storage, memo, facts)
    return OpenedShard(facts)


def opened_for(chain: Chain, index: int, shard: int, rows: np.ndarray) -> ShardFacts:
    """The elements of some rows of a shard, of those that come to a block and whose lists are
    stored, as a shard of a child table.
    """
    found = parents_of(chain, index, shard)
    wide = [c for c in bytes_read(block_at(chain, index)) if is_payload(chain.dtype(c))]
    come = np.flatnonzero(found.alive & ~lost_payload(found, chain, wide)).astype(np.int32)
    return elements_stored(chain, index, shard, found, come[np.isin(come, rows)])


def elements_stored(
    chain: Chain, index: int, shard: int, found: Trace, rows: np.ndarray
) -> ShardFacts:
    """Stores the elements of some rows of a shard."""
    block, storage = block_at(chain, index), Storage(chain.root)
    parts, size = [empty_rows(block)], 0
    for first in range(0, len(rows), ROWS_AT_ONCE):
        some = rows[first : first + ROWS_AT_ONCE]
        names = sorted({"uid", *block.needs()})
        parents = block_columns(chain, shard, some, names, found, index)
        part, part_size = elements_of(block, parents, some)
        parts.append(part)
        size += part_size
    table = pa.concat_tables(parts).combine_chunks()
    storage.check_there()  # a file system that went away must not be taken for an empty workspace
    return store_elements(storage, table, size, block.schema.names, block.wide())


def stored_elements(chain: Chain, index: int, shard: int) -> ShardFacts | None:
    """The same where it is stored already; None where it has to be made."""
    found = parents_of(chain, index, shard)
    memo = memo_of(chain, block_at(chain, index), shard, found)
    return known_elements(Storage(chain.root), memo)


def block_at(chain: Chain, index: int) -> EachBlock:
    """The block of a stage that has one."""
    block = chain.stages[index].block
    assert block is not None
    return block


def parents_of(chain: Chain, index: int, shard: int) -> Trace:
    """A shard's rows followed up to a block, with what is known of the columns it reads."""
    block = block_at(chain, index)
    wide = [c for c in bytes_read(block) if is_payload(chain.dtype(c))]
    return trace(chain, shard, index, want=("uid", block.column, *wide))


def memo_of(chain: Chain, block: EachBlock, shard: int, found: Trace) -> str:
    """Where the elements of a shard are remembered: its name tells all that decides them, which is
    whose they are, what is read of these, and for which of them it has a value.
    """
    made, digests = chain.addresses(shard), chain.digests_of(shard)
    told = f"{block.key} {block.origins()} {block.schema.remove_metadata()}".encode()
    inputs = [input_of(chain.input_of(c), digests, made) for c in sorted(block.needs())]
    masks = [np.packbits(mask).tobytes() for _, mask in sorted(found.ran.items())]
    key = digest_of(told, np.packbits(found.alive).tobytes(), *inputs, *masks)
    return memo_file(int(chain.table.names[shard]), key)


def bytes_read(block: EachBlock) -> list[str]:
    """Columns of the parent whose bytes, if they have some, are read: of the list only where its
    elements have some.
    """
    return [c for c in sorted(block.needs()) if c != block.column or block.wide()]


def elements_of(block: EachBlock, parents: pa.Table, rows: np.ndarray) -> tuple[pa.Table, int]:
    """(the elements of some parents as a child's file has them, bytes of their payload)."""
    lists = one_array(parents.column(block.column))
    lengths = np.asarray(pc.fill_null(pc.list_value_length(lists), 0)).astype(np.int64)
    of = np.repeat(np.arange(len(lists)), lengths)
    places = (np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)).astype(
        np.int32
    )
    elements, at = pc.list_flatten(lists), pa.array(of)
    uids = one_array(parents.column("uid")).take(at)
    keys = pa.array([block.key] * len(of), pa.string())
    place = pa.array(places)
    columns: dict[str, pa.Array] = {
        "uid": hash_columns.row_uids([uids, keys, place.cast(pa.string())]),
        "doc_id": uids,
        "position": place,
        PARENT_UID: uids,
        PLACE: place,
        PARENT: pa.array(rows[of], pa.int32()),
    }
    size = 0
    for name, (there, field, in_list) in block.origins().items():
        if in_list:
            values = pc.struct_field(elements, field) if field is not None else elements
        else:
            values = one_array(parents.column(there)).take(at)
        kind = block.schema.field(name).type
        values = values.cast(kind) if values.type != kind else values
        if is_payload(kind):
            sizes = payload_sizes(values)
            columns[size_of(name)], columns[hash_of_element(name)] = sizes, hashes(values)
            size += int(pc.sum(sizes).as_py() or 0) if in_list else 0
        else:
            columns[name] = values
    return in_file_order(block, columns), size


def file_columns(block: EachBlock) -> dict[str, pa.DataType]:
    """The columns of a child's file, in order, and their types."""
    found: dict[str, pa.DataType] = {PARENT: pa.int32()}
    for field in block.schema:
        if is_payload(field.type):
            found |= {size_of(field.name): pa.int64(), hash_of_element(field.name): pa.uint64()}
        else:
            found[field.name] = field.type
    return found


def in_file_order(block: EachBlock, columns: dict[str, pa.Array]) -> pa.Table:
    """The columns of a child's file, with what its schema says of them."""
    own = {f.name: f for f in block.schema}
    fields = [own.get(n, pa.field(n, kind)) for n, kind in file_columns(block).items()]
    return pa.table([columns[f.name] for f in fields], schema=pa.schema(fields))


def empty_rows(block: EachBlock) -> pa.Table:
    """No element."""
    return in_file_order(block, {n: pa.array([], t) for n, t in file_columns(block).items()})


def hashes(values: pa.Array) -> pa.Array:
    """uint64: of the bytes of each value, at whatever depth; null where there is none."""
    valid = values.is_valid()
    plain = pa.types.is_large_binary(values.type)
    data = values.to_pylist() if plain else [repr(v).encode() for v in values.to_pylist()]
    digests = b"".join(blake2b(one or b"", digest_size=8).digest() for one in data)
    return pa.array(np.frombuffer(digests, "<u8"), pa.uint64(), mask=~np.asarray(valid))


def collected(parent: Chain, index: int, child: Chain, shard: int) -> None:
    """Stores what comes back of the elements of a shard for its living rows."""
    stage, block = parent.stages[index], block_at(parent, index)
    found = trace(parent, shard, index, want=[block.column])
    rows = np.flatnonzero(found.alive).astype(np.int32)
    is_null = found.frame[parent.narrow(block.column)].is_null().to_numpy()[rows]
    file = child.source_file(shard, "uid")
    of = np.asarray(one_array(read_rows(Storage(child.root), file, [PARENT]).column(PARENT)))
    place = np.searchsorted(rows, of)
    lengths = np.bincount(place, minlength=len(rows)).astype(np.int64)
    alive, values = kept_elements(child, shard, len(of), block.collect)
    kept = np.bincount(place[alive], minlength=len(rows)).astype(np.int32)
    columns: dict[str, pa.Array] = {"row": pa.array(rows)}
    for part, field in zip(values, stage.writes, strict=False):
        columns[field.name] = as_lists(part, lengths, is_null, field.type)
    columns[stage.writes.names[-1]] = pa.array(kept, pa.int32(), mask=is_null)
    columns["error"] = pa.nulls(len(rows), ERROR)
    parent.columns_of(stage, shard).commit(pa.table(columns))


def kept_elements(
    child: Chain, shard: int, count: int, columns: Sequence[str]
) -> tuple[np.ndarray, list[pa.Array]]:
    """(which of a shard's `count` elements are kept, values of columns, null of all others).

    Elements behind the block's limit are no rows, and not kept.
    """
    alive, seen = np.zeros(count, bool), max(0, child.rows_of(shard))
    if not seen:
        return alive, [pa.nulls(count, child.dtype(c)) for c in columns]
    found = trace(child, shard, want=["uid"])
    alive[:seen] = found.alive
    rows = np.flatnonzero(found.alive).astype(np.int32)
    table = block_columns(child, shard, rows, list(columns), found, len(child.stages))
    at = np.full(count, -1, np.int64)
    at[rows] = np.arange(len(rows))
    index = pa.array(at, mask=at < 0)
    return alive, [one_array(table.column(c)).take(index) for c in columns]


def as_lists(
    values: pa.Array, lengths: np.ndarray, is_null: np.ndarray, kind: pa.DataType
) -> pa.Array:
    """Values as lists of some lengths, null where that is asked for."""
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    marked = pa.array(offsets, pa.int32(), mask=np.append(is_null, False))
    return pa.ListArray.from_arrays(marked, values.cast(kind.value_type)).cast(kind)
