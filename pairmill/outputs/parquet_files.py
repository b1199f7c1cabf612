"""Parquet files that are written some rows at a time."""

from collections.abc import Iterable
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pairmill.outputs.base import OutputFile
from pairmill.schemas.arrow import is_bytes, leaf_columns


def parquet_file(name: str, table: pa.Table) -> OutputFile:
    """A Parquet file of a table that is in memory."""
    return streamed_parquet(name, table.schema, lambda: [table])


def streamed_parquet(name: str, schema: pa.Schema, batches: Any) -> OutputFile:
    """Each of the tables that `batches()` gives is a row group; bytes are stored as they are,
    everything else with zstd, and every page has a checksum.
    """
    leaves = [leaf for field in schema for leaf in leaf_columns(field)]
    compression = {path: "none" if is_bytes(kind) else "zstd" for path, kind in leaves}
    dictionary = [path for path, kind in leaves if not is_bytes(kind)]

    def write(stream: Any) -> None:
        with pq.ParquetWriter(
            stream,
            schema,
            compression=compression,
            use_dictionary=dictionary,
            write_page_checksum=True,
        ) as writer:
            tables: Iterable[pa.Table] = batches()
            for table in tables:
                writer.write_table(table.cast(schema), row_group_size=max(1, table.num_rows))

    return OutputFile(name, write)
