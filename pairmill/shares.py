"""A worker asks the run for its share of limits that hold for all workers together (connections to
a host, requests to a server), about once a second.
"""

import asyncio
import contextlib
import uuid
from collections.abc import Callable
from typing import Protocol

POLL_S = 1.0
SOONEST_S = 0.05

Ask = Callable[[str, int, dict[str, int]], dict[str, int]]
"""(worker, limit of a host, requests in flight by host) → slots by host."""
CLOSED = -1
"""In place of a number in flight: the host answers nobody, so no worker gets a slot for a while."""


class Shared(Protocol):
    """Limits of which a worker has a share."""

    connections: int
    """Of each name, over all workers of the run."""
    news: asyncio.Event
    """Set when something is wanted that has no share yet."""

    def in_use(self) -> dict[str, int]:
        """Requests in flight by name, of all names that are wanted now."""

    def apply(self, shares: dict[str, int]) -> None:
        """Takes over the shares by name; a name that is not among them has none."""


async def follow(hosts: Shared, ask: Ask, worker: str | None = None) -> None:
    """Keeps a worker's shares fresh until it is cancelled, and then gives them back.

    Where the board is gone, every host has one slot.
    """
    worker, loop = worker or uuid.uuid4().hex, asyncio.get_running_loop()
    try:
        while True:
            hosts.news.clear()
            wanted = hosts.in_use()
            try:
                shares = await loop.run_in_executor(None, ask, worker, hosts.connections, wanted)
            except Exception:  # the run's driver is gone, or its node is: go on with care
                shares = dict.fromkeys(wanted, 1)
            hosts.apply(shares)
            await asyncio.sleep(SOONEST_S)
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(hosts.news.wait(), POLL_S)
    finally:
        with contextlib.suppress(Exception):
            closed = {name: busy for name, busy in hosts.in_use().items() if busy == CLOSED}
            for _ in range(2):
                await loop.run_in_executor(None, ask, worker, hosts.connections, closed)
