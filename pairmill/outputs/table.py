"""Tables of what was kept, without pictures: addresses, texts, scores."""

import io
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, BinaryIO, Literal

import pyarrow as pa
import pyarrow.csv
from pydantic import Field

from pairmill.outputs.base import Loading, OutputFile, ShardRows, Writer
from pairmill.outputs.features import with_features
from pairmill.outputs.parquet import DATA, columns_of
from pairmill.outputs.parquet_files import streamed_parquet
from pairmill.outputs.values import (
    holds_bytes,
    json_bytes,
    json_column,
    json_type,
    leaving,
    leaving_field,
    line_column,
    line_type,
    tell_not_finite,
)
from pairmill.schemas.config import SPEED
from pairmill.schemas.pipeline import OutputConfig

CSV_OPTIONS = {"keep_default_na": False, "na_values": [""]}
"""How `datasets` has to read: a text such as `NA` is a text."""


class TableOutputConfig(OutputConfig):
    """`data/00000.parquet` (or `.csv`, `.jsonl`) with the quality columns; no image is needed."""

    type: Annotated[Literal["table"], SPEED] = "table"
    format: Literal["parquet", "csv", "jsonl"] = "parquet"
    """File format.  In CSV and JSON lines, dates and decimals are text; CSV holds lists as JSON."""
    samples_per_shard: int = Field(1_000_000, ge=1, le=10_000_000)
    """Rows in each file; only the last one has fewer."""


class TableWriter(Writer):
    """Columns with bytes are left out unless named; Parquet alone can hold them."""

    Config = TableOutputConfig

    def is_left_out(self, column: pa.Field) -> bool:
        return super().is_left_out(column) or holds_bytes(column.type)

    def refused(self, column: pa.Field) -> str | None:
        if self.config.format != "parquet" and holds_bytes(column.type):
            return f"{self.config.format} has no bytes"
        return super().refused(column)

    def files(self, rows: ShardRows, shard: int, first_key: int) -> Iterable[OutputFile]:
        name = f"{DATA}/{shard:05d}.{self.config.format}"
        if self.config.format == "parquet":
            schema = self.table_schema(rows.schema)
            yield streamed_parquet(name, schema, lambda: self.tables(rows, schema))
        else:
            table = leaving(rows.table)
            write = write_csv if self.config.format == "csv" else write_lines
            if self.config.format == "jsonl":
                tell_not_finite(table, rows.told)
            yield OutputFile(name, lambda stream: write(table, stream))

    def table_schema(self, schema: pa.Schema) -> pa.Schema:
        """The file's columns in the types in which they leave."""
        fields = [leaving_field(schema.field(n)).remove_metadata() for n in self.columns(schema)]
        return with_features(pa.schema(fields))

    def tables(self, rows: ShardRows, schema: pa.Schema) -> Iterator[pa.Table]:
        """The shard as tables of `schema`, some rows at a time."""
        for _, table, payload in rows.batches():
            have = {**columns_of(leaving(table)), **columns_of(leaving(payload))}
            yield pa.table([have[n] for n in schema.names], schema=schema)

    def loading(self, shards: list[dict[str, Any]], schema: pa.Schema) -> Loading:
        features = self.table_schema(schema)
        if self.config.format != "parquet":
            told = csv_type if self.config.format == "csv" else line_type
            features = pa.schema([(f.name, told(f.type)) for f in features])
        options = CSV_OPTIONS if self.config.format == "csv" else {}
        return Loading(f"{DATA}/*.{self.config.format}", features, options=options)


def csv_type(dtype: pa.DataType) -> pa.DataType:
    """The Arrow type of a leaving column in CSV: text (JSON) for lists and structs."""
    return pa.string() if pa.types.is_nested(dtype) else json_type(dtype)


def write_lines(table: pa.Table, stream: BinaryIO) -> None:
    """Writes each row as a line of JSON; NaN and infinity become null."""
    names = table.schema.names
    columns = [line_column(table.column(n)) for n in names]
    for values in zip(*columns, strict=True):
        stream.write(json_bytes(dict(zip(names, values, strict=True))) + b"\n")


def write_csv(table: pa.Table, stream: BinaryIO) -> None:
    """RFC 4180 with a head; null is nothing, an empty text is `""`."""
    columns = {}
    for field in table.schema:
        values = table.column(field.name)
        if pa.types.is_nested(field.type):
            cells = [None if v is None else json_bytes(v).decode() for v in json_column(values)]
            columns[field.name] = pa.array(cells, pa.string())
        elif csv_type(field.type) != field.type:
            columns[field.name] = pa.array(json_column(values), pa.string())
        else:
            columns[field.name] = values
    sink = io.BytesIO()
    pyarrow.csv.write_csv(pa.table(columns), sink)
    stream.write(sink.getvalue())
