"""The one actor of a run: what its workers share, and their lines to it."""

import contextlib
from collections import deque
from typing import Any

from pairmill.cluster.metrics import Meters
from pairmill.work.board import RunBoard
from pairmill.work.claims import Past, Task, WorkPlace
from pairmill.work.costs import Spent
from pairmill.work.line import Line
from pairmill.work.messages import Message, StageStats

KEPT = 100_000
"""Messages that wait for the driver; the oldest go first where nobody fetches them.  The stored
columns have all failures.
"""


class RunActor(RunBoard):
    """Holds the workers' counts until the driver fetches them, who is at what, and the limits of
    hosts; counts metrics.
    """

    def __init__(self, run_id: str) -> None:
        super().__init__()
        self.messages: deque[Message] = deque(maxlen=KEPT)
        self.meters = Meters(run_id)

    def add(self, message: Message) -> None:
        """What a worker tells."""
        if isinstance(message, Spent):
            self.costs.add(message)
            return
        self.messages.append(message)
        if isinstance(message, StageStats):
            self.meters.count(message)

    def fetch(self) -> list[Message]:
        """What was told since the last call."""
        messages = list(self.messages)
        self.messages.clear()
        return messages


def start_run_actor(run_id: str) -> Any:
    """On the driver's own node: what takes the node takes the driver, too.  Started again, it has
    forgotten only what workers tell anew.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    own_node = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return (
        ray.remote(RunActor)
        .options(
            num_cpus=0,
            max_concurrency=1,
            max_restarts=-1,
            max_task_retries=-1,
            scheduling_strategy=own_node,
        )
        .remote(run_id)
    )


class RunLine(Line):
    """A worker's line to the run's actor."""

    def __init__(self, actor: Any) -> None:
        self.actor = actor

    def report(self, message: Message) -> None:
        """Sends it, without waiting."""
        self.actor.add.remote(message)

    def arrived(self) -> None:
        """Waits until the actor has what was sent, or for ten seconds: it takes a worker's calls in
        order.
        """
        with contextlib.suppress(Exception):  # the run is ending
            self.waited(self.actor.spent.remote(), 10)

    def ask(self, worker: str, limit: int, in_flight: dict[str, int]) -> dict[str, int]:
        """A worker's share of each host's connections."""
        return self.waited(self.actor.share.remote(worker, limit, in_flight), 10)

    def begin(self, place: WorkPlace) -> Past:
        """An attempt at a place starts."""
        return self.waited(self.actor.begin.remote(place), 60)

    def claim(self, place: WorkPlace, task: Task) -> None:
        """What follows may take the process down."""
        self.waited(self.actor.claim.remote(place, task), 60)

    def hang(self, place: WorkPlace, task: Task) -> None:
        """A call has outlived its deadline."""
        self.waited(self.actor.hang.remote(place, task), 60)

    def spare(self, place: WorkPlace) -> None:
        """What was claimed is done."""
        self.waited(self.actor.spare.remote(place), 60)

    def end(self, place: WorkPlace) -> None:
        """The place is done."""
        self.actor.end.remote(place)

    def waited(self, answer: Any, seconds: float) -> Any:
        """The actor's answer; raises Ray's error where none comes in time."""
        import ray

        return ray.get(answer, timeout=seconds)
