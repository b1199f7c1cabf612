"""The one actor of a run: what its workers share, and their lines to it."""

from collections import deque
from typing import Any

from pairmill.cluster.metrics import Meters
from pairmill.stages.download.shares import HostBoard
from pairmill.work.claims import SETUP, Claims, Past, Rows
from pairmill.work.line import Line

KEPT = 100_000
"""Messages that wait for the driver; the oldest go first where nobody fetches them.  The stored
columns have all failures.
"""


class RunActor:
    """Holds the workers' counts until the driver fetches them, who is at what, and the limits of
    hosts; counts metrics.
    """

    def __init__(self, run_id: str) -> None:
        self.told: deque[dict[str, Any]] = deque(maxlen=KEPT)
        self.board, self.claims, self.meters = HostBoard(), Claims(), Meters(run_id)

    def add(self, told: dict[str, Any]) -> None:
        self.told.append(told)
        if "stage" in told:
            self.meters.count(told)

    def fetch(self) -> list[dict[str, Any]]:
        told = list(self.told)
        self.told.clear()
        return told

    def share(self, worker: str, limit: int, in_flight: dict[str, int]) -> dict[str, int]:
        return self.board.share(worker, limit, in_flight)

    def begin(self, stage: str, shard: int) -> Past:
        past = self.claims.begin(stage, shard)
        if past.attempts > 1:
            self.log(
                stage,
                shard,
                f"a worker ended at this shard; attempt {past.attempts}, deaths by batch: {past.deaths}",
            )
        return past

    def log(self, stage: str, shard: int, message: str) -> None:
        where = (
            {"shard": shard} if shard >= 0 else {"partition_from_row": -1 - shard}
        )  # of a stage over all rows
        self.told.append({"log": message, "facts": {"stage": stage.rpartition("-")[0], **where}})

    def claim(self, stage: str, shard: int, rows: Rows) -> None:
        self.claims.claim(stage, shard, rows)

    def hang(self, stage: str, shard: int, rows: Rows) -> None:
        if rows == SETUP:
            self.log(stage, shard, "not loaded within its deadline; the run stops")
        else:
            self.log(
                stage,
                shard,
                f"no answer within the deadline for {rows[2]} rows, {rows[0]} to {rows[1]}; the worker starts anew",
            )
        self.claims.hang(stage, shard, rows)

    def spare(self, stage: str, shard: int) -> None:
        self.claims.spare(stage, shard)

    def end(self, stage: str, shard: int) -> None:
        self.claims.end(stage, shard)


def start_run_actor(run_id: str) -> Any:
    """On the driver's own node: what takes the node takes the driver, too.  Started again, it has
    forgotten only what workers tell anew.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return (
        ray.remote(RunActor)
        .options(
            num_cpus=0,
            max_concurrency=1,
            max_restarts=-1,
            max_task_retries=-1,
            scheduling_strategy=here,
        )
        .remote(run_id)
    )


class RunLine(Line):
    """A worker's line to the run's actor."""

    def __init__(self, actor: Any) -> None:
        self.actor = actor

    def report(self, told: dict[str, Any]) -> None:
        self.actor.add.remote(told)

    def ask(self, worker: str, limit: int, in_flight: dict[str, int]) -> dict[str, int]:
        return self.waited(self.actor.share.remote(worker, limit, in_flight), 10)

    def begin(self, stage: str, shard: int) -> Past:
        return self.waited(self.actor.begin.remote(stage, shard), 60)

    def claim(self, stage: str, shard: int, rows: Rows) -> None:
        self.waited(self.actor.claim.remote(stage, shard, rows), 60)

    def hang(self, stage: str, shard: int, rows: Rows) -> None:
        self.waited(self.actor.hang.remote(stage, shard, rows), 60)

    def spare(self, stage: str, shard: int) -> None:
        self.waited(self.actor.spare.remote(stage, shard), 60)

    def end(self, stage: str, shard: int) -> None:
        self.actor.end.remote(stage, shard)

    def waited(self, answer: Any, seconds: float) -> Any:
        import ray

        return ray.get(answer, timeout=seconds)
