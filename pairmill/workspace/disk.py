"""Files on a local disk: written under a temporary name and renamed, changed under a lock of their
folder, refused where the disk is nearly full.
"""

import contextlib
import errno
import hashlib
import os
import shutil
import socket
import time
import uuid
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from pairmill.errors import DiskFull

MIN_FREE_BYTES = 512 * 2**20
"""Free space that a run leaves on a local disk."""
TEMPORARY = ".tmp-"
"""First letters of the names of files that are not whole yet."""


FAR_S = 900.0
"""Seconds after which an unfinished file of another machine, which nobody has written to meanwhile,
is taken for one that its writer left.
"""


Version = tuple[int, int, int, int]
"""Number, size, and times of change of a file and of what is known of it."""


def version(path: str) -> Version | None:
    """Tells a file from what stood in its place before; None where there is none."""
    try:
        told = os.stat(path)
    except OSError:
        return None
    return told.st_ino, told.st_size, told.st_mtime_ns, told.st_ctime_ns


def absolute(root: str) -> str:
    """A folder's path from the root; every look at a shard asks for the workspace's."""
    return spelled(root) if root.startswith("/") else str(Path(root).expanduser().absolute())


@lru_cache(256)
def spelled(root: str) -> str:
    """A path without what means nothing in it."""
    return str(Path(root))


def temporary_name() -> str:
    """Tells who writes, so that whoever finds the file knows whether the writer lives."""
    pid = os.getpid()
    return f"{TEMPORARY}{machine()}-{pid}-{own_birth(pid)}-{uuid.uuid4().hex[:12]}"


@lru_cache(1)
def own_birth(pid: int) -> str:
    """When this process, `pid`, started; a fork asks anew."""
    return born(pid) or "0"


def abandoned(name: str, age_s: float) -> bool:
    """Whether a temporary file's writer is gone.  `age_s`: since it was last written to."""
    match name.removeprefix(TEMPORARY).split("-"):
        case [where, pid, since, _] if pid.isdecimal() and since.isdecimal():
            if where == machine():
                return born(int(pid)) != (since if since != "0" else None)
            return age_s > FAR_S
    return True  # nothing that runs today writes under such a name


def clear_temporary(folder: str, recursive: bool = True, begins: str = TEMPORARY) -> int:
    """Removes temporary files that their writers left, gives how many; links are not followed.
    `begins`: of names; in a folder that is not ours alone, those that this machine gives.
    """
    count = 0
    for place, below, names in os.walk(folder):
        for name in names:
            if not name.startswith(begins):
                continue
            path = f"{place}/{name}"
            with contextlib.suppress(OSError):  # another one may clear at the same time
                if abandoned(name, time.time() - os.lstat(path).st_mtime):
                    os.unlink(path)
                    count += 1
        if not recursive:
            below.clear()
    return count


@lru_cache(1)
def machine() -> str:
    """This machine as far as process numbers mean the same: host, boot and namespace."""
    facts = [socket.gethostname()]
    for read in (
        lambda: Path("/proc/sys/kernel/random/boot_id").read_text(),
        lambda: os.readlink("/proc/self/ns/pid"),
    ):
        with contextlib.suppress(OSError):
            facts.append(read())
    return hashlib.sha256("|".join(facts).encode()).hexdigest()[:12]


def born(pid: int) -> str | None:
    """When a process of this machine started, in the kernel's own count, so that a number used
    again is told apart; None where there is none.
    """
    with contextlib.suppress(OSError, IndexError):
        # bytes: a program's name stands there, in whatever encoding
        return Path(f"/proc/{pid}/stat").read_bytes().rsplit(b")", 1)[1].split()[19].decode()
    return None


@contextlib.contextmanager
def writing(target: str) -> Iterator[BinaryIO]:
    """A stream whose content appears at the path `target` when the block ends well, and not
    otherwise.  Raises DiskFull.
    """
    folder = os.path.dirname(target)
    os.makedirs(folder, exist_ok=True)
    temporary = f"{folder}/{temporary_name()}"
    try:
        with full_disk_told(folder), open(temporary, "w+b") as stream:
            yield stream
        os.replace(temporary, target)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)


def link(old: str, new: str) -> None:
    """Gives the file `old` the second name `new`, or copies it where the file system knows no
    second names.
    """
    folder = os.path.dirname(new)
    os.makedirs(folder, exist_ok=True)
    temporary = f"{folder}/{temporary_name()}"
    try:
        try:
            os.link(old, temporary)
        except FileNotFoundError:
            raise
        except OSError:
            with full_disk_told(folder):
                shutil.copyfile(old, temporary)
        os.replace(temporary, new)
    finally:
        with contextlib.suppress(FileNotFoundError):  # where `new` was a name of the file already
            os.unlink(temporary)


@contextlib.contextmanager
def full_disk_told(folder: str) -> Iterator[None]:
    """Raises DiskFull where the block finds no space left, a quota used up, or a file too large, in
    a folder.
    """
    try:
        yield
    except OSError as error:
        if error.errno == errno.EFBIG:
            raise DiskFull(
                f"a file in {folder} would be larger than its file system, or `ulimit -f`, allows; "
                "raise the limit, or write elsewhere, and run the same command again"
            ) from None
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise DiskFull(
            f"no space left on the disk of {folder}; free some and run the same command again"
        ) from None


def check_space(folder: str, needed_bytes: int = 0) -> None:
    """Raises DiskFull if the folder's disk has less than `needed_bytes` above the reserve."""
    probe = folder
    while not os.path.exists(probe):
        probe = os.path.dirname(probe) or "/"
    free = shutil.disk_usage(probe).free
    if free < needed_bytes + MIN_FREE_BYTES:
        raise DiskFull(
            f"{free / 2**30:.1f} GiB free on the disk of {folder}, "
            f"{(needed_bytes + MIN_FREE_BYTES) / 2**30:.1f} GiB needed; free some, or put the "
            "workspace elsewhere, and run the same command again"
        )


@contextlib.contextmanager
def exclusive(folder: str) -> Iterator[None]:
    """Keeps other processes out of a read–merge–replace in a folder."""
    import fcntl

    os.makedirs(folder, exist_ok=True)
    handle = os.open(f"{folder}/.lock", os.O_CREAT | os.O_RDWR)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
