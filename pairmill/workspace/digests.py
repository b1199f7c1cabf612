"""Digests of columns: 64 bits of what the values are, however Arrow has laid them out in memory."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pairmill.schemas.arrow import hash_of, is_list
from pairmill.schemas.compiled import LANES, hash_streams, library

FEW_BYTES = 2**16
"""Of columns that are hashed one after another: as many as a call of what was compiled costs."""
HEX = frozenset(b"0123456789abcdef")


def digest_of(*parts: bytes) -> int:
    """64 bits of BLAKE2b over parts, each with its length."""
    h = hashlib.blake2b(digest_size=8)
    for part in parts:
        h.update(len(part).to_bytes(8, "little"))
        h.update(part)
    return int.from_bytes(h.digest(), "little")


def hexed(digest: int) -> str:
    """A digest as it stands in names of files: 16 hex digits."""
    return f"{int(digest):016x}"


def column_digest(values: pa.Array | pa.ChunkedArray) -> int:
    """Of a column: its type, its values, which of them are null; offsets, chunks and what lies in
    memory under nulls do not count.
    """
    if len(values) and values.null_count == len(values):
        return digest_of_nulls(values.type, len(values))
    return digest_of_values(whole(values))


@lru_cache(4096)
def digest_of_nulls(kind: pa.DataType, count: int) -> int:
    """Of a column without a value, such as the errors of a shard where nothing failed."""
    return digest_of_values(pa.nulls(count, kind))


def digest_of_values(values: pa.Array) -> int:
    """The same of one array from offset 0."""
    h = hashlib.blake2b(digest_size=8)
    for part in pieces(values):
        h.update(part)
    return int.from_bytes(h.digest(), "little")


def column_digests(table: pa.Table) -> dict[str, int]:
    """Of each column; bytes whose SHA-256 stands in another column are told by that."""
    told = {of: f.name for f in table.schema if (of := hash_of(f)) and of in table.schema.names}
    told = {of: by for of, by in told.items() if not table.column(by).null_count}
    wanted = dict.fromkeys(told.get(name, name) for name in table.schema.names)
    # a column that is in the table under two names (uid and doc_id) is hashed once
    alike = {name: where_it_lies(table.column(name)) or name for name in wanted}
    once = {key: name for name, key in reversed(alike.items())}
    values = [table.column(name) for name in once.values()]
    known = dict(zip(once, digests_of_columns(values), strict=True))
    return {
        name: digest_of(b"sha256", known[alike[told[name]]].to_bytes(8, "little"))
        if name in told
        else known[alike[name]]
        for name in table.schema.names
    }


def digests_of_columns(columns: Sequence[pa.ChunkedArray]) -> list[int]:
    """`column_digest` of each; several at once where that was compiled."""
    compiled = library() if sum(column.nbytes for column in columns) > FEW_BYTES else None
    if compiled is None:
        return [column_digest(column) for column in columns]
    found = [
        digest_of_nulls(c.type, len(c)) if len(c) and c.null_count == len(c) else None
        for c in columns
    ]
    # those of about one size together
    rest = sorted((i for i, d in enumerate(found) if d is None), key=lambda i: columns[i].nbytes)
    for first in range(0, len(rest), LANES):
        some = rest[first : first + LANES]
        messages = [list(pieces(whole(columns[i]))) for i in some]
        for i, digest in zip(some, hash_streams(compiled, messages, 8), strict=True):
            found[i] = int.from_bytes(digest, "little")
    return [d for d in found if d is not None]


def where_it_lies(column: pa.ChunkedArray) -> Any:
    """Type and place in memory: columns for which these are the same are the same.  None of nested
    columns: they share buffers with their parts, of which a place does not tell which they are.
    """
    if pa.types.is_nested(column.type) or isinstance(column.type, pa.BaseExtensionType):
        return None
    return column.type, tuple(
        (part.offset, len(part), *(None if b is None else b.address for b in part.buffers()))
        for part in column.chunks
    )


def whole(values: pa.Array | pa.ChunkedArray) -> pa.Array:
    """One array from offset 0, without what a slice leaves behind."""
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
        if isinstance(values, pa.ChunkedArray):  # of several chunks: they are too large for one
            values = pa.concat_arrays(values.chunks)
    return pa.concat_arrays([values]) if values.offset else values


def pieces(values: pa.Array) -> Iterable[Any]:
    """What a digest is made of: buffers, one after another."""
    kind, n = values.type, len(values)
    yield f"{kind} {n}".encode()
    if isinstance(kind, pa.ExtensionType):
        yield from pieces(whole(values.storage))
        return
    if pa.types.is_dictionary(kind):
        yield from pieces(values.cast(kind.value_type))
        return
    full = not values.null_count
    valid = np.ones(n, bool) if full else np.asarray(pc.is_valid(values))
    yield np.packbits(valid)
    if pa.types.is_null(kind):
        return
    if pa.types.is_struct(kind):
        for i in range(kind.num_fields):
            yield kind.field(i).name.encode()
            yield from pieces(whole(pc.struct_field(values, [i])))
    elif is_list(kind):
        yield np.asarray(pc.fill_null(pc.list_value_length(values), 0)).astype(np.int64)
        yield from pieces(whole(pc.list_flatten(values)))
    elif is_text(kind):
        filled = whole(values.drop_null()) if values.null_count else values
        if pa.types.is_fixed_size_binary(kind):
            filled = filled.cast(pa.large_binary())
        if len(filled):
            large = pa.types.is_large_string(filled.type) or pa.types.is_large_binary(filled.type)
            wide = np.int64 if large else np.int32
            offsets = np.frombuffer(filled.buffers()[1], wide, len(filled) + 1)
            yield np.diff(offsets).astype(np.int64, copy=False)
            data = filled.buffers()[2]
            yield memoryview(data)[offsets[0] : offsets[-1]] if data is not None else b""
    elif pa.types.is_boolean(kind):
        yield np.asarray(pc.fill_null(values, False)).astype(np.uint8)
    elif pa.types.is_primitive(kind) or pa.types.is_decimal(kind):
        width = kind.bit_width // 8
        raw = (
            np.frombuffer(values.buffers()[1], np.uint8, n * width) if n else np.empty(0, np.uint8)
        )
        yield raw if full else np.where(valid[:, None], raw.reshape(n, width), np.uint8(0))
    else:
        yield json.dumps(values.to_pylist(), default=repr, sort_keys=True).encode()


def is_text(kind: pa.DataType) -> bool:
    """Whether values are texts or bytes."""
    return (
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_fixed_size_binary(kind)
    )


MIX = 0x9E3779B97F4A7C15
"""2^64 over the golden ratio, odd, so that different halves stay different."""


def uid_hashes(uids: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """uint64, one a row: both halves of uids of 32 hex digits, mixed (a half alone may be the same
    in
    all of them, where they are numbers), and 64 bits of BLAKE2b of others.
    """
    values = whole(uids)
    made = hex_mixed(values)
    if made is not None:
        return made
    return np.array([uid_hash(uid) for uid in values.to_pylist()], np.uint64)


def uid_hash(uid: str) -> int:
    """Of one uid."""
    if len(uid) == 32 and HEX.issuperset(uid.encode("utf-8", "surrogatepass")):
        return int(uid[:16], 16) ^ (int(uid[16:], 16) * MIX) % 2**64
    return int.from_bytes(
        hashlib.blake2b(uid.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big"
    )


def hex_mixed(values: pa.Array) -> np.ndarray | None:
    """Of uids that are all 32 small hex digits; None of others."""
    if not len(values) or values.null_count:
        return None
    lengths = np.asarray(pc.binary_length(values))
    if not (lengths == 32).all():
        return None
    wide = values.cast(pa.large_binary())
    first = np.frombuffer(wide.buffers()[1], np.int64, 1)[0]
    text = np.frombuffer(wide.buffers()[2], np.uint8)[first : first + 32 * len(values)]
    digits = text.tobytes()
    if digits.translate(None, bytes(HEX)):
        return None
    return mixed(bytes.fromhex(digits.decode()))


def mixed(digests: bytes) -> np.ndarray:
    """`uid_hashes` of uids whose digits are those of these digests of 16 bytes."""
    halves = np.frombuffer(digests, ">u8").astype(np.uint64)
    return halves[::2] ^ (halves[1::2] * np.uint64(MIX))
