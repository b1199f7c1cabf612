"""Narrow columns that a process read last: survey, stages over all rows, ledger, packages and
report ask for the same of one shard after another.

What is remembered is taken for what a file on a disk holds as long as its number, size and times
are what they were before it was read.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence

import pyarrow as pa

from pairmill.workspace.disk import Version, version

MOST_BYTES = 32 * 2**20
"""Memory for all of them."""
MOST_EACH = 2**20
"""Of one file: uids of a shard have some forty kilobytes, embeddings three megabytes."""
Key = tuple[str, ...]
"""A file's path, and the columns."""


class ReadMemory:
    """Columns of files on a disk; threads may share it."""

    def __init__(self) -> None:
        self.most_bytes, self.nbytes = MOST_BYTES, 0
        self.lock = threading.Lock()
        self.found: OrderedDict[Key, tuple[Version, pa.Table]] = OrderedDict()

    def read(self, path: str, columns: Sequence[str], read: Callable[[], pa.Table]) -> pa.Table:
        """Columns of a file: remembered, or as `read` gives them, with what it raises."""
        key, now = (path, *columns), version(path)
        with self.lock:
            known = self.found.get(key)
            if known is not None and known[0] == now:
                self.found.move_to_end(key)
                return known[1]
        table = read()
        if now is not None:
            self.remember(key, now, table)
        return table

    def remember(self, key: Key, now: Version, table: pa.Table) -> None:
        """Keeps columns as they were read, and forgets those that were asked for long ago."""
        size = table.nbytes
        with self.lock:
            old = self.found.pop(key, None)
            self.nbytes -= old[1].nbytes if old is not None else 0
            if size > MOST_EACH:
                return
            self.nbytes += size
            self.found[key] = now, table
            while self.nbytes > self.most_bytes:
                self.nbytes -= self.found.popitem(last=False)[1][1].nbytes


READ = ReadMemory()
