"""What a cluster would say to a plan that asks for GPUs, before any work goes there."""

import logging
from collections.abc import Iterable, Sequence

from pairmill.cluster.nodes import usable_nodes
from pairmill.cluster.reaching import check_answers
from pairmill.cluster.session import quiet_ray
from pairmill.cluster.worker_shares import check_gpus
from pairmill.errors import RunError
from pairmill.plan.planned import PlannedStage

WAIT_S = 5.0
"""Seconds that a cluster has for its first answer."""


def gpus_lacking(address: str, phases: Iterable[Sequence[PlannedStage]]) -> list[str]:
    """What the nodes at an address lack for the workers of each phase, or that none answers."""
    try:
        check_answers(address, WAIT_S)
    except RunError as error:
        return [str(error)]
    quiet_ray()
    import ray

    joins = not ray.is_initialized()
    if joins:
        ray.init(
            address=address,
            log_to_driver=False,
            logging_level=logging.ERROR,
            configure_logging=True,
        )
    try:
        gpus = [node.get("GPU", 0) for node in usable_nodes(ray).values()]
    finally:
        if joins:
            ray.shutdown()
    found: list[str] = []
    for stages in phases:
        try:
            check_gpus(stages, gpus)
        except RunError as error:
            found.append(str(error))
    return found
