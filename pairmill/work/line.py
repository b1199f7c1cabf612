"""A worker's line to the run that it works for."""

from collections import deque
from typing import Any

from pairmill.work.claims import Past, Task, WorkPlace
from pairmill.work.costs import Costs, Spent
from pairmill.work.messages import Message, SettingUp, WorkerLog


class Line:
    """A worker's line to the run that it works for.  This one is for work in the driver's own
    process, which has nobody beside it: failures go to the log.
    """

    heard: deque[Message] | None = None
    """What of the work is to be seen by people, where somebody shows it."""
    costs: Costs | None = None
    """Where stored answers are counted, if anywhere."""
    ask: Any = None
    """`HostBoard.share` of the run (work/host_limits.py), where several workers share hosts."""

    def report(self, message: Message) -> None:
        """Sends counts or a line for the log, without waiting."""
        if isinstance(message, WorkerLog):
            message.write()
        elif isinstance(message, SettingUp) and self.heard is not None:
            self.heard.append(message)
        elif isinstance(message, Spent) and self.costs is not None:
            self.costs.add(message)

    def begin(self, place: WorkPlace) -> Past:
        """An attempt at a shard or partition starts; gives what earlier ones came to."""
        return Past(attempts=1)

    def claim(self, place: WorkPlace, task: Task) -> None:
        """What follows may take the process down."""

    def hang(self, place: WorkPlace, task: Task) -> None:
        """A call has outlived its deadline."""

    def spare(self, place: WorkPlace) -> None:
        """What was claimed is done."""

    def end(self, place: WorkPlace) -> None:
        """The shard or partition is done."""
