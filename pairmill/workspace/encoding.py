"""How a workspace's values become bytes: JSON for people, Parquet for rows."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pairmill.errors import CorruptWorkspace
from pairmill.schemas.arrow import is_payload, leaf_columns

GROUP_BYTES = {True: 4 * 2**20, False: 64 * 2**20}
"""Payload in one row group on a disk, so that a few rows are read without the images of all others;
and on an object store, where each group costs every reader of narrow columns a request.
"""


def json_bytes(value: Any) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()


def write_parquet(stream: Any, table: pa.Table, group_bytes: int, **options: Any) -> None:
    """Payload columns are stored as they are, everything else with zstd; row groups hold about
    `group_bytes` of payload.
    """
    if payload := sum(table.column(f.name).nbytes for f in table.schema if is_payload(f.type)):
        options.setdefault("row_group_size", max(1, group_bytes * table.num_rows // payload))
    leaves = {path: kind for f in table.schema for path, kind in leaf_columns(f)}
    plain = [path for path, kind in leaves.items() if not is_payload(kind)]
    compression = {path: "none" if is_payload(kind) else "zstd" for path, kind in leaves.items()}
    pq.write_table(
        table,
        stream,
        compression=compression,
        use_dictionary=plain,
        write_statistics=plain,
        **options,
    )


Groups = Callable[[pq.FileMetaData], Sequence[int]]
"""Numbers of the wanted row groups of a file."""


def read_parquet(
    place: str,
    source: Any,
    columns: list[str] | None = None,
    groups: Groups | None = None,
    ahead: bool = False,
) -> pa.Table:
    """The wanted columns and row groups of a Parquet file at `place`, all if absent.

    `ahead`: for a file behind a network.  Raises CorruptWorkspace, and the file system's own
    errors.
    """
    try:
        file = pq.ParquetFile(source, pre_buffer=ahead)
        chosen = groups(file.metadata) if groups else range(file.num_row_groups)
        table = file.read_row_groups(chosen, columns, use_threads=False)
        return table if columns is None else table.select(columns)
    except (pa.ArrowInvalid, KeyError, OSError) as error:
        if isinstance(error, OSError) and not isinstance(source, pa.BufferReader):
            raise  # the file system's own: the caller knows more
        raise corrupt(place, error) from None


def parsed_json(place: str, data: bytes) -> Any:
    """The value of a JSON file at `place`.  Raises CorruptWorkspace."""
    try:
        return json.loads(data)
    except ValueError as error:
        raise CorruptWorkspace(f"{place} is no JSON ({error}); delete it and run again") from None


def corrupt(place: str, error: Exception) -> CorruptWorkspace:
    """The error of a file that cannot be read."""
    return CorruptWorkspace(f"{place} cannot be read ({error}); delete it and run again")
