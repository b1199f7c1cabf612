"""Shards as files: the rows of a table, stored once for what they hold, whatever table they are of.

`shards/<name>.<content>.parquet` has a shard's narrow columns, `payload/<name>.<digest>.parquet`
one column of bytes.  The name is the digest of the shard's uids; content and digest are those of
the
values, so that another column in the input copies no image.
"""

import contextlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pairmill.errors import CorruptWorkspace
from pairmill.schemas.arrow import hash_of, is_payload
from pairmill.schemas.companions import size_of
from pairmill.workspace.columns import groups_at, with_sizes
from pairmill.workspace.digests import column_digest, column_digests, digest_of, hexed
from pairmill.workspace.read_memory import READ
from pairmill.workspace.storage import Storage

FOLDER, PAYLOAD = "shards", "payload"
FULL = b"pairmill full"
"""Key of a file's metadata: names of the columns in which no value is null."""


def shard_file(shard: int) -> str:
    """Name of a file that a run writes for a shard of its table, such as one of its ledger."""
    return f"shard-{shard:06d}.parquet"


def stored_file(name: int, content: int) -> str:
    """Where the narrow columns of a shard are stored."""
    return f"{FOLDER}/{hexed(name)}.{hexed(content)}.parquet"


def payload_file(name: int, digest: int) -> str:
    """Where one column of bytes is stored."""
    return f"{PAYLOAD}/{hexed(name)}.{hexed(digest)}.parquet"


def stored_files(storage: Storage) -> dict[str, int]:
    """Every file of a shard → bytes."""
    return dict([*storage.files(FOLDER), *storage.files(PAYLOAD)])


@dataclass(frozen=True)
class ShardFacts:
    """What a table knows of one shard: its name (a digest of its uids), the digest of its narrow
    columns together, rows, bytes of payload, and each column's digest.
    """

    name: int
    content: int
    rows: int
    bytes: int
    digests: Mapping[str, int]

    def files(self, schema: pa.Schema) -> list[str]:
        """Everything that is stored of it."""
        wide = (self.digests[f.name] for f in schema if is_payload(f.type))
        return [stored_file(self.name, self.content), *(payload_file(self.name, d) for d in wide)]


def store_shard(storage: Storage, table: pa.Table, there: set[str] | None = None) -> ShardFacts:
    """Stores a shard unless it is `there` (None: that is looked up); gives its facts."""
    digests = column_digests(table)
    name = digests["uid"]
    narrow = [f.name for f in table.schema if not is_payload(f.type)]
    wide = [f.name for f in table.schema if is_payload(f.type)]
    sized = with_sizes(table, table.schema)
    sizes = [size_of(c) for c in wide]
    told = {c: digests[c] for c in narrow} | {c: column_digest(sized.column(c)) for c in sizes}
    content = digest_of(*(part for c, d in told.items() for part in spelled(sized, c, d)))
    distinct = {c for c in ("uid", "doc_id") if digests.get(c) == name}
    write(storage, stored_file(name, content), sized.select([*narrow, *sizes]), there, distinct)
    for column in wide:
        hashes = [f.name for f in table.schema if hash_of(f) == column]
        kept = [column, size_of(column), *hashes]
        write(storage, payload_file(name, digests[column]), sized.select(kept), there)
    total = sum(table.column(c).nbytes for c in wide)
    return ShardFacts(name, content, table.num_rows, total, digests)


def spelled(table: pa.Table, column: str, digest: int) -> tuple[bytes, bytes]:
    """What of a column counts for the file of narrow columns: what it is called, what it holds."""
    field = table.schema.field(column)
    return f"{column} {field.type}".encode(), int(digest).to_bytes(8, "little")


def write(
    storage: Storage,
    name: str,
    table: pa.Table,
    there: set[str] | None,
    distinct: Collection[str] = (),
) -> None:
    """A file that holds what its name says is not written again.  `distinct`: columns whose values
    do not repeat.
    """
    if not (name in there if there is not None else storage.exists(name)):
        full = [c for c in table.schema.names if not table.column(c).null_count]
        told = {**(table.schema.metadata or {}), FULL: json.dumps(full).encode()}
        storage.write_table(name, table.replace_schema_metadata(told), distinct=distinct)


def read_rows(
    storage: Storage,
    name: str,
    columns: Sequence[str],
    rows: np.ndarray | None = None,
    present: Collection[str] = (),
) -> pa.Table:
    """Columns of a shard's file; of `rows` alone, and in their order, if given.  Of columns
    `present` nobody asks more than whether there is a value: where the footer says that there
    always is, they are true and not read.

    A file of bytes is found by what it holds, so it may have been written under another name of
    the column.  Uids are remembered: a process asks for them several times.
    """
    if list(columns) == ["uid"] and not present and storage.local:
        uids = READ.read(storage.path(name), ["uid"], lambda: read(storage, name, ["uid"]))
        whole = rows is None or np.array_equal(rows, np.arange(uids.num_rows))
        return uids if whole else uids.take(pa.array(rows))
    return read(storage, name, columns, rows, present)


def read(
    storage: Storage,
    name: str,
    columns: Sequence[str],
    rows: np.ndarray | None = None,
    present: Collection[str] = (),
) -> pa.Table:
    """The same, off the file."""
    wide = name.startswith(f"{PAYLOAD}/")
    sizes: list[int] = []
    full: set[str] = set()

    def chosen(meta: pq.FileMetaData) -> list[str]:
        full.update(without_nulls(meta, present))
        return [c for c in columns if c not in full]

    def groups(meta: pq.FileMetaData) -> list[int]:
        sizes.extend(meta.row_group(i).num_rows for i in range(meta.num_row_groups))
        return groups_at(sizes, rows)[0] if rows is not None else list(range(len(sizes)))

    try:
        table = storage.read_table(name, None if wide else chosen, groups)
    except FileNotFoundError:
        storage.check_there()
        raise CorruptWorkspace(f"{storage.path(name)} is gone; {way_back(storage, name)}") from None
    if wide:
        table = table.select([0]).rename_columns(list(columns))
    elif full:
        true = pa.array(np.ones(sum(sizes), bool))  # `rows` and `present` never come together
        table = pa.table({c: true if c in full else table.column(c) for c in columns})
    return table if rows is None else table.take(pa.array(groups_at(sizes, rows)[1]))


def way_back(storage: Storage, name: str) -> str:
    """What to do where a shard's file is gone: alone, or with the tables that name it."""
    shard = int(name.rpartition("/")[2].partition(".")[0], 16)
    for file, _ in storage.files("tables"):
        if file.endswith(".parquet") and not file.endswith("-unreadable.parquet"):
            with contextlib.suppress(FileNotFoundError, CorruptWorkspace):
                if shard in storage.read_table(file, ["name"]).column("name").to_pylist():
                    return (
                        f"delete {storage.path('tables')} and run again: what is left is found by "
                        "what it holds, and the rest is read again"
                    )
    return (
        "no table names it any more (was gc at work, or a folder deleted, meanwhile?); run the "
        "same command again: what is gone is read again"
    )


def without_nulls(meta: pq.FileMetaData, columns: Collection[str]) -> set[str]:
    """Those of some columns of which a file's footer says that no value is null: in so many words,
    or, in files of before, by the statistics of each row group.
    """
    if not columns:
        return set()
    if (told := (meta.metadata or {}).get(FULL)) is not None:
        return set(json.loads(told)).intersection(columns)
    first = {meta.schema.column(i).path: i for i in range(meta.num_columns)}
    found = {c: first[c] for c in columns if c in first}
    for group in range(meta.num_row_groups):
        told = {c: meta.row_group(group).column(i).statistics for c, i in found.items()}
        found = {
            c: i
            for c, i in found.items()
            if (s := told[c]) is not None and s.has_null_count and not s.null_count
        }
    return set(found)
