"""Columns with bytes as members of a tar: a mask, an audio clip, a list of frames, a struct of
both.
"""

import re
from typing import Any

import pyarrow as pa

from pairmill.outputs.pictures import suffix
from pairmill.outputs.values import holds_bytes, is_list, json_converter
from pairmill.schemas.arrow import is_bytes

Member = tuple[str, bytes]
"""Name behind the sample's key and dot, and content."""


def member_base(column: str) -> str:
    """A column's name as the first part of its members' names, lower case as loaders read it."""
    return re.sub(r"[^a-z0-9_-]", "_", column.lower())


def is_flat(dtype: pa.DataType) -> bool:
    """Whether a column's members alone tell its value: bytes, no list or struct of them."""
    return is_bytes(dtype)


def members(value: Any, dtype: pa.DataType, base: str) -> tuple[Any, list[Member]]:
    """A value's JSON form, in which members' names stand for bytes, and these members.

    Bytes become `mask.png`, a list of them `frames.0.jpg`, `frames.1.jpg`, a struct's field
    `scan.depth.png`; the field `bytes` of a struct has no part of its own in the name.
    """
    if value is None:
        return None, []
    if is_bytes(dtype):
        name = f"{base}.{suffix(value)}"
        return name, [(name, value)]
    if not holds_bytes(dtype):
        return json_converter(dtype)(value), []
    if is_list(dtype):
        parts = [members(v, dtype.value_type, f"{base}.{i}") for i, v in enumerate(value)]
        return [form for form, _ in parts], [m for _, found in parts for m in found]
    forms: dict[str, Any] = {}
    inside: list[Member] = []
    for field in dtype:
        name = base if field.name == "bytes" else f"{base}.{member_base(field.name)}"
        forms[field.name], found = members(value[field.name], field.type, name)
        inside += found
    return forms, inside
