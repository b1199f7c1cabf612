"""Formats of tables that tell their columns themselves: Parquet, Arrow, Lance, TFRecord, JSON
documents.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pyarrow as pa

from pairmill.sources.arrow_files import arrow_rows, arrow_schema
from pairmill.sources.base import Input
from pairmill.sources.json_tables import json_document_rows, json_document_schema
from pairmill.sources.lance_files import lance_rows, lance_schema
from pairmill.sources.parquet_files import parquet_rows, parquet_schema
from pairmill.sources.rows import Part
from pairmill.sources.table_config import TableConfig


@dataclass(frozen=True)
class TableFormat:
    """How files of a format are looked at and read."""

    schema: Callable[[Input, TableConfig], tuple[pa.Schema, int | None]]
    """Columns in types that we store, and rows, where the file tells them; raises NoInput."""
    rows: Callable[[Input, TableConfig], Iterator[Part]]


FORMATS = {
    "parquet": TableFormat(
        lambda item, config: parquet_schema(item), lambda item, config: parquet_rows(item)
    ),
    "arrow": TableFormat(
        lambda item, config: arrow_schema(item), lambda item, config: arrow_rows(item)
    ),
    "json": TableFormat(json_document_schema, json_document_rows),
    "lance": TableFormat(lance_schema, lance_rows),
}
