"""Phases on Ray: shard numbers in, small summaries out.  A block is a shard all the way."""

import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from pairmill.cluster.flow import Flow
from pairmill.cluster.nodes import TO_START, usable_nodes
from pairmill.cluster.operators import (
    Operator,
    RefetchActor,
    StageActor,
    operators,
    reads_ahead,
)
from pairmill.cluster.phase_guard import ClusterChanged, PhaseGuard
from pairmill.cluster.run_actor import RunLine
from pairmill.cluster.session import RaySession
from pairmill.cluster.stations import Pool, Station, Tasks
from pairmill.cluster.waiting import LOOK_EVERY_S
from pairmill.cluster.worker_shares import WorkerShares
from pairmill.errors import RunError
from pairmill.plan.chain import Chain, PlannedStage
from pairmill.work.block import Job
from pairmill.work.crew_size import pooled
from pairmill.work.messages import StageStats

READER_CPUS = 0.5
"""Of a task that reads shards for others; there is one for every two cores."""


def run_phase(
    session: RaySession, job: Job, shards: Sequence[int]
) -> Iterator[Sequence[StageStats]]:
    """Runs a phase over some shards; yields each finished shard's stage counts.  Raises
    RunError.
    """
    for _, stats in flowing(session, job, shards, lambda shares: stations(session, job, shares)):
        if stats:
            yield stats


def run_refetch(
    session: RaySession, chain: Chain, stage: PlannedStage, shards: Sequence[int], upto: int | None
) -> int:
    """Computes a stage again for rows whose bytes are gone, on the cluster and under the run's
    limits of hosts; gives their number.  Raises RunError.
    """
    job = Job(chain, stage.index, stage.index + 1)

    def pools(shares: WorkerShares) -> list[Station]:
        arguments = {"job": job, "upto": upto, "line": RunLine(session.progress)}
        return [pool_of(session, stage, shares, RefetchActor, arguments)]

    return sum(rows for _, rows in flowing(session, job, shards, pools))


def flowing(
    session: RaySession,
    job: Job,
    shards: Sequence[int],
    made: Callable[[WorkerShares], Sequence[Station]],
) -> Iterator[tuple[int, Any]]:
    """Each shard with its result, as it has passed all stations.

    They start anew, with the shards that are left and other shares, where the cluster has changed
    so that they would stand still.
    """
    session.ensure()
    left = dict.fromkeys(shards)
    while True:
        shares = shares_for(session, job)
        guard = PhaseGuard(session.watched(), shares.nodes, shares.total, left)
        flow = Flow(session, made(shares), guard, shares.store, shares.block)
        try:
            for shard, result in flow.through(list(left)):
                del left[shard]
                yield shard, result
            return
        except ClusterChanged as change:
            session.tell(str(change))  # what was computed is stored, and not computed again


def stations(session: RaySession, job: Job, shares: WorkerShares) -> list[Station]:
    """Who does the phase: for each operator, and before the first where tasks read for it."""
    ray, line, phase = session.ensure(), RunLine(session.progress), uuid.uuid4().hex
    parts = operators(job.stages())
    made: list[Station] = []

    def tasks(operator: Operator, most: int, options: dict[str, Any]) -> None:
        made.append(Tasks(ray, (phase, len(made)), operator, most, options))

    if reads_ahead(job):
        cpus = READER_CPUS * shares.cpu_scale
        tasks(Operator(job, (), line), shares.tasks(READER_CPUS), {"num_cpus": cpus})
    for part in parts:
        operator = Operator(job, tuple(s.index for s in part), line, part is parts[-1])
        if pooled(part[0]):
            cores = shares.cores(part[0], parts)
            arguments = {"operator": ray.put(operator), "cores": cores}
            made.append(pool_of(session, part[0], shares, StageActor, arguments))
        else:
            tasks(operator, shares.tasks(), shares.together(part))
    return made


def pool_of(
    session: RaySession,
    stage: PlannedStage,
    shares: WorkerShares,
    kind: type,
    arguments: dict[str, Any],
) -> Pool:
    """Actors for an operator that begins with a stage."""
    bounds, options = shares.workers(stage), shares.options(stage)
    one = stage.stage
    halts = one.flush_s is not None
    return Pool(session.ensure(), kind, arguments, bounds, one.overlap, options, halts)


def shares_for(session: RaySession, job: Job) -> WorkerShares:
    """Workers' shares of the nodes that there are.  Where one died and no other holds a worker of
    each stage, waits for another.  Raises RunError where none ever did.
    """
    ray, announced = session.ensure(), False
    while True:
        nodes = usable_nodes(ray)
        try:
            alive = [name for name in nodes if not name.startswith(TO_START)]
            return WorkerShares(job, list(nodes.values()), alive)
        except RunError as error:
            waits = session.watched().waits
            if not waits.dead:
                raise
            if not announced:
                session.tell(f"waiting for a node: {error} ({waits.died()})")
            announced = True
            time.sleep(LOOK_EVERY_S)
