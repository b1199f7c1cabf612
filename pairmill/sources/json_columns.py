"""Columns out of JSON objects: the narrowest type that holds a key's values in all of them."""

import json
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pyarrow as pa

from pairmill.sources.guesses import EXACT, Guess
from pairmill.sources.widening import is_unseen

MAX_DEPTH = 200
TOO_DEEP = f"nested more than {MAX_DEPTH} levels deep"
SURROGATES = re.compile(rb"\\u[dD][89a-fA-F]|\xed[\xa0-\xbf]")
MAX_KEYS = 1000
"""Keys that become columns, the most frequent ones; all others stay in `metadata`."""


class SeenColumn:
    """What a key's values were so far."""

    def __init__(self) -> None:
        self.guess, self.count, self.has_bytes = Guess(), 0, False

    def see(self, value: Any) -> None:
        """Takes in a value of the key."""
        self.count += 1
        if isinstance(value, bytes):
            self.has_bytes = True
        else:
            self.guess.add(value)

    def dtype(self) -> pa.DataType:
        """Bytes, the narrowest type of JSON values that holds all of them, or text."""
        guessed = self.guess.dtype()
        if self.has_bytes:
            return pa.large_binary() if pa.types.is_null(guessed) else pa.string()
        return pa.string() if pa.types.is_null(guessed) else guessed

    def is_unseen(self) -> bool:
        """Whether there was no value, or no element of any list."""
        return not self.has_bytes and is_unseen(self.guess.dtype(pa.null()))


class JsonShape:
    """The keys of the objects that were looked at, and how wide their values are."""

    def __init__(self) -> None:
        self.keys: dict[str, SeenColumn] = {}

    def see(self, fields: Mapping[str, Any]) -> None:
        """Takes in the keys and values of an object."""
        for key, value in fields.items():
            if key not in self.keys:
                self.keys[key] = SeenColumn()
            self.keys[key].see(value)

    def unseen(self) -> frozenset[str]:
        """Keys of which no value was seen, or lists without an element."""
        return frozenset(k for k, w in self.keys.items() if w.is_unseen())

    def schema(self) -> pa.Schema:
        """A field for each of the MAX_KEYS most frequent keys, in the order they were found."""
        common = set(sorted(self.keys, key=lambda k: -self.keys[k].count)[:MAX_KEYS])
        return pa.schema([(k, w.dtype()) for k, w in self.keys.items() if k in common])


def fits(value: Any, dtype: pa.DataType) -> bool:
    """Whether a column of that type holds the value unchanged, or as its JSON text."""
    kind = type(value)
    if value is None or pa.types.is_string(dtype):
        return kind is not bytes
    if pa.types.is_list(dtype):
        return kind is list and all(fits(item, dtype.value_type) for item in value)
    if pa.types.is_boolean(dtype):
        return kind is bool
    if pa.types.is_integer(dtype):
        low, high = (0, 2**64) if dtype == pa.uint64() else (-(2**63), 2**63)
        return kind is int and low <= value < high
    if pa.types.is_floating(dtype):
        return kind is float or (kind is int and abs(value) <= EXACT)
    return kind is bytes


def as_stored(value: Any, dtype: pa.DataType) -> Any:
    """A value that fits, as the column holds it."""
    if value is None or type(value) is str:
        return value
    if pa.types.is_list(dtype):
        return [as_stored(item, dtype.value_type) for item in value]
    if pa.types.is_string(dtype):
        return as_json(value)
    return float(value) if pa.types.is_floating(dtype) else value


def as_json(value: Any) -> str:
    r"""JSON with its letters as they are, not as `\uXXXX`."""
    return json.dumps(value, ensure_ascii=False)


def parsed(data: bytes | str) -> tuple[Any, bool]:
    """(what a JSON text says, whether halves of surrogate pairs in it became U+FFFD).

    Raises ValueError where it cannot be read.
    """
    try:
        value = json.loads(data)
    except RecursionError:
        raise ValueError(TOO_DEEP) from None
    if too_deep(value):
        raise ValueError(TOO_DEEP)
    text = data if isinstance(data, bytes) else data.encode("utf-8", "surrogatepass")
    if not SURROGATES.search(text):
        return value, False
    repaired = sound(value)
    return repaired, repaired != value


def too_deep(value: Any) -> bool:
    """Whether a value has more levels than all that works on it can go down."""
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True


def sound(value: Any) -> Any:
    """The value with U+FFFD for halves of surrogate pairs, which UTF-8 does not know, and doubles
    for decimals.
    """
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return value
    if isinstance(value, dict):
        return {sound(k): sound(v) for k, v in value.items()}
    return [sound(v) for v in value] if isinstance(value, list) else value


def columns_of(objects: list[dict[str, Any]], schema: pa.Schema) -> tuple[pa.Table, pa.Array, int]:
    """The columns of `schema`; for each row what they do not hold, as JSON text or null; how many
    values that are.
    """
    known = set(schema.names)
    left: list[dict[str, Any]] = [
        {k: v for k, v in one.items() if k not in known and v is not None} for one in objects
    ]
    columns = {}
    for field in schema:
        values = []
        for one, rest in zip(objects, left, strict=True):
            value = one.get(field.name)
            if not fits(value, field.type):
                rest[field.name], value = value, None
            values.append(as_stored(value, field.type))
        columns[field.name] = pa.array(values, field.type)
    texts = [as_json(rest) if rest else None for rest in left]
    return pa.table(columns), pa.array(texts, pa.string()), sum(map(len, left))
