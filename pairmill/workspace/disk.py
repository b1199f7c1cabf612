"""Files on a local disk: written under a temporary name and renamed, changed under a lock of their
folder, refused where the disk is nearly full.
"""

import contextlib
import errno
import os
import shutil
import uuid
from collections.abc import Iterator
from typing import BinaryIO

from pairmill.errors import DiskFull

MIN_FREE_BYTES = 512 * 2**20
"""Free space that a run leaves on a local disk."""
TEMPORARY = ".tmp-"
"""First letters of the names of files that are not whole yet."""


@contextlib.contextmanager
def writing(target: str) -> Iterator[BinaryIO]:
    """A stream whose content appears at the path `target` when the block ends well, and not
    otherwise.  Raises DiskFull.
    """
    folder = os.path.dirname(target)
    os.makedirs(folder, exist_ok=True)
    temporary = f"{folder}/{TEMPORARY}{uuid.uuid4().hex[:12]}"
    try:
        with open(temporary, "wb") as stream:
            yield stream
        os.replace(temporary, target)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise DiskFull(
                f"no space left on the disk of {folder}; free some and run the same command again"
            ) from None
        raise
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)


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
