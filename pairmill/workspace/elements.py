"""Rows of a child table as they are stored: the elements of lists, one shard for each of the
parent's.

A child's shard is a file like any other, but for bytes: these stay in the parent's list, and beside
their size stands a hash of them.  `elements/<parent's shard>.<key>.json` remembers which shard the
elements of a parent's shard make; the key names all that decides it.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from pairmill.errors import CorruptWorkspace
from pairmill.workspace.addresses import Recipe, addresses
from pairmill.workspace.answers import is_answers
from pairmill.workspace.digests import column_digests, digest_of, hexed
from pairmill.workspace.encoding import sealed
from pairmill.workspace.shards import ShardFacts, spelled, stored_file, write
from pairmill.workspace.storage import Storage

FOLDER = "elements"
PARENT, PLACE = "#parent", "place"
"""Columns of a child's file: the row of the parent's shard, and the place in its list."""
HASH = "#hash"


def hash_of_element(column: str) -> str:
    """Name of the column with hashes of the bytes that a child's file does not hold."""
    return column + HASH


def inside_of(block: str) -> str:
    """What a block's digest of each shard is called among the digests of the parent's columns."""
    return f"#each {block}"


def store_elements(
    storage: Storage, rows: pa.Table, size: int, own: Collection[str], wide: Collection[str]
) -> ShardFacts:
    """Stores a child's shard unless it is there; `size`: bytes of payload, `own`: the columns that
    its schema names, `wide`: those of them that hold bytes, of which `rows` has sizes and hashes.
    """
    digests = column_digests(rows)
    parts = (part for c in rows.schema.names for part in spelled(rows, c, digests[c]))
    name, content = digests["uid"], digest_of(*parts)
    write(storage, stored_file(name, content), rows, None)
    told = {c: digests[hash_of_element(c) if c in wide else c] for c in own}
    return ShardFacts(name, content, rows.num_rows, size, told)


def memo_file(shard: int, key: int) -> str:
    """Where the elements of a parent's shard are remembered."""
    return f"{FOLDER}/{hexed(shard)}.{hexed(key)}.json"


def remember_elements(storage: Storage, name: str, facts: ShardFacts) -> None:
    """Stores which shard the elements make."""
    told = {"name": facts.name, "content": facts.content, "rows": facts.rows, "bytes": facts.bytes}
    storage.write_json(name, sealed({**told, "digests": dict(facts.digests)}))


def known_elements(storage: Storage, memo: str) -> ShardFacts | None:
    """What is remembered, if the shard is there; None where it has to be made."""
    if not storage.exists(memo):
        return None
    try:
        told = storage.read_json(memo)
        name, content, rows, size = (int(told[k]) for k in ("name", "content", "rows", "bytes"))
        digests = {str(c): int(d) for c, d in told["digests"].items()}
    except (FileNotFoundError, CorruptWorkspace, LookupError, TypeError, ValueError):
        return None
    there = storage.exists(stored_file(name, content))
    return ShardFacts(name, content, rows, size, digests) if there else None


def insides(
    logic: str,
    recipes: Sequence[Recipe | None],
    names: np.ndarray,
    digests: Mapping[str, np.ndarray],
) -> np.ndarray:
    """uint64, one a shard: stands for all that is stored of its elements and may decide what comes
    back: who they are, what their columns hold, what stages wrote, and `logic`: the gates.
    """
    columns = sorted(c for c in digests if not is_answers(c))
    found = np.zeros(len(names), np.uint64)
    for shard, name in enumerate(names.tolist()):
        here = {c: int(d[shard]) for c, d in digests.items()}
        made = addresses(recipes, name, here)
        numbers = [name, *(here[c] for c in columns), *(address or 0 for address in made)]
        found[shard] = digest_of(
            logic.encode(), *map(str.encode, columns), np.array(numbers, np.uint64).tobytes()
        )
    return found


def shard_in(facts: Mapping[str, Any]) -> str | None:
    """The file of the shard that a memo names; None where it names none."""
    try:
        return stored_file(int(facts["name"]), int(facts["content"]))
    except (LookupError, TypeError, ValueError):
        return None
