"""What looks at input files found, for the pipeline's next run: a file that is as it was is not
opened to learn its columns.
"""

import os
import time
from dataclasses import dataclass, field

from pairmill.sources.input_file import Input

UNSURE_NS = 100_000_000
"""Time after a file's last change within which another change may leave it with the same times:
clocks of file systems tick every hundredth of a second at the least.
"""
COARSE_NS = 2_000_000_000
"""The same where they tick in seconds."""
Stamp = tuple[int, int, int, int]
"""Number, size, and times of change of a file and of what is known of it."""
Key = tuple[str, str]
"""How a file was looked at (a digest of all that is asked), and its address."""


@dataclass(frozen=True)
class FileLook:
    """What was found at a file.  `whole`: whether all of it was looked at; `found`: its columns, as
    JSON; `rows`: how many rows are known of it.
    """

    stamp: Stamp
    kind: str
    whole: bool
    found: str
    rows: int | None = None


@dataclass
class FileLooks:
    """The looks of a pipeline's last run, and those of this one."""

    known: dict[Key, FileLook] = field(default_factory=dict)
    found: dict[Key, FileLook] = field(default_factory=dict)

    def at(self, asked: str, item: Input) -> tuple[Stamp | None, FileLook | None]:
        """How a file is to be told from what may stand in its place later, None where that cannot
        be; and what is known of it as it is now.
        """
        stamp = stamp_of(item)
        look = self.known.get((asked, item.url))
        if look is not None and look.stamp == stamp:
            return stamp, look
        return (stamp if stamp and is_settled(stamp, time.time_ns()) else None), None

    def keep(self, asked: str, item: Input, look: FileLook) -> None:
        """Remembers a look."""
        self.found[asked, item.url] = look

    def __reduce__(self) -> tuple[type["FileLooks"], tuple[()]]:
        """Other processes, which read files, look at none."""
        return FileLooks, ()


def stamp_of(item: Input) -> Stamp | None:
    """Tells a local file from what stood in its place before."""
    if not item.url.startswith("file://"):
        return None
    try:
        told = os.stat(item.url.removeprefix("file://"))
    except OSError:
        return None
    return told.st_ino, told.st_size, told.st_mtime_ns, told.st_ctime_ns


def is_settled(stamp: Stamp, now_ns: int) -> bool:
    """Whether a file was changed long enough ago to have other times if it is changed again."""
    changed = max(stamp[2:])
    return now_ns - changed >= (COARSE_NS if changed % 10**9 == 0 else UNSURE_NS)
