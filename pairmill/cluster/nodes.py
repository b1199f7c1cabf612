"""The nodes of a cluster: what they have; and, before work starts on several of them, whether each
sees the same workspace and outputs, with the same pairmill.
"""

import contextlib
from collections.abc import Iterable, Mapping
from typing import Any

from pairmill.errors import PairmillError, RunError, first_line
from pairmill.version import __version__
from pairmill.workspace.disk import temporary_name
from pairmill.workspace.storage import Storage

MOST_ADDED = 1_000
"""Nodes of a kind that are reckoned with, where an autoscaler names no bound."""
TO_START = "to start "
"""Beginning of the id of a node that an autoscaler would start."""
WAIT_S = 120
"""Seconds that a node has for starting a worker and looking."""


def usable_nodes(ray: Any) -> dict[str, dict[str, float]]:
    """Resources by id of each node that works, and of those that the cluster's autoscaler, where
    it has one, would start if work waited for them.
    """
    from ray._private.state import state

    alive = {n["NodeID"]: n["Resources"] for n in ray.nodes() if n["Alive"]}
    try:
        config = state.get_cluster_config()
    except Exception:  # a Ray that does not tell
        config = None
    groups = [] if config is None else config.node_group_configs
    kinds = [(dict(group.resources), group.max_count) for group in groups]
    more = addable(kinds, alive.values())
    return alive | {f"{TO_START}{i}": node for i, node in enumerate(more)}


def addable(
    kinds: Iterable[tuple[Mapping[str, float], int]], alive: Iterable[Mapping[str, float]]
) -> list[dict[str, float]]:
    """Nodes that may still be started.  `kinds`: what nodes of each kind have, and their number at
    most; a living node is of the kind that has as many cores and GPUs.
    """
    there = [(node.get("CPU", 0), node.get("GPU", 0)) for node in alive]
    more: list[dict[str, float]] = []
    for has, most in kinds:
        kind = (has.get("CPU", 0), has.get("GPU", 0))
        more += [dict(has)] * max(0, min(most, MOST_ADDED) - there.count(kind))
    return more


def access_fault(places: tuple[str, ...], sign: str, version: str) -> str:
    """On a node: what is wrong there, or an empty string.  `sign`: a file that the driver left in
    each place.
    """
    if __version__ != version:
        return f"it has pairmill {__version__}, the driver {version}; install the same on all nodes"
    for place in places:
        try:
            storage = Storage(place)
            if not storage.exists(sign):
                return (
                    f"it does not see what the driver wrote to {place}; use a shared file "
                    "system or an object store that all nodes mount alike"
                )
            storage.write_bytes(mine := temporary_name(), b"")
            storage.delete_file(mine)
        except (OSError, PairmillError) as error:
            return f"it cannot write to {place}: {first_line(error)}"
    return ""


def check_nodes(ray: Any, places: tuple[str, ...]) -> None:
    """Raises RunError that names every node without access; does nothing where only the driver's
    own node works.
    """
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    nodes = [
        n
        for n in ray.nodes()
        if n["Alive"] and n["Resources"].get("CPU", 0) + n["Resources"].get("GPU", 0) > 0
    ]
    if {n["NodeID"] for n in nodes} <= {ray.get_runtime_context().get_node_id()}:
        return
    sign = temporary_name()
    for place in places:
        Storage(place).write_bytes(sign, b"")
    try:
        asked = {
            n["NodeManagerAddress"] + ":" + str(n["NodeManagerPort"]): ray.remote(access_fault)
            .options(
                num_cpus=0,
                max_retries=0,
                scheduling_strategy=NodeAffinitySchedulingStrategy(n["NodeID"], soft=False),
            )
            .remote(places, sign, __version__)
            for n in nodes
        }
        ray.wait(list(asked.values()), num_returns=len(asked), timeout=WAIT_S)
        faults = {node: fault for node, answer in asked.items() if (fault := fault_of(ray, answer))}
    finally:
        for place in places:
            with contextlib.suppress(OSError, PairmillError):
                Storage(place).delete_file(sign)
    if faults:
        raise RunError(
            "not all nodes can work:\n"
            + "\n".join(f"node {node}: {fault}" for node, fault in faults.items())
        )


def fault_of(ray: Any, answer: Any) -> str:
    """A node's fault, from what `access_fault` gave there."""
    try:
        return str(ray.get(answer, timeout=0))
    except ray.exceptions.GetTimeoutError:
        return f"it gave no answer within {WAIT_S} s"
    except (
        ray.exceptions.TaskUnschedulableError
    ):  # it left the cluster meanwhile, so no work will go there
        return ""
    except ray.exceptions.RayError as error:
        return f"pairmill cannot be started there: {first_line(error)}"
