"""Which allocators the processes of a run have, and how their threads wait: chosen before pyarrow
and NumPy are loaded.

Arrow's own, mimalloc, asks for pages of 2 MiB, each of which the system clears for the few shards
of a thread; and glibc's gives large arrays back with each, to ask for them again.  Together that
took a tenth of a run over metadata, and a quarter of its memory.

OpenBLAS, which comes with NumPy, starts a thread for each further core as it is loaded; each looks
for work without a pause for up to a tenth of a second, and again after each product of matrices.
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

SPINS, SPINS_LOG2 = "OPENBLAS_THREAD_TIMEOUT", "16"
"""Logarithm of the cycles for which an idle thread looks for work before it sleeps: some 20 µs, in
place of 2^28 cycles.
"""


def choose_allocators() -> None:
    """Lets Arrow use glibc's, unless the environment names another, where there is a glibc; and
    OpenBLAS's threads sleep soon, unless it says how long they wait.
    """
    os.environ.setdefault(SPINS, SPINS_LOG2)
    if "CS_GNU_LIBC_VERSION" not in getattr(os, "confstr_names", {}):
        return
    os.environ.setdefault(POOL, "system")
    if not any(name.startswith("MALLOC_") for name in os.environ):
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_THRESHOLD, LARGE_BYTES)
        libc.mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
