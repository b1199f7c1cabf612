"""One driver a run: a lease in the run's folder, renewed while the run works, that a dead run does
not hold for long.
"""

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
from pairmill.workspace import disk
from pairmill.workspace.storage import Storage

TTL_S = 60.0
"""Seconds after which a lease that nobody renews is over."""
RENEW_S = 15.0


class Lease:
    """A lease that is held, until `lost` says that another driver took it: this one slept or lost
    its storage too long.
    """

    def __init__(self, storage: Storage, name: str) -> None:
        self.storage, self.name = storage, name
        self.mine = {
            "owner": uuid.uuid4().hex,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "born": born(os.getpid()),
        }
        self.lost, self.over = threading.Event(), threading.Event()

    def check(self) -> None:
        """Raises RunError where the lease was lost."""
        if self.lost.is_set():
            raise RunError(
                f"another driver took over while this one was silent for more than {TTL_S:.0f} s; the run goes on there"
            )

    def take(self) -> dict[str, Any] | None:
        """Takes it; or gives who holds it."""
        other: dict[str, Any] | None = None

        def change(found: dict[str, Any] | None) -> dict[str, Any] | None:
            nonlocal other
            other = (
                found if found and found["owner"] != self.mine["owner"] and holds(found) else None
            )
            return {**self.mine, "at": time.time()} if other is None else None

        self.storage.update_json(self.name, change)
        return other

    def renew(self) -> None:
        def change(found: dict[str, Any] | None) -> dict[str, Any] | None:
            return (
                {**self.mine, "at": time.time()}
                if found and found["owner"] == self.mine["owner"]
                else None
            )

        if self.storage.update_json(self.name, change) is None:
            self.lost.set()

    def keep(self) -> None:
        while not self.over.wait(RENEW_S) and not self.lost.is_set():
            with contextlib.suppress(
                OSError, PairmillError
            ):  # the storage is away or full for a while
                self.renew()

    def end(self) -> None:
        shut = (
            disk.exclusive(self.storage.path(self.name.rpartition("/")[0]))
            if self.storage.local
            else contextlib.nullcontext()
        )
        with contextlib.suppress(OSError, PairmillError), shut:
            if (
                self.storage.exists(self.name)
                and self.storage.read_json(self.name)["owner"] == self.mine["owner"]
            ):
                self.storage.delete_file(self.name)


@contextlib.contextmanager
def leased(storage: Storage, folder: str, what: str = "this run") -> Iterator[Lease]:
    """Holds the lease of a folder during the block; raises RunError where another driver holds it.

    A lease of a process of this machine that is gone is taken at once, any other one after `TTL_S`
    without renewal.
    """
    lease = Lease(storage, f"{folder}/lease.json")
    if other := lease.take():
        raise RunError(
            f"{what} is in progress: process {other['pid']} on {other['host']} renewed its lease {time.time() - other['at']:.0f} s ago; "
            f"wait for it or stop it (the lease of a dead run ends after {TTL_S:.0f} s)"
        )
    keeper = threading.Thread(target=lease.keep, name="lease", daemon=True)
    keeper.start()
    try:
        yield lease
    finally:
        lease.over.set()
        keeper.join(5)
        lease.end()


def holds(lease: dict[str, Any]) -> bool:
    """Whether who took a lease holds it still."""
    if time.time() - lease["at"] > TTL_S:
        return False
    return not (lease["host"] == socket.gethostname() and born(lease["pid"]) != lease["born"])


def born(pid: int) -> str | None:
    """When a process of this machine started, in the kernel's own count, so that a number used
    again is told apart.
    """
    with contextlib.suppress(OSError, IndexError):
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19]
    return None
