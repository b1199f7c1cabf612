"""Identities: stable hashes of what decides a value, and of nothing else."""

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any


def canonical(value: object, at: str) -> Any:
    """`value` as plain JSON with sorted keys.

    Raises TypeError, naming the place `at`, for anything that has no stable hash.
    """
    match value:
        case None | bool() | int() | str():
            return value
        case float() if math.isfinite(value):
            return value
        case Mapping():
            return {str(k): canonical(v, f"{at}.{k}") for k, v in sorted(value.items())}
        case list() | tuple():
            return [canonical(v, f"{at}[{i}]") for i, v in enumerate(value)]
        case _:
            raise TypeError(
                f"{at}: {value!r:.40} has no stable hash; use text, numbers, lists or maps"
            )


def digest(value: object, at: str = "identity") -> str:
    """16 hex digits (64 bits) of BLAKE2b over the canonical JSON of `value`."""
    text = json.dumps(canonical(value, at), ensure_ascii=False, separators=(",", ":"))
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
