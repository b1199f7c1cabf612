"""Which values a stage over all rows has in each shard, by the rows that it looked at.

A column file of such a stage is named by what it holds.  So a shard in which no answer changed
keeps its file, and all that hangs on it, however many rows came or went elsewhere.
`answers/<definition>.<population>.parquet` has a line for each shard: its name, the digest of its
answers.
"""

from collections.abc import Collection, Mapping

import numpy as np
import pyarrow as pa

from pairmill.errors import CorruptWorkspace
from pairmill.workspace.storage import Storage

FOLDER = "answers"
MARK = "#answers "
"""Before a stage's definition and the rows that it looked at, among the digests of a table."""


def answers_of(definition: str, population: str) -> str:
    """What the digests of a stage's answers are called among the digests of the columns."""
    return f"{MARK}{definition}.{population}"


def is_answers(column: str) -> bool:
    """Whether digests are those of answers, and of no column."""
    return column.startswith(MARK)


def answers_file(key: str) -> str:
    """Where the digests that are called `key` are stored."""
    return f"{FOLDER}/{key.removeprefix(MARK)}.parquet"


def stored_digests(storage: Storage, key: str, names: np.ndarray) -> np.ndarray | None:
    """uint64, one for each shard's name, 0 where the stage looked at no row; None where nothing is
    stored, or what is stored is damaged: then the stage is asked again.
    """
    if not storage.exists(answers_file(key)):
        return None
    try:
        lines = storage.read_table(answers_file(key), ["name", "digest"])
    except (FileNotFoundError, CorruptWorkspace):
        return None
    return digests_at(lines, names)


def digests_at(lines: pa.Table, names: np.ndarray) -> np.ndarray:
    """uint64, one for each shard's name, 0 where it has no line."""
    known, digests = (np.asarray(lines.column(c).combine_chunks()) for c in ("name", "digest"))
    if not len(known):
        return np.zeros(len(names), np.uint64)
    order = np.argsort(known)
    at = np.minimum(np.searchsorted(known[order], names), len(known) - 1)
    found: np.ndarray = np.where(known[order][at] == names, digests[order][at], np.uint64(0))
    return found


def store_digests(
    storage: Storage, key: str, found: Mapping[int, int], again: Collection[int]
) -> pa.Table:
    """Stores digests by the shards' names, and gives what is stored now.  What another run told
    first stays, so that every reader sees one value, but for the shards that were asked `again`.
    """

    def merged(old: pa.Table | None) -> pa.Table:
        before = dict(zip(*(c.to_pylist() for c in old.columns), strict=True)) if old else {}
        every = {**found, **{n: d for n, d in before.items() if n in found and n not in again}}
        return pa.table(
            {
                "name": pa.array(every.keys(), pa.uint64()),
                "digest": pa.array(every.values(), pa.uint64()),
            }
        )

    try:
        return storage.update_table(answers_file(key), merged)
    except CorruptWorkspace:  # what cannot be read is told anew
        storage.delete_file(answers_file(key))
        return storage.update_table(answers_file(key), merged)
