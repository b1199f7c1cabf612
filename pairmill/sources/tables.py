"""Tables of pairs: Parquet, CSV, TSV and JSON lines, plain or .gz/.zst, with or without image
bytes.
"""

import io
import json
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import fsspec
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
from pydantic import Field

from pairmill.schemas.config import PATH, SPEED
from pairmill.schemas.expressions import frame_of
from pairmill.schemas.pipeline import SourceConfig
from pairmill.sources.base import Input, NoInput, Source, Unreadable, column_names
from pairmill.sources.image_bytes import ImageBytesConfig, image_columns, measured_schema

SAMPLE_ROWS = 1000
CHUNK_BYTES = 8 * 2**20


class PairsConfig(SourceConfig):
    """Tables of image URLs and texts; the column names of LAION, DataComp, COYO and cc2dataset are
    known.
    """

    type: Annotated[Literal["pairs"], SPEED] = "pairs"
    path: Annotated[str | list[str], PATH]
    """File, folder, glob or fsspec URL, or a list of them: .parquet, .csv, .tsv, .jsonl, and
    .gz/.zst of the last three.
    """
    columns: dict[str, str] = {}
    """Our column → the input's, where names are not recognised, such as `{url: picture, text:
    words}`.
    """


class ParquetConfig(ImageBytesConfig):
    """Parquet with image bytes: a binary column, or Hugging Face's struct of `bytes` and `path`."""

    type: Annotated[Literal["parquet"], SPEED] = "parquet"
    path: Annotated[str | list[str], PATH]
    """File, folder, glob or fsspec URL, or a list of them."""
    image: str = Field("image", min_length=1)
    """The input's column that holds the images."""
    columns: dict[str, str] = {}
    """Our column → the input's, where names are not recognised."""


class TableSource(Source):
    """Reads tables; types of text formats come from the first 1,000 rows."""

    def __init__(self, config: PairsConfig | ParquetConfig) -> None:
        super().__init__(config)
        self.image = config.image if isinstance(config, ParquetConfig) else None

    def schema(self) -> pa.Schema:
        raw = self._raw_schema()
        names = self._names(raw)
        fields = [pa.field(names[f.name], f.type) for f in raw if f.name != self.image]
        return pa.schema(fields + (measured_schema() if self.image else []))

    def _raw_schema(self) -> pa.Schema:
        faults = []
        for item in self.inputs():
            try:
                schema = raw_schema(item)
            except (OSError, ValueError, pa.ArrowException) as error:
                faults.append(f"{item.name}: {error}")
                continue
            if self.image and self.image not in schema.names:
                raise NoInput(
                    f"{item.name} has no column {self.image!r} (columns: {', '.join(schema.names)}); name it with `image:`"
                )
            for ours, theirs in self.config.columns.items():
                if theirs not in schema.names:
                    raise NoInput(
                        f"{item.name} has no column {theirs!r} for {ours!r} (columns: {', '.join(schema.names)})"
                    )
            return schema
        raise NoInput("no input file can be read: " + "; ".join(faults))

    def _names(self, raw: pa.Schema) -> dict[str, str]:
        return column_names(
            [n for n in raw.names if n != self.image], self.config.columns, self.image is not None
        )

    def read(self) -> Iterator[pa.Table | Unreadable]:
        raw = self._raw_schema()
        names = self._names(raw)
        for item in self.inputs():
            try:
                for part in read_file(item, raw):
                    if isinstance(part, Unreadable):
                        yield part
                        continue
                    part = with_source(
                        part.rename_columns([names.get(n, n) for n in part.schema.names]), item.name
                    )
                    if self.image:
                        yield from image_columns(part, self.image, item.name, self.config.check)
                    else:
                        yield part
            except (OSError, ValueError, pa.ArrowException, EOFError) as error:
                yield Unreadable(
                    item.name,
                    f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else error!r}",
                )


def with_source(table: pa.Table, file: str) -> pa.Table:
    """Adds the file's name as `source`, unless the input has such a column."""
    if "source" in table.schema.names:
        return table
    return table.append_column("source", pa.array([file] * table.num_rows, pa.string()))


def format_of(item: Input) -> str:
    plain = item.name.lower().removesuffix(".gz").removesuffix(".zst")
    suffix = plain.rsplit(".", 1)[-1]
    known = {
        "parquet": "parquet",
        "csv": "csv",
        "tsv": "tsv",
        "tab": "tsv",
        "jsonl": "jsonl",
        "ndjson": "jsonl",
        "json": "jsonl",
    }
    if suffix not in known:
        raise NoInput(
            f"{item.name}: unknown format; use .parquet, .csv, .tsv or .jsonl (the last three also as .gz or .zst)"
        )
    return known[suffix]


def open_text(item: Input) -> pa.NativeFile:
    name = item.name.lower()
    compression = "gzip" if name.endswith(".gz") else "zstd" if name.endswith(".zst") else None
    raw = pa.PythonFile(fsspec.open(item.url, "rb").open(), mode="r")
    return pa.CompressedInputStream(raw, compression) if compression else raw


def raw_schema(item: Input) -> pa.Schema:
    kind = format_of(item)
    if kind == "parquet":
        with fsspec.open(item.url, "rb") as stream:
            schema = pq.read_schema(stream)
        return pa.schema([pa.field(f.name, plain_type(f.type)) for f in schema])
    sample = pl.DataFrame()
    for part in text_parts(item, kind, None):
        if isinstance(part, pa.Table):
            sample = frame_of(part.slice(0, SAMPLE_ROWS))
            break
    types = [
        pa.field(
            name,
            guessed(sample[name]) if kind != "jsonl" else plain_type(sample[name].to_arrow().type),
        )
        for name in sample.columns
    ]
    if not types:
        raise NoInput(f"{item.name} holds no row that can be read")
    return pa.schema(types)


def plain_type(dtype: pa.DataType) -> pa.DataType:
    if pa.types.is_large_string(dtype) or pa.types.is_string_view(dtype) or pa.types.is_null(dtype):
        return pa.string()
    return pa.large_binary() if pa.types.is_binary(dtype) else dtype


def guessed(values: pl.Series) -> pa.DataType:
    """int64, float64 or string, whichever all sampled texts are."""
    for dtype, arrow in ((pl.Int64, pa.int64()), (pl.Float64, pa.float64())):
        if values.len() > values.null_count() == values.cast(dtype, strict=False).null_count():
            return arrow
    return pa.string()


def read_file(item: Input, schema: pa.Schema) -> Iterator[pa.Table | Unreadable]:
    kind = format_of(item)
    if kind == "parquet":
        with fsspec.open(item.url, "rb") as stream:
            for batch in pq.ParquetFile(stream).iter_batches(batch_size=4096):
                yield aligned(pa.Table.from_batches([batch]), schema)
        return
    for part in text_parts(item, kind, schema):
        yield part if isinstance(part, Unreadable) else aligned(part, schema)


def aligned(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table with exactly the planned columns; a value that does not fit its type becomes null."""
    columns = []
    for field in schema:
        if field.name not in table.schema.names:
            columns.append(pa.nulls(table.num_rows, field.type))
            continue
        values = table.column(field.name)
        try:
            columns.append(values.cast(field.type))
        except pa.ArrowInvalid:
            loose = pl.from_arrow(values).cast(
                pl.Series(pa.array([], field.type)).dtype, strict=False
            )
            columns.append(loose.to_arrow().cast(field.type))
    return pa.table(columns, schema=schema)


def text_parts(item: Input, kind: str, schema: pa.Schema | None) -> Iterator[pa.Table | Unreadable]:
    with open_text(item) as stream:
        yield from (
            json_lines(item, stream)
            if kind == "jsonl"
            else separated(item, stream, "\t" if kind == "tsv" else ",")
        )


def separated(
    item: Input, stream: pa.NativeFile, delimiter: str
) -> Iterator[pa.Table | Unreadable]:
    """CSV or TSV, every value as text; rows with a wrong number of fields come as Unreadable."""
    bad: list[Unreadable] = []

    def note(row: Any) -> str:
        bad.append(Unreadable(f"{item.name} row {row.number if row.number is not None else '?'}", f"{row.actual_columns} fields where the header has {row.expected_columns}: {row.text[:80]!r}"))  # fmt: skip
        return "skip"

    parse = pa.csv.ParseOptions(
        delimiter=delimiter, newlines_in_values=True, invalid_row_handler=note, quote_char='"'
    )
    read = pa.csv.ReadOptions(block_size=CHUNK_BYTES, use_threads=False)
    header = pa.csv.open_csv(
        io.BytesIO(first_line(item)), read_options=read, parse_options=parse
    ).schema.names
    convert = pa.csv.ConvertOptions(
        column_types={n: pa.string() for n in header},
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
        check_utf8=True,
    )
    for batch in pa.csv.open_csv(
        stream, read_options=read, parse_options=parse, convert_options=convert
    ):
        yield from bad
        bad.clear()
        yield pa.Table.from_batches([batch])
    yield from bad


def first_line(item: Input) -> bytes:
    with open_text(item) as stream:
        head = stream.read(2**16)
    return head.split(b"\n", 1)[0] + b"\n"


def json_lines(item: Input, stream: pa.NativeFile) -> Iterator[pa.Table | Unreadable]:
    """JSON lines; a line that is no JSON object comes as Unreadable."""
    rest, line_no = b"", 0
    while True:
        chunk = stream.read(CHUNK_BYTES)
        lines = (rest + chunk).split(b"\n")
        rest = lines.pop() if chunk else b""
        rows = []
        for line in lines:
            line_no += 1
            if not line.strip():
                continue
            try:
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise ValueError(f"a {type(row).__name__}, not an object")
                rows.append(row)
            except ValueError as error:
                yield Unreadable(f"{item.name} line {line_no}", f"no JSON object: {error}")
        if rows:
            yield to_table(rows)
        if not chunk:
            return


def to_table(rows: list[dict[str, Any]]) -> pa.Table:
    """Objects as a table; nested values as JSON text, columns of mixed types as text."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    return pa.table({name: json_column([row.get(name) for row in rows]) for name in names})


def json_column(values: list[Any]) -> pa.Array:
    values = [
        json.dumps(v, ensure_ascii=False) if isinstance(v, dict | list) else v for v in values
    ]
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError):

        def as_text(v: Any) -> str | None:
            return v if v is None or isinstance(v, str) else json.dumps(v)

        return pc.cast(pa.array([as_text(v) for v in values]), pa.string())
