"""What the workers of a run share: who is at what, and the limits of hosts."""

import time
from collections import deque

from pairmill.work.claims import Claims, Past, RowRange, Task, WorkPlace
from pairmill.work.costs import Costs, Spent
from pairmill.work.host_limits import HostBoard
from pairmill.work.messages import Message, SettingUp, WorkerLog

HEARD = 1_000
"""Messages for people that are kept until somebody asks."""


class RunBoard:
    """Answers the lines of a run's workers (work/line.py); one caller at a time."""

    def __init__(self) -> None:
        self.hosts, self.claims = HostBoard(), Claims()
        self.heard: deque[Message] = deque(maxlen=HEARD)
        """What of the work is to be seen by people."""
        self.costs = Costs()

    def add(self, message: Message) -> None:
        """What a worker tells: here a failure, for the run's log, or what rows wait for."""
        if isinstance(message, WorkerLog):
            message.write()
        elif isinstance(message, SettingUp):
            self.heard.append(message)
        elif isinstance(message, Spent):
            self.costs.add(message)

    def spent(self) -> dict[str, dict[str, float]]:
        """What stored answers took, by stage."""
        return self.costs.told()

    def share(self, worker: str, limit: int, in_flight: dict[str, int]) -> dict[str, int]:
        """A worker's share of each host's connections."""
        return self.hosts.share(worker, limit, in_flight, time.monotonic())

    def begin(self, place: WorkPlace) -> Past:
        """An attempt at a place starts."""
        past = self.claims.begin(place)
        if past.attempts > 1:
            self.log(
                place,
                f"a worker ended here; attempt {past.attempts}, deaths by batch: {past.deaths}",
            )
        return past

    def log(self, place: WorkPlace, message: str) -> None:
        """A line for the run's log."""
        self.add(WorkerLog(message, place.stage_name, place.shard, partition=place.first_row))

    def claim(self, place: WorkPlace, task: Task) -> None:
        """A worker begins what may take it down."""
        self.claims.claim(place, task)

    def hang(self, place: WorkPlace, task: Task) -> None:
        """A worker's call has outlived its deadline."""
        if isinstance(task, RowRange):
            self.log(place, f"no answer within the deadline for {task}; the worker starts anew")
        else:
            self.log(place, "not loaded within its deadline; the run stops")
        self.claims.hang(place, task)

    def spare(self, place: WorkPlace) -> None:
        """What was claimed is done."""
        self.claims.spare(place)

    def end(self, place: WorkPlace) -> None:
        """The place is done."""
        self.claims.end(place)
