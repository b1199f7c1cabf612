"""The uids of the shards that a process read last: survey, stages over all rows, ledger, packages
and report each ask for them.

A file of a shard holds what its name says; what is remembered is taken for it as long as its
number, size and times are what they were before it was read.
"""

import threading
from collections import OrderedDict

import pyarrow as pa

from pairmill.workspace.disk import Version, version

MOST_BYTES = 32 * 2**20
"""Memory for uids, some forty bytes each."""


class UidMemory:
    """Uids by the path of a shard's file on a disk; threads may share it."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self.most_bytes, self.nbytes = most_bytes, 0
        self.lock = threading.Lock()
        self.found: OrderedDict[str, tuple[Version, pa.ChunkedArray]] = OrderedDict()

    def uids(self, path: str) -> pa.ChunkedArray | None:
        """Those of a file, in order; None where they are not remembered, or the file is another."""
        with self.lock:
            if (known := self.found.get(path)) is None:
                return None
            self.found.move_to_end(path)
        return known[1] if known[0] == version(path) else None

    def remember(self, path: str, before: Version | None, uids: pa.ChunkedArray) -> None:
        """Keeps the uids that were read of a file; `before`: what it was then.  Those that were
        asked for long ago are forgotten.
        """
        if before is None:
            return
        with self.lock:
            old = self.found.pop(path, None)
            self.nbytes += uids.nbytes - (old[1].nbytes if old is not None else 0)
            self.found[path] = before, uids
            while self.nbytes > self.most_bytes:
                self.nbytes -= self.found.popitem(last=False)[1][1].nbytes


UIDS = UidMemory()
