"""A worker's line to the run that it works for."""

import logging
from typing import Any

from pairmill.work.claims import Past, Rows


class Line:
    """A worker's line to the run that it works for.  This one leads nowhere: a worker without Ray
    has nobody beside it.
    """

    ask: Any = None
    """`HostBoard.share` of the run (stages/download/shares.py), where several workers share hosts.
    """

    def report(self, told: dict[str, Any]) -> None:
        """Sends counts or a traceback, without waiting."""

    def begin(self, stage: str, shard: int) -> Past:
        return Past(attempts=1)

    def claim(self, stage: str, shard: int, rows: Rows) -> None: ...

    def hang(self, stage: str, shard: int, rows: Rows) -> None: ...

    def spare(self, stage: str, shard: int) -> None: ...

    def end(self, stage: str, shard: int) -> None: ...


def log_told(told: dict[str, Any]) -> None:
    """A failure that a worker tells of goes to the run's log."""
    if "log" in told:
        logging.getLogger("pairmill").error(told["log"], extra={"facts": told["facts"]})
