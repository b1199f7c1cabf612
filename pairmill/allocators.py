"""Which allocators the processes of a run have: chosen before pyarrow is loaded.

Arrow's own, mimalloc, asks for pages of 2 MiB, each of which the system clears for the few shards
of a thread; and glibc's gives large arrays back with each, to ask for them again.  Together that
took a tenth of a run over metadata, and a quarter of its memory.
"""

import ctypes
import os

POOL = "ARROW_DEFAULT_MEMORY_POOL"
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""glibc's malloc.h."""
LARGE_BYTES, KEPT_BYTES = 32 * 2**20, 64 * 2**20
"""From how many bytes on a piece of memory is the system's own; and how many that are free are kept
for the next shard.  glibc comes to these numbers by itself where large pieces come first.
"""


def choose_allocators() -> None:
    """Lets Arrow use glibc's, unless the environment names another; nothing where there is no
    glibc.
    """
    if "CS_GNU_LIBC_VERSION" not in getattr(os, "confstr_names", {}):
        return
    os.environ.setdefault(POOL, "system")
    if not any(name.startswith("MALLOC_") for name in os.environ):
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_THRESHOLD, LARGE_BYTES)
        libc.mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
