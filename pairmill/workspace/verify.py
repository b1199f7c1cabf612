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
from pairmill.schemas.arrow import SIZE_SUFFIX, is_payload, payload_sizes
from pairmill.workspace.encoding import read_footer
from pairmill.workspace.storage import SIGN, Storage

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
    checked.faults += pool_faults(storage)
    return checked


def file_faults(storage: Storage, name: str) -> Iterator[str]:
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
            for group in range(file.num_row_groups):
                table = file.read_row_group(group, use_threads=False)
                table.validate(full=True)
                if name.startswith("columns/") and table.num_rows:
                    rows = np.asarray(table.column("row").combine_chunks())
                    if rows[0] <= last or (np.diff(rows) <= 0).any():
                        yield f"{place}: its rows are not in order; delete it and run again"
                    last = int(rows[-1])
                for column, bad in changed_payload(table, in_pool=name.startswith("pool/")).items():
                    yield (
                        f"{place}: {bad} values of {column!r} are not what was stored with them; "
                        "delete it and run again"
                    )
        except (pa.ArrowInvalid, pa.ArrowTypeError, KeyError, OSError) as error:
            raise CorruptWorkspace(
                f"{place} cannot be read ({first_line(error)}); delete it and run again"
            ) from None


def changed_payload(table: pa.Table, in_pool: bool) -> dict[str, int]:
    """Payload column → values whose length or SHA-256 is not the stored one."""
    found = {}
    for part in table.schema:
        if not is_payload(part.type) or part.name + SIZE_SUFFIX not in table.schema.names:
            continue
        values = table.column(part.name)
        sizes = table.column(part.name + SIZE_SUFFIX)
        there = pc.is_valid(values)
        # a size turns negative where the bytes were forgotten on purpose
        right = pc.if_else(
            there,
            pc.equal(sizes, payload_sizes(values)),
            pc.fill_null(pc.less_equal(sizes, 0), True),
        )
        bad = table.num_rows - (pc.sum(pc.fill_null(right, False)).as_py() or 0)
        if in_pool and part.name == "image" and "sha256" in table.schema.names:
            bad = max(bad, changed_images(values, table.column("sha256")))
        if bad:
            found[part.name] = bad
    return found


def changed_images(values: pa.ChunkedArray, digests: pa.ChunkedArray) -> int:
    return sum(
        value.is_valid
        and digest.is_valid
        and hashlib.sha256(value.as_buffer()).hexdigest() != digest.as_py()
        for value, digest in zip(values, digests, strict=True)
    )


def pool_faults(storage: Storage) -> list[str]:
    """Shards of a pool that are gone, or have other rows than the pool says."""
    faults = []
    for pool in storage.folders("pool"):
        name = f"pool/{pool}/pool.json"
        try:
            if not storage.exists(name):
                continue
            rows = storage.read_json(name)["shard_rows"]
            for shard, count in enumerate(rows):
                file = f"pool/{pool}/shard-{shard:06d}.parquet"
                if not storage.exists(file):
                    faults.append(f"{storage.path(file)} is gone; delete its folder and run again")
                elif (found := storage.row_count(file)) != count:
                    faults.append(
                        f"{storage.path(file)} has {found} rows, {name} says {count}; "
                        "delete the pool's folder and run again"
                    )
        except (CorruptWorkspace, FileNotFoundError):  # told already
            continue
        except (KeyError, TypeError):
            faults.append(f"{storage.path(name)} is no pool that pairmill wrote; delete its folder")
    if not storage.exists(SIGN):
        faults.append(f"{storage.path(SIGN)} is gone: without it this is no workspace")
    return faults
