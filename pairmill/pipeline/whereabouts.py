"""Where a run works: on this machine, or on Ray."""

import os
import sys

from pairmill.errors import RunError
from pairmill.work.crew_size import cores

PROCESSES = "PAIRMILL_PROCESSES"
"""Environment variable: worker processes at most, without Ray."""


def is_ray_there() -> bool:
    """Whether the environment names a Ray, or this process has started one."""
    if os.environ.get("RAY_ADDRESS"):
        return True
    ray = sys.modules.get("ray")
    return ray is not None and bool(ray.is_initialized())


def wanted_processes() -> int | None:
    """What PAIRMILL_PROCESSES says; None where it says nothing.  Raises RunError."""
    said = os.environ.get(PROCESSES, "").strip()
    if not said:
        return None
    if not said.isascii() or not said.isdigit():
        raise RunError(f"{PROCESSES} is {said!r}; it is a number of processes, 0 for none")
    return int(said)


def whereabouts(local: bool, processes: int | None) -> str:
    """Where a run works, for people."""
    if not local:
        address = os.environ.get("RAY_ADDRESS")
        return f"on Ray at {address}" if address else "on Ray"
    count = cores() if processes is None else processes
    words = f"in {count} worker processes at most" if count else "in this process"
    return f"on this machine, {words} (--ray or --address takes Ray)"
