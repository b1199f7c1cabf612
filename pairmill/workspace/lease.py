"""One driver a run: a lease in the run's folder, renewed while the run works, that a dead run does
not hold for long.

Machines' clocks may differ by minutes, so none of them is asked: a lease's age is told by the clock
of the disk or store that keeps it.
"""

import contextlib
import math
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

from pairmill.errors import PairmillError, RunError, StrangeFile
from pairmill.workspace import disk
from pairmill.workspace.disk import born, machine
from pairmill.workspace.storage import Storage

TTL_S = 60.0
"""Seconds after which a lease that nobody renews is over."""
RENEW_S = 15.0
STARTING = "starting"
"""Folder with the leases of those who are about to use what no plan names yet."""
COLLECTING = "collecting"
"""Folder with the lease of a `gc` that removes."""
POLL_S = 0.25
KEYS = {"owner": str, "host": str, "pid": int, "at": int | float}


class Lease:
    """A lease that is held, until `lost` says that another driver took it: this one slept or lost
    its storage too long.
    """

    def __init__(self, storage: Storage, name: str) -> None:
        self.storage, self.name = storage, name
        self.mine = {
            "owner": uuid.uuid4().hex,
            "host": socket.gethostname(),
            "machine": machine(),
            "pid": os.getpid(),
            "born": born(os.getpid()),
        }
        self.lost, self.over = threading.Event(), threading.Event()
        self.renewed_s = time.monotonic()

    def check(self) -> None:
        """Raises RunError where the lease was lost."""
        if self.lost.is_set():
            raise RunError(
                f"another driver took over while this one was silent for more than {TTL_S:.0f} s; "
                "the run goes on there"
            )

    def take(self) -> str:
        """Takes it, and gives an empty text; or tells who holds it, and what to do."""
        told = ""

        def change(found: Any) -> dict[str, Any] | None:
            nonlocal told
            told = ""
            if found is not None and self.checked(found)["owner"] != self.mine["owner"]:
                age_s = age_of(self.storage, self.name)
                told = self.held(found, age_s) if holds(found, age_s) else ""
            return None if told else {**self.mine, "at": time.time()}

        self.storage.update_json(self.name, change)
        return told

    def checked(self, found: Any) -> dict[str, Any]:
        """Raises StrangeFile where this is no lease."""
        if not isinstance(found, dict) or any(
            not isinstance(found.get(key), kind) for key, kind in KEYS.items()
        ):
            raise StrangeFile(
                f"{self.storage.path(self.name)} is no lease that pairmill wrote; "
                "delete it if no run is at work in its folder"
            )
        return found

    def held(self, other: dict[str, Any], age_s: float) -> str:
        """Who holds it, and what to do."""
        who = f"process {other['pid']} on {other['host']}"
        if age_s < -TTL_S:
            return (
                f"{who} holds its lease, which is dated {-age_s:,.0f} s in the future by the clock "
                "of the disk or store (was that clock set back, or the folder copied?); if that "
                f"process is gone, delete {self.storage.path(self.name)} and run again"
            )
        apart_s = other["at"] + age_s - time.time()
        clocks = (
            f" (the clock there is {abs(apart_s):,.0f} s {'ahead of' if apart_s > 0 else 'behind'} "
            "the one here)"
            if abs(apart_s) > TTL_S
            else ""
        )
        return (
            f"{who} renewed its lease {max(0.0, age_s):.0f} s ago{clocks}; wait for it or stop it "
            f"(the lease of a dead run ends after {TTL_S:.0f} s: run again then)"
        )

    def renew(self) -> None:
        """Renews the lease's time; sets `lost` where another driver holds it or it is gone."""

        def change(found: dict[str, Any] | None) -> dict[str, Any] | None:
            if found and found.get("owner") == self.mine["owner"]:
                return {**self.mine, "at": time.time()}
            return None

        if self.storage.update_json(self.name, change) is None:
            self.lost.set()
        self.renewed_s = time.monotonic()

    def keep(self) -> None:
        """Renews the lease every 15 s until it is over or lost, whether storage answers or not."""
        while not self.over.wait(RENEW_S) and not self.lost.is_set():
            # the storage may be away or full for a while
            with contextlib.suppress(OSError, PairmillError):
                self.renew()

    def end(self) -> None:
        """Deletes the lease if it is still this driver's."""
        folder = self.storage.path(self.name.rpartition("/")[0])
        shut = disk.exclusive(folder) if self.storage.local else contextlib.nullcontext()
        with contextlib.suppress(OSError, PairmillError), shut:
            if (
                self.storage.exists(self.name)
                and self.storage.read_json(self.name).get("owner") == self.mine["owner"]
            ):
                self.storage.delete_file(self.name)


def age_of(storage: Storage, name: str) -> float:
    """Seconds since a file was written, by the clock of the disk or store that keeps it; negative
    where that clock was set back, without end where the file is gone.
    """
    probe = f"{name.rpartition('/')[0]}/{disk.temporary_name()}"
    written = storage.fs.get_file_info(storage.path(name))
    try:
        storage.write_bytes(probe, b"now")
        now = storage.fs.get_file_info(storage.path(probe))
        if written.mtime_ns is None:
            return math.inf  # given back since it was read
        return 0.0 if now.mtime_ns is None else (now.mtime_ns - written.mtime_ns) / 1e9
    finally:
        storage.delete_file(probe)


@contextlib.contextmanager
def leased(storage: Storage, folder: str) -> Iterator[Lease]:
    """Holds the lease of a folder during the block; raises RunError where another driver holds it.

    A lease of a process of this machine that is gone is taken at once, any other one after `TTL_S`
    without renewal.
    """
    lease = Lease(storage, f"{folder}/lease.json")
    if told := lease.take():
        raise RunError(f"this run is in progress: {told}")
    with renewed(lease):
        yield lease


@contextlib.contextmanager
def announced(storage: Storage, note: Callable[[str], None] = lambda text: None) -> Iterator[None]:
    """Says during the block that a run is about to use what no plan names yet: what it reads now,
    or has found.  `gc` removes nothing meanwhile; one that is removing is waited for.
    """
    lease = Lease(storage, f"{STARTING}/{uuid.uuid4().hex}.json")
    lease.take()
    with renewed(lease):
        wait_for_gc(storage, note)
        yield


def wait_for_gc(storage: Storage, note: Callable[[str], None]) -> None:
    """Until no `gc` removes anything; the lease of a dead one is deleted, so that one which only
    slept learns it.
    """
    name, said = f"{COLLECTING}/lease.json", False
    while storage.exists(name):
        try:
            found = Lease(storage, name).checked(storage.read_json(name))
        except FileNotFoundError:
            return
        if not holds(found, age_of(storage, name)):
            storage.delete_file(name)
            return
        if not said:
            who = f"process {found['pid']} on {found['host']}"
            note(f"gc ({who}) is removing what no run uses; waiting until it ends")
            said = True
        time.sleep(POLL_S)


@contextlib.contextmanager
def collecting(storage: Storage) -> Iterator[Lease]:
    """Holds the lease of a `gc` during the block: a run that begins meanwhile waits.

    Raises RunError while another one holds it.
    """
    lease = Lease(storage, f"{COLLECTING}/lease.json")
    if told := lease.take():
        raise RunError(f"gc is at work in {storage.root}: {told}")

    with renewed(lease):
        yield lease


def still_collecting(lease: Lease) -> None:
    """To be called before each removal; raises RunError where a run may wait no more."""
    if time.monotonic() - lease.renewed_s > 2 * RENEW_S:
        lease.renew()
    if lease.lost.is_set():
        raise RunError(
            f"gc was silent for more than {TTL_S:.0f} s, and a run may have begun in "
            f"{lease.storage.root}; what is left stays, run gc again"
        )


def starting(storage: Storage) -> list[str]:
    """Who has announced that, and is at work; announcements of dead ones are deleted."""
    told = []
    for name, _ in storage.files(STARTING):
        if not name.endswith(".json"):
            continue
        try:
            found = Lease(storage, name).checked(storage.read_json(name))
        except FileNotFoundError:
            continue
        if holds(found, age_of(storage, name)):
            who = f"process {found['pid']} on {found['host']}"
            told.append(f"{who} (if it is gone, delete {storage.path(name)})")
        else:
            storage.delete_file(name)
    return told


@contextlib.contextmanager
def renewed(lease: Lease) -> Iterator[None]:
    """Renews a lease that was taken, and gives it back in the end."""
    keeper = threading.Thread(target=lease.keep, name="lease", daemon=True)
    keeper.start()
    try:
        yield
    finally:
        lease.over.set()
        keeper.join(5)
        lease.end()


def holds(lease: dict[str, Any], age_s: float) -> bool:
    """Whether who took a lease holds it still; `age_s`: since it was renewed, by the store's
    clock.
    """
    if lease.get("machine") == machine():
        return age_s <= TTL_S and born(lease["pid"]) == lease.get("born")
    return age_s <= TTL_S
