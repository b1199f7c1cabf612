"""A workspace checked whole: every file is read, checksums and what files say of one another are
compared.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pairmill.errors import CorruptWorkspace, PairmillError, first_line
from pairmill.schemas.arrow import hash_of, is_payload, payload_sizes
from pairmill.schemas.companions import forgotten, size_of
from pairmill.texts.amounts import amount
from pairmill.workspace.contents import table_names
from pairmill.workspace.digests import column_digest, hexed
from pairmill.workspace.encoding import read_footer
from pairmill.workspace.shards import FOLDER as SHARDS
from pairmill.workspace.shards import PAYLOAD, stored_file
from pairmill.workspace.storage import SIGN, Storage
from pairmill.workspace.tables import open_table

FAULTS = 1000
"""Faults that are listed; a disk that died has more."""


@dataclass
class Checked:
    """What was looked at, and every fault in words, with what to do."""

    files: int = 0
    bytes: int = 0
    faults: list[str] = field(default_factory=list)


def verify_workspace(storage: Storage) -> Checked:
    """Reads every file of a workspace.  A run may be at work in it meanwhile."""
    checked = Checked()
    for name, size in storage.files(recursive=True):
        checked.files, checked.bytes = checked.files + 1, checked.bytes + size
        try:
            faults = list(file_faults(storage, name))
        except FileNotFoundError:  # replaced or removed since it was listed
            continue
        except (PairmillError, OSError, pa.ArrowException) as error:
            faults = [first_line(error)]
        checked.faults += faults[: max(0, FAULTS - len(checked.faults))]
    checked.faults += table_faults(storage)
    return checked


def file_faults(storage: Storage, name: str) -> Iterator[str]:
    """Faults of one Parquet or JSON file; raises where it cannot be read at all."""
    if name.endswith(".parquet"):
        yield from parquet_faults(storage, name)
    elif name.endswith(".json"):
        found = storage.read_json(name)
        if not isinstance(found, dict):
            yield f"{storage.path(name)} holds no map; delete it and run again"


def parquet_faults(storage: Storage, name: str) -> Iterator[str]:
    """Row group by row group, so that memory holds one."""
    place = storage.path(name)
    last = -1
    with storage.fs.open_input_file(place) as stream:
        try:
            footer = read_footer(place, stream)
            file = pq.ParquetFile(stream, metadata=footer, page_checksum_verification=True)
            uids: list[pa.ChunkedArray] = []
            for group in range(file.num_row_groups):
                table = file.read_row_group(group, use_threads=False)
                table.validate(full=True)
                if name.startswith("columns/") and table.num_rows:
                    rows = np.asarray(table.column("row").combine_chunks())
                    if rows[0] <= last or (np.diff(rows) <= 0).any():
                        yield f"{place}: its rows are not in order; delete it and run again"
                    last = int(rows[-1])
                if name.startswith(f"{SHARDS}/") and "uid" in table.schema.names:
                    uids.append(table.column("uid"))
                for column, bad in changed_payload(
                    table, in_shard=name.startswith(f"{PAYLOAD}/")
                ).items():
                    yield (
                        f"{place}: {bad} values of {column!r} are not what was stored with them; "
                        "delete it and run again"
                    )
            if uids and hexed(column_digest(together(uids))) != name.rpartition("/")[2][:16]:
                yield (
                    f"{place}: its rows are not those that its name tells; delete it and run again"
                )
        except (pa.ArrowInvalid, pa.ArrowTypeError, KeyError, OSError) as error:
            raise CorruptWorkspace(
                f"{place} cannot be read ({first_line(error)}); delete it and run again"
            ) from None


def together(parts: list[pa.ChunkedArray]) -> pa.ChunkedArray:
    """Row groups of one column."""
    return pa.chunked_array([chunk for part in parts for chunk in part.chunks])


def changed_payload(table: pa.Table, in_shard: bool) -> dict[str, int]:
    """Payload column → values whose length or SHA-256 is not the stored one."""
    found = {}
    for part in table.schema:
        if not is_payload(part.type) or size_of(part.name) not in table.schema.names:
            continue
        values = table.column(part.name)
        sizes = table.column(size_of(part.name))
        there, gone = np.asarray(pc.is_valid(values)), forgotten(table, part.name)
        equal = np.asarray(pc.fill_null(pc.equal(sizes, payload_sizes(values)), False))
        # a value that was forgotten on purpose keeps its size; one that never was has none
        right = np.where(there, equal & ~gone, np.asarray(pc.is_valid(sizes)) == gone)
        bad = int((~right).sum())
        for hashes in table.schema if in_shard else ():
            if hash_of(hashes) == part.name:
                bad = max(bad, changed_images(values, table.column(hashes.name)))
        if bad:
            found[part.name] = bad
    return found


def changed_images(values: pa.ChunkedArray, digests: pa.ChunkedArray) -> int:
    """How many values have another SHA-256 than the digests beside them, nulls aside."""
    return sum(
        value.is_valid
        and digest.is_valid
        and hashlib.sha256(value.as_buffer()).hexdigest() != digest.as_py()
        for value, digest in zip(values, digests, strict=True)
    )


def table_faults(storage: Storage) -> list[str]:
    """Shards of a table that are gone, or have other rows than the table says."""
    faults = []
    for name in table_names(storage):
        try:
            table = open_table(storage, name)
        except CorruptWorkspace:  # told already
            continue
        if table is None:
            continue
        there = {file for file, _ in storage.files(SHARDS)}
        for shard, known in enumerate(table.names.tolist()):
            file = stored_file(known, int(table.contents[shard]))
            if file not in there:
                faults.append(
                    f"{storage.path(file)} is gone; delete {storage.path('tables')} and run again"
                )
            elif (found := rows_in(storage, file)) not in (None, int(table.rows[shard])):
                faults.append(
                    f"{storage.path(file)} has {amount(found, 'row')}, tables/{name}.parquet says "
                    f"{table.rows[shard]}; delete it and {storage.path('tables')}, and run again"
                )
    if not storage.exists(SIGN):
        faults.append(f"{storage.path(SIGN)} is gone: without it this is no workspace")
    return faults


def rows_in(storage: Storage, name: str) -> int | None:
    """Rows of a file; None where it cannot be read, which is told already."""
    try:
        return storage.row_count(name)
    except (CorruptWorkspace, FileNotFoundError):
        return None
