"""Which column of a table holds the images, where the pipeline file does not say it."""

import json
from collections.abc import Sequence

import pyarrow as pa

from pairmill.schemas.arrow import is_bytes
from pairmill.sources.table_config import PairsConfig, ParquetConfig, TableConfig
from pairmill.sources.values import is_list

USUAL = "image"
FILE_NAMES = (
    "image", "file_name", "filename", "image_path", "img_path", "image_file", "img", "picture",
    "file", "path", "filepath",
)  # fmt: skip
"""Columns that name image files in published sets, the likelier first."""


def found_image(config: TableConfig, schemas: Sequence[pa.Schema]) -> str | None:
    """The column of images: by its usual name, by Hugging Face's metadata, or the only one that can
    be it; in `pairs` only with a folder of `images`.
    """
    names = {name for schema in schemas for name in schema.names}
    if isinstance(config, PairsConfig):
        files = (name for name in FILE_NAMES if name in names)
        return next(files, None) if config.images is not None else None
    if USUAL in names:
        return USUAL
    fields = [f for schema in schemas for f in schema]
    declared = [n for schema in schemas if (n := declared_image(schema))]
    structs = [f.name for f in fields if is_hugging_face(f.type)]
    lists = [f.name for f in fields if is_list(f.type) and is_hugging_face(f.type.value_type)]
    binary = [f.name for f in fields if is_bytes(f.type)]
    for found in (declared, structs, binary, lists):
        if len(set(found)) == 1:
            return found[0]
    return USUAL if isinstance(config, ParquetConfig) else None


def is_hugging_face(dtype: pa.DataType) -> bool:
    """Whether a type is the struct of `bytes` and `path` in which `datasets` stores an image."""
    return pa.types.is_struct(dtype) and {f.name for f in dtype} == {"bytes", "path"}


def declared_image(schema: pa.Schema) -> str | None:
    """The first column that the metadata of `datasets` calls an image, or None."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return next((n for n, f in features.items() if f.get("_type") == "Image"), None)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
