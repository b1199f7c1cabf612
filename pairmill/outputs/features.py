"""Columns as Hugging Face `datasets` describes them: in a Parquet file's metadata, and in the head
of a dataset card.
"""

import json
from collections.abc import Collection
from typing import Any

import pyarrow as pa

from pairmill.outputs.values import is_list

NAMES = {
    pa.float16(): "float16",
    pa.float32(): "float32",
    pa.float64(): "float64",
    pa.bool_(): "bool",
    pa.string(): "string",
    pa.large_string(): "large_string",
    pa.binary(): "binary",
    pa.large_binary(): "large_binary",
    pa.date32(): "date32",
    pa.date64(): "date64",
    pa.null(): "null",
}
"""Where `datasets` has another name than Arrow."""


def value_name(dtype: pa.DataType) -> str:
    """What `datasets` calls an Arrow type that has no parts."""
    return NAMES.get(dtype) or str(dtype)


def with_features(schema: pa.Schema, images: Collection[str] = ()) -> pa.Schema:
    """The schema of a Parquet file, told to `datasets` in the file's metadata; `images`: columns
    that are pictures, or lists of pictures.
    """
    features = {f.name: feature(f.type, f.name in images) for f in schema}
    return schema.with_metadata({"huggingface": json.dumps({"info": {"features": features}})})


def feature(dtype: pa.DataType, image: bool = False) -> Any:
    """A column as the metadata of a Parquet file describes it to `datasets`; `image`: it holds
    pictures, or lists of them.
    """
    if is_list(dtype):
        inner = feature(dtype.value_type, image)
        length = {"length": dtype.list_size} if pa.types.is_fixed_size_list(dtype) else {}
        return {"feature": inner, "_type": "List", **length}
    if image:
        return {"_type": "Image"}
    if pa.types.is_struct(dtype):
        return {f.name: feature(f.type) for f in dtype}
    return {"dtype": value_name(dtype), "_type": "Value"}


def card_features(schema: pa.Schema, images: Collection[str] = ()) -> list[dict[str, Any]]:
    """`dataset_info: features:` of a dataset card."""
    return [{"name": f.name, **card_feature(f.type, f.name in images)} for f in schema]


def card_feature(dtype: pa.DataType, image: bool = False) -> dict[str, Any]:
    """A column as the YAML head of a dataset card describes it; `image`: it holds pictures, or
    lists of them.
    """
    if is_list(dtype):
        inner = card_feature(dtype.value_type, image)
        length = {"length": dtype.list_size} if pa.types.is_fixed_size_list(dtype) else {}
        plain = inner.get("dtype", inner.get("struct"))
        return {"list": inner if plain is None else plain, **length}
    if image:
        return {"dtype": "image"}
    if pa.types.is_struct(dtype):
        return {"struct": [{"name": f.name, **card_feature(f.type)} for f in dtype]}
    return {"dtype": value_name(dtype)}
