"""The Ray that a run starts for itself on this machine: for whom it listens, what its workers know,
and which of Ray's own processes it does without.
"""

import contextlib
import os
import secrets
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from pairmill.cluster.worker_start import HOOK, STRANGE_FOLDER
from pairmill.plan.named_modules import VARIABLE, for_workers
from pairmill.redaction import REDACTOR

KEPT = "RAY_idle_worker_killing_time_threshold_ms"
KEPT_S = 30
"""Seconds that a process without work is kept for later tasks.  Ray ends those beyond one for each
core after a second, though tasks that ask for less than a core fill more of them: each step of a
stage over all rows then waited for new ones, at two CPU seconds each.
"""


def own_options() -> dict[str, Any]:
    """Options of `ray.init`."""
    return {
        "address": "local",
        "num_cpus": max(2, os.cpu_count() or 1),
        "include_dashboard": False,
        "object_store_memory": store_bytes(),
    }


def store_bytes() -> int:
    """Object store of a local session: a fifth of the memory, at most 4 GB and what /dev/shm
    has.
    """
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    shm = os.statvfs("/dev/shm") if os.path.isdir("/dev/shm") else None
    free = int(shm.f_bavail * shm.f_frsize * 0.8) if shm else memory
    return max(128 * 2**20, min(memory // 5, 4 * 10**9, free))


def worker_environment(paths: Sequence[str]) -> dict[str, str]:
    """Environment variables that tell workers where modules lie, and which folder to take off
    `sys.path`.
    """
    folder = os.path.abspath(os.curdir)
    strange = folder if folder not in sys.path and "" not in sys.path else ""
    known = os.pathsep.join([*paths, *filter(None, [os.environ.get("PYTHONPATH")])])
    return {"PYTHONPATH": known, VARIABLE: for_workers(), STRANGE_FOLDER: strange}


TOKEN = secrets.token_hex(32)
"""Of the Ray that this process starts; Ray reads it once in a process."""


@contextlib.contextmanager
def on_this_machine_alone(paths: Sequence[str]) -> Iterator[None]:
    """Ray that is started during the block listens on 127.0.0.1 and answers only who has the token.

    The variable, named for other systems, is how Ray is told to use the loopback address.  What
    workers have to know they find in the environment, which is their parent's: with a
    `runtime_env` each of them would be started by a Python of its own that imports Ray, too, and
    those that Ray starts ahead would do nothing.
    """
    from ray._private import node, ray_constants

    nodes: Any = node
    wanted = {
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        KEPT: os.environ.get(KEPT, str(1000 * KEPT_S)),
        **worker_environment(paths),
        ray_constants.WORKER_PROCESS_SETUP_HOOK_ENV_VAR: HOOK,
    }
    if "RAY_AUTH_MODE" not in os.environ:
        wanted |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN}
        REDACTOR.add(TOKEN, "${RAY_AUTH_TOKEN}")
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    read_variables_again()
    many, ray_constants.ENABLE_RAY_CLUSTER = ray_constants.ENABLE_RAY_CLUSTER, False
    usual, nodes.Node = nodes.Node, few_processes(nodes.Node)
    try:
        yield
    finally:
        nodes.Node = usual
        ray_constants.ENABLE_RAY_CLUSTER = many
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def read_variables_again() -> None:
    """Ray, which reads its variables once in a process, reads them now."""
    with contextlib.suppress(ImportError):
        from ray._raylet import AuthenticationTokenLoader, Config  # type: ignore[attr-defined]

        Config.initialize("")
        AuthenticationTokenLoader.instance().reset_cache()


def few_processes(usual: Any) -> Any:
    """A node of Ray that starts no autoscaler, no reader of logs for the driver, which asks for
    none, and no server of a dashboard that is left out: each would be a Python that imports Ray.
    """

    class Node(usual):  # type: ignore[misc]
        def start_monitor(self, *args: Any, **named: Any) -> None:
            pass

        def start_log_monitor(self, *args: Any, **named: Any) -> None:
            pass

        def start_api_server(self, *args: Any, **named: Any) -> None:
            pass

    return Node
