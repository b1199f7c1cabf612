"""Shards of the pool that a process holds in memory while it writes output shards: neighbours of a
shuffled package take their rows from the same few shards, which are then read once and not for
each of them.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

HELD_BYTES = 64 * 2**20
"""Bytes that a process holds of narrow columns, and of columns with bytes."""
ReadShard = Callable[[int], pa.Table]
"""Shard of the pool → its columns, a line for each of its rows."""


@dataclass(frozen=True)
class HeldShards:
    """Some shards of the pool in one piece: their numbers, ascending, and where each begins."""

    shards: np.ndarray
    starts: np.ndarray
    table: pa.Table

    def holds(self, shards: np.ndarray) -> bool:
        """Whether all of these shards are among them."""
        return bool(np.isin(shards, self.shards, assume_unique=True).all())

    def part(self, shard: int) -> pa.Table:
        """The rows of one of the shards."""
        at = int(np.searchsorted(self.shards, shard))
        return self.table.slice(self.starts[at], self.starts[at + 1] - self.starts[at])

    def taken(self, shards: np.ndarray, rows: np.ndarray) -> pa.Table:
        """Rows of these shards, in the order in which they are named."""
        return self.table.take(pa.array(self.starts[np.searchsorted(self.shards, shards)] + rows))


class Held:
    """The window that was asked for last; threads may share it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.window: HeldShards | None = None
        self.columns: Sequence[str] = ()
        self.is_off = False
        """Whether shards are too large to be held: what is not read again need not be looked at
        again.
        """

    def of(
        self,
        shards: np.ndarray,
        columns: Sequence[str],
        read: ReadShard,
        foreseen: Callable[[], int] = lambda: 0,
    ) -> HeldShards | None:
        """These shards and columns in memory; None where they take too much of it.  `shards`:
        ascending.  What is held already is not read again.  `foreseen`: tells the bytes of all of
        them before one is read.
        """
        with self.lock:
            before = self.window if list(self.columns) == list(columns) else None
            if before is not None and before.holds(shards):
                return before
            if self.is_off:
                return None
            if foreseen() > HELD_BYTES:
                self.window, self.is_off = None, True
                return None
            parts, size = [], 0
            for shard in shards.tolist():
                there = before is not None and shard in before.shards
                parts.append(before.part(shard) if before is not None and there else read(shard))
                size += parts[-1].nbytes
                if size > HELD_BYTES:
                    self.window, self.is_off = None, True
                    return None
            starts = np.concatenate([[0], np.cumsum([p.num_rows for p in parts])])
            table = pa.concat_tables(parts).combine_chunks()
            self.columns, self.window = columns, HeldShards(shards, starts, table)
            return self.window


class Windows:
    """What a process holds of a package's pool."""

    def __init__(self) -> None:
        self.narrow, self.wide = Held(), Held()

    def __reduce__(self) -> Any:
        return type(self), ()
