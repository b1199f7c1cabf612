"""Flat Parquet of pairs, with the image as Hugging Face `datasets` reads it."""

import json
from typing import Annotated, Literal

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from pairmill.outputs.base import OutputFile, Writer, parquet_file
from pairmill.outputs.webdataset import suffix
from pairmill.schemas.config import SPEED
from pairmill.schemas.pipeline import OutputConfig

ROW_GROUP = 256


class ParquetOutputConfig(OutputConfig):
    """`00000.parquet`: `image` (struct of bytes and path), `caption`, and the quality columns."""

    type: Annotated[Literal["parquet"], SPEED] = "parquet"
    image: str = "image"
    """Column with the encoded images."""
    caption: str | list[str] = Field(["text"], min_length=1)
    """The `caption` column: a preference list such as `[fused, synthetic, text]`, or an SQL
    expression that gives a text.
    """


class ParquetWriter(Writer):
    """Row groups of 256 samples; the schema's metadata tells `datasets` that `image` is an Image."""

    Config = ParquetOutputConfig
    reserved = ("caption",)

    def files(self, rows: pa.Table, shard: int, first_key: int) -> list[OutputFile]:
        images = pc.cast(rows.column(self.config.image), pa.binary()).combine_chunks()
        paths = [f"{first_key + i:09d}.{suffix(data.as_py())}" for i, data in enumerate(images)]
        image = pa.StructArray.from_arrays([images, pa.array(paths)], ["bytes", "path"])
        columns = {"image": image, "caption": pa.array(self.choice.of(rows), pa.string())}
        for name in rows.schema.names:
            if name not in columns and name != self.config.image:
                columns[name] = rows.column(name)
        table = pa.table(columns)
        features = {n: hf_feature(table.schema.field(n).type) for n in table.schema.names}
        if all(features.values()):
            features["image"] = {"_type": "Image"}
            table = table.replace_schema_metadata(
                {"huggingface": json.dumps({"info": {"features": features}})}
            )
        return [parquet_file(f"{shard:05d}.parquet", table, row_group_size=ROW_GROUP)]


def hf_feature(dtype: pa.DataType) -> dict[str, str] | None:
    """The `datasets` feature of a flat type; None for what it would rather infer."""
    if pa.types.is_struct(dtype):
        return {"_type": "Image"}
    names = {
        pa.float32(): "float32",
        pa.float64(): "float64",
        pa.bool_(): "bool",
        pa.string(): "string",
    }
    if dtype in names:
        return {"dtype": names[dtype], "_type": "Value"}
    return {"dtype": str(dtype), "_type": "Value"} if pa.types.is_integer(dtype) else None
