"""One driver a run: a lease in the run's folder, renewed while the run works, that a dead run does not hold for long."""

import contextlib
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pairmill.errors import PairmillError, RunError
from pairmill.pipeline.storage import Storage

TTL_S = 60.0
"""Seconds after which a lease that nobody renews is over."""
RENEW_S = 15.0
SETTLE_S = 1.0
"""On an object store: time for another start at the same moment to show itself."""


class Lease:
    """A lease that is held, until `lost` says that another driver took it: this one slept or lost its storage too long."""

    def __init__(self, storage: Storage, name: str) -> None:
        self.storage, self.name = storage, name
        self.mine = {"owner": uuid.uuid4().hex, "host": socket.gethostname(), "pid": os.getpid(), "born": born(os.getpid())}
        self.lost, self.over = threading.Event(), threading.Event()

    def check(self) -> None:
        """Raises RunError where the lease was lost."""
        if self.lost.is_set():
            raise RunError(f"another driver took over while this one was silent for more than {TTL_S:.0f} s; the run goes on there")

    def write(self) -> None:
        self.storage.write_json(self.name, {**self.mine, "at": time.time()})

    def is_mine(self) -> bool:
        return self.storage.exists(self.name) and self.storage.read_json(self.name)["owner"] == self.mine["owner"]

    def renew(self) -> None:
        with self.storage.exclusive(self.name.rpartition("/")[0]):
            if self.is_mine():
                self.write()
            else:
                self.lost.set()

    def keep(self) -> None:
        while not self.over.wait(RENEW_S) and not self.lost.is_set():
            with contextlib.suppress(OSError, PairmillError):  # the storage is away or full for a while
                self.renew()

    def end(self) -> None:
        with contextlib.suppress(OSError, PairmillError), self.storage.exclusive(self.name.rpartition("/")[0]):
            if self.is_mine():
                self.storage.delete_file(self.name)


@contextlib.contextmanager
def leased(storage: Storage, folder: str, what: str = "this run") -> Iterator[Lease]:
    """Holds the lease of a folder during the block; raises RunError where another driver holds it.

    A lease of a process of this machine that is gone is taken at once, any other one after `TTL_S` without renewal.
    """
    lease = Lease(storage, f"{folder}/lease.json")
    with storage.exclusive(folder):
        other = holder(storage, lease.name)
        if other is not None:
            raise RunError(
                f"{what} is in progress: process {other['pid']} on {other['host']} renewed its lease {time.time() - other['at']:.0f} s ago; "
                f"wait for it or stop it (the lease of a dead run ends after {TTL_S:.0f} s)"
            )
        lease.write()
    if not storage.local:
        time.sleep(SETTLE_S)
        if not lease.is_mine():
            raise RunError(f"{what} was started elsewhere at the same moment; it goes on there")
    keeper = threading.Thread(target=lease.keep, name="lease", daemon=True)
    keeper.start()
    try:
        yield lease
    finally:
        lease.over.set()
        keeper.join(5)
        lease.end()


def holder(storage: Storage, name: str) -> dict[str, Any] | None:
    """Who holds the lease now, or None."""
    if not storage.exists(name):
        return None
    lease: dict[str, Any] = storage.read_json(name)
    if time.time() - lease["at"] > TTL_S:
        return None
    if lease["host"] == socket.gethostname() and born(lease["pid"]) != lease["born"]:
        return None
    return lease


def born(pid: int) -> str | None:
    """When a process of this machine started, in the kernel's own count, so that a number used again is told apart."""
    with contextlib.suppress(OSError, IndexError):
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19]
    return None
