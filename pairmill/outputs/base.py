"""What an output is: which columns it takes, how one shard of samples becomes files."""

import hashlib
import io
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, BinaryIO, ClassVar

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from pairmill.schemas.arrow import SIZE_SUFFIX, is_payload, is_volatile, leaf_columns
from pairmill.schemas.expressions import (
    BadExpression,
    Expression,
    compile_expression,
    frame_of,
    unknown_column,
)
from pairmill.schemas.pipeline import OutputConfig


@dataclass(frozen=True)
class OutputFile:
    """A file of a package: name relative to it, and what writes its content to a stream."""

    name: str
    write: Callable[[BinaryIO], object]


def bytes_file(name: str, data: bytes) -> OutputFile:
    return OutputFile(name, lambda stream: stream.write(data))


class HashingStream(io.RawIOBase):
    """Passes bytes on, and counts and hashes them on the way."""

    def __init__(self, target: Any) -> None:
        self.target, self.count, self.hash = target, 0, hashlib.sha256()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.target.write(data)
        size = len(memoryview(data).cast("B"))
        self.hash.update(data)
        self.count += size
        return size

    def tell(self) -> int:
        return self.count


class Writer:
    """Turns ordered rows into the files of one output shard; the same rows give the same bytes."""

    Config: ClassVar[type[OutputConfig]]
    reserved: ClassVar[tuple[str, ...]] = ()
    """Names that the format uses itself."""

    def __init__(self, config: Any) -> None:
        self.config = config
        self.choice = CaptionChoice(config.caption)

    def problems(self, schema: pa.Schema) -> Iterator[tuple[tuple[str, ...], str]]:
        """(key path, message) of everything that does not fit the planned columns."""
        for name in self.config.columns or ():
            if name not in schema.names:
                yield (
                    ("columns",),
                    unknown_column(f"the {self.config.type} output", name, schema.names),
                )
        for name in self.payload():
            if name not in schema.names:
                yield (
                    ("image",),
                    unknown_column(f"the {self.config.type} output", name, schema.names),
                )
        yield from self.choice.problems(schema)
        for name in sorted(set(self.reserved) & set(self.quality_columns(schema))):
            if name != "caption" or "caption" not in self.choice.names():
                yield (
                    ("caption",),
                    f"the column {name!r} would be hidden by the {self.config.type} output's own {name!r}; give the stage a `name:`, "
                    "list it in `caption:`, or choose `columns:` without it",
                )

    def payload(self) -> list[str]:
        """Binary columns that every sample needs."""
        return [self.config.image]

    def quality_columns(self, schema: pa.Schema) -> list[str]:
        """Columns that travel with a sample: what the user names, or all but payload, embeddings
        and what differs from run to run.
        """
        if self.config.columns is not None:
            return list(self.config.columns)
        return [
            f.name
            for f in schema
            if not (
                is_payload(f.type)
                or is_volatile(f)
                or is_embedding(f.type)
                or f.name.endswith(SIZE_SUFFIX)
            )
        ]

    def columns(self, schema: pa.Schema) -> list[str]:
        """All columns that `files` wants."""
        return list(
            dict.fromkeys(
                [*self.quality_columns(schema), *self.payload(), *self.text_columns(schema)]
            )
        )

    def text_columns(self, schema: pa.Schema) -> list[str]:
        return list(self.choice.compiled(schema).columns)

    def files(self, rows: pa.Table, shard: int, first_key: int) -> list[OutputFile]:
        """The files of output shard number `shard`, whose rows stand in the order of the package."""
        raise NotImplementedError

    def closing_files(self, shards: list[dict[str, Any]]) -> list[OutputFile]:
        """Files that need to know all shards."""
        return []

    def documents(self) -> bool:
        """Whether a sample is a document of several rows."""
        return False


def is_embedding(dtype: pa.DataType) -> bool:
    return pa.types.is_fixed_size_list(dtype)


class CaptionChoice:
    """`caption:` of an output: one SQL expression, or a list of columns of which the first with a
    text counts.
    """

    def __init__(self, caption: str | list[str]) -> None:
        self.caption = caption
        self.expression: Expression | None = None

    def names(self) -> list[str]:
        """The columns of a preference list, or the expression."""
        return self.caption if isinstance(self.caption, list) else [self.caption]

    def problems(self, schema: pa.Schema) -> Iterator[tuple[tuple[str, ...], str]]:
        try:
            self.compiled(schema)
        except BadExpression as error:
            yield ("caption",), str(error)

    def compiled(self, schema: pa.Schema) -> Expression:
        plain = pa.schema([f for f in schema if not is_payload(f.type)])
        if isinstance(self.caption, list):
            for name in self.caption:
                if name not in plain.names:
                    raise BadExpression(unknown_column("caption", name, plain.names))
            text = (
                f"COALESCE({', '.join(f'NULLIF({name}, {chr(39) * 2})' for name in self.caption)})"
            )
        else:
            text = self.caption
        expression, dtype = compile_expression(text, plain)
        if dtype != pl.String:
            raise BadExpression(f"caption {text!r} gives {dtype}, not a text")
        self.expression = expression
        return expression

    def of(self, rows: pa.Table) -> list[str | None]:
        expression = self.expression or self.compiled(rows.schema)
        values = expression.evaluate(
            frame_of(rows.select(list(expression.columns) or rows.schema.names[:1]))
        )
        return values.to_list()


def parquet_file(name: str, table: pa.Table, **options: Any) -> OutputFile:
    """Images as they are, everything else with zstd."""
    leaves = [leaf for field in table.schema for leaf in leaf_columns(field)]
    compression = {path: "none" if is_payload(kind) else "zstd" for path, kind in leaves}
    dictionary = [path for path, kind in leaves if not is_payload(kind)]
    return OutputFile(
        name,
        lambda out: pq.write_table(
            table, out, compression=compression, use_dictionary=dictionary, **options
        ),
    )


def json_value(value: Any) -> Any:
    """A column's value as JSON knows it, lists and structs included: dates as ISO 8601, no NaN or
    infinity.
    """
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if isinstance(value, Decimal):
        value = float(value)
    if isinstance(value, float):
        return float(f"{value:.7g}") if math.isfinite(value) else None
    if isinstance(value, list):
        return [json_value(v) for v in value]
    if isinstance(value, dict):
        return {k: json_value(v) for k, v in value.items()}
    return value


def json_bytes(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
