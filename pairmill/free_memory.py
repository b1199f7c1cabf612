"""Memory of this machine that a process may still take: what the kernel calls available, within the
limit of the container that it is in.
"""

import os
from contextlib import suppress
from pathlib import Path

CONTAINERS = (
    ("memory.max", "memory.current"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
)
"""Files of a control group's limit and of what is taken, second version and first."""
CACHED = ("inactive_file ", "total_inactive_file ")
"""Lines of a group's statistics: files' pages, which it gives back when it needs them."""


def free_bytes() -> int:
    """Bytes; half of the machine's where it does not say."""
    known = free_memory()
    half = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    return half if known is None else known


def free_memory(meminfo: str = "/proc/meminfo", groups: str = "/sys/fs/cgroup") -> int | None:
    """Bytes; None where the machine does not say."""
    found = []
    with suppress(OSError):
        for line in Path(meminfo).read_text().splitlines():
            if line.startswith("MemAvailable:"):
                found.append(int(line.split()[1]) * 1024)
    for limit, taken in CONTAINERS:
        with suppress(OSError, ValueError):  # absent, or "max"
            most = int((Path(groups) / limit).read_text())
            used = int((Path(groups) / taken).read_text()) - given_back(Path(groups) / taken)
            found.append(max(0, most - used))
    return min(found, default=None)


def given_back(taken: Path) -> int:
    """Bytes of a group's files in memory that it gives back when it needs them."""
    with suppress(OSError):
        for line in taken.with_name("memory.stat").read_text().splitlines():
            if line.startswith(CACHED):
                return int(line.split()[1])
    return 0
