"""Flat Parquet of pairs, with the image as Hugging Face `datasets` reads it."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Any, Literal

import pyarrow as pa

from pairmill.outputs.base import Loading, OutputFile, Problem, ShardRows
from pairmill.outputs.features import with_features
from pairmill.outputs.imaged import ImageOutputConfig, ImageWriter
from pairmill.outputs.parquet_files import streamed_parquet
from pairmill.outputs.pictures import Picture
from pairmill.outputs.values import leaving, leaving_field
from pairmill.schemas.config import SPEED

DATA = "data"
"""Folder of a package's Parquet files, which holds nothing else, so that it can be read as it is.
"""
IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
"""A picture as `datasets` stores it."""


class ParquetOutputConfig(ImageOutputConfig):
    """`data/00000.parquet`: `image` (struct of bytes and path), `caption`, and the quality columns
    in their types.
    """

    type: Annotated[Literal["parquet"], SPEED] = "parquet"


class ParquetWriter(ImageWriter):
    """Row groups of at most 256 samples and about 32 MB; the schema's metadata tells `datasets`
    that `image` is an Image.
    """

    Config = ParquetOutputConfig
    reserved = ("caption",)

    def problems(self, schema: pa.Schema) -> Iterator[Problem]:
        yield from super().problems(schema)
        if self.config.image != "image" and "image" in self.quality_columns(schema):
            yield (
                ("image",),
                f"the column 'image' would be hidden by {self.config.image!r}, which the parquet "
                "output calls `image`; choose `columns:` without it",
            )

    def table_schema(self, schema: pa.Schema) -> pa.Schema:
        """The file's columns: image and caption, then those that travel with a sample."""
        own = [pa.field("image", IMAGE), pa.field("caption", pa.string())]
        taken = ("image", "caption", self.config.image)
        others = [n for n in self.columns(schema) if n not in taken]
        fields = [leaving_field(schema.field(n)).remove_metadata() for n in others]
        return with_features(pa.schema([*own, *fields]), ["image"])

    def files(self, rows: ShardRows, shard: int, first_key: int) -> Iterable[OutputFile]:
        captions = self.choice.of_shard(rows)
        schema = self.table_schema(rows.schema)

        def batches() -> Iterator[pa.Table]:
            for batch in self.batches(rows):
                have = {**columns_of(leaving(batch.table)), **columns_of(leaving(batch.payload))}
                last = batch.first + batch.table.num_rows
                have["image"] = image_array(batch.pictures, first_key + batch.first)
                have["caption"] = pa.array(captions[batch.first : last], pa.string())
                yield pa.table([have[n] for n in schema.names], schema=schema)

        yield streamed_parquet(f"{DATA}/{shard:05d}.parquet", schema, batches)

    def loading(self, shards: list[dict[str, Any]], schema: pa.Schema) -> Loading:
        return Loading(f"{DATA}/*.parquet", self.table_schema(schema), ("image",))


def columns_of(table: pa.Table) -> dict[str, Any]:
    """The table's columns by name."""
    return {n: table.column(n) for n in table.schema.names}


def image_array(pictures: Sequence[Picture], first_key: int) -> pa.Array:
    """The pictures as `datasets` stores them; a name that tells number and format for each."""
    data = pa.array([p.data for p in pictures], pa.binary())
    paths = pa.array([f"{first_key + i:09d}.{p.suffix}" for i, p in enumerate(pictures)])
    return pa.StructArray.from_arrays([data, paths], fields=list(IMAGE))
