"""How a workspace's values become bytes: JSON for people, Parquet for rows."""

import json
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

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
