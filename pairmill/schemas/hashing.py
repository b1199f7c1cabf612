"""Identities: stable hashes of what decides a value, and of nothing else."""

import hashlib
import json
import math
from collections.abc import Mapping
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any

from pydantic import BaseModel

AS_THEY_ARE = frozenset({str, int, bool, type(None)})
"""Types of which most values are, and which JSON has."""
AS_JSON = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


class NoStableForm(TypeError):
    """A value of which two processes would not make the same hash; the message says where."""


def canonical(value: object, at: str) -> Any:
    """`value` as plain JSON with sorted keys.

    Raises NoStableForm, naming the place `at`, for anything that has no stable hash.
    """
    if type(value) in AS_THEY_ARE:
        return value
    match value:
        case Enum():
            return canonical(value.value, at)
        case None | bool() | int() | str():
            return value
        case float() if math.isfinite(value):
            return value
        case Mapping():
            strange = [k for k in value if not isinstance(k, str | int | Enum)]
            if strange or len({str(k) for k in value}) < len(value):
                raise NoStableForm(f"{at}: the keys of a map must be texts, and {strange} are none")
            return {str(k): canonical(v, f"{at}.{k}") for k, v in sorted(value.items(), key=by_key)}
        case list() | tuple():
            return [
                v if type(v) in AS_THEY_ARE else canonical(v, f"{at}[{i}]")
                for i, v in enumerate(value)
            ]
        case BaseModel():
            return canonical({name: getattr(value, name) for name in type(value).model_fields}, at)
        case bytes():
            return {"bytes": value.hex()}
        case PurePath():
            return value.as_posix()
        case date() | time():
            return value.isoformat()
        case timedelta():
            return {"seconds": value.total_seconds()}
        case Decimal() if value.is_finite():
            return {"decimal": str(value)}
        case _:
            raise NoStableForm(
                f"{at}: {value!r:.40} has no stable hash; use text, numbers, lists or maps"
            )


def by_key(item: tuple[Any, Any]) -> str:
    """Keys of a map in the order of their texts."""
    return str(item[0])


def digest(value: object, at: str = "identity") -> str:
    """16 hex digits (64 bits) of BLAKE2b over the canonical JSON of `value`."""
    text = AS_JSON.encode(canonical(value, at))
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def row_uid(*parts: str | bytes | None) -> str:
    """128 bits as 32 hex digits, from the content of a row; None and '' differ."""
    pieces = []
    for part in parts:
        data = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        if data is None:
            pieces.append(b"\x00")
        else:
            pieces += (b"\x01", len(data).to_bytes(8, "little"), data)
    return hashlib.blake2b(b"".join(pieces), digest_size=16).hexdigest()


def row_chance(uid: str, seed: int, salt: str) -> int:
    """A 64-bit number that depends on the row's uid, the seed and the salt alone."""
    key = f"{seed}:{salt}:{uid}".encode()
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "little")
