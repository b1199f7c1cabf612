"""How many requests a server gets at a time: a window that grows while it answers soon and shrinks
where it is overloaded, within limits that hold for all workers of a run together.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pairmill.shares import CLOSED

FIRST = 8.0
"""Requests in flight at the start."""
SHRINK = 0.5
SLOW = 4.0
"""The window grows no more where requests take so many times the least that they took."""
LEAST_S = 0.05
"""What a request takes that nobody would call slow, however short others are."""
SMOOTH = 0.1
"""Weight of the last request in the mean of what requests take."""
MINUTE_S = 60.0


class Window:
    """Requests of one worker to one server.

    The window doubles until the first sign of overload and grows by one each round of requests
    after it; a sign (429, 503, a timeout) halves it, once for all requests of a round (additive
    increase, multiplicative decrease, as TCP).  `share` of `connections` is this worker's part of
    the run's limits, and its part of requests and tokens per minute in proportion.  A `wide`
    window begins at its limit: for a server that nobody else asks, which queues what it cannot
    take yet.
    """

    def __init__(
        self,
        name: str,
        connections: int,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        shared: bool = False,
        wide: bool = False,
    ) -> None:
        self.name, self.connections = name, connections
        self.request_rate, self.token_rate = requests_per_minute, tokens_per_minute
        self.news = asyncio.Event()
        """Set when a request waits and there is no share yet."""
        self.share = 0 if shared else connections
        self.size = float(connections) if wide else min(FIRST, float(connections))
        self.starting = not wide
        self.active = self.waiting = 0
        self.free = asyncio.Condition()
        self.next_request_at = self.next_tokens_at = 0.0
        self.mean_tokens = 0.0
        self.round_began = 0.0
        self.mean_s: float | None = None
        self.least_s: float | None = None
        self.closed_until = 0.0
        self.ended = False

    def in_use(self) -> dict[str, int]:
        """Requests in flight, if any is wanted; as shares.py asks."""
        if self.ended:
            return {self.name: CLOSED}
        return {self.name: self.active} if self.active or self.waiting else {}

    def apply(self, shares: dict[str, int]) -> None:
        """A new share of the run's limits."""
        if not self.ended:
            self.share = shares.get(self.name, 0)
            self.wake()

    def end(self) -> None:
        """The server answers nobody: no worker of the run is to ask it, and whoever waits here gets
        a place at once, to learn that.
        """
        self.ended, self.share = True, self.connections
        self.news.set()
        self.wake()

    def wake(self) -> None:
        """Lets those who wait look again."""

        async def notify() -> None:
            async with self.free:
                self.free.notify_all()

        self.waker = asyncio.ensure_future(notify())

    @property
    def limit(self) -> int:
        """Requests that may be in flight now."""
        return max(1, min(int(self.size), self.share)) if self.share else 0

    @asynccontextmanager
    async def turn(self, expected_tokens: int) -> AsyncIterator[None]:
        """A place in flight, at the pace that the limits allow."""
        self.waiting += 1
        try:
            async with self.free:
                if not self.share:
                    self.news.set()
                await self.free.wait_for(lambda: self.active < self.limit)
                self.active += 1
        finally:
            self.waiting -= 1
        try:
            await self.pace(expected_tokens)
            yield
        finally:
            self.active -= 1
            async with self.free:
                self.free.notify(1)

    async def pace(self, expected_tokens: int) -> None:
        """Waits for the server's pause, and for the rates of requests and tokens."""
        part = self.share / self.connections if self.share else 1.0
        while True:
            if self.ended:
                return
            now = time.monotonic()
            at = max(self.closed_until, self.next_request_at, self.next_tokens_at)
            if at <= now:
                break
            await asyncio.sleep(at - now)
        if self.request_rate:
            self.next_request_at = max(self.next_request_at, now) + MINUTE_S / (
                self.request_rate * part
            )
        if self.token_rate:
            tokens = self.mean_tokens or expected_tokens
            self.next_tokens_at = max(self.next_tokens_at, now) + MINUTE_S * tokens / (
                self.token_rate * part
            )

    def answered(self, began: float, tokens: int) -> None:
        """An answer came; `began`: when its request was sent (monotonic)."""
        took = time.monotonic() - began
        if self.token_rate:
            assumed = self.mean_tokens or tokens
            part = self.share / self.connections if self.share else 1.0
            self.next_tokens_at += MINUTE_S * (tokens - assumed) / (self.token_rate * part)
            self.mean_tokens += SMOOTH * (tokens - assumed) if self.mean_tokens else tokens
        self.least_s = took if self.least_s is None else min(self.least_s, took)
        self.mean_s = took if self.mean_s is None else self.mean_s + SMOOTH * (took - self.mean_s)
        slow = self.mean_s > SLOW * max(self.least_s, LEAST_S)
        if slow or not (self.waiting or self.active >= self.limit):
            return
        if self.size < self.connections:
            self.size = min(
                float(self.connections), self.size + (1.0 if self.starting else 1.0 / self.size)
            )
            self.wake()

    def overloaded(self, began: float, pause_s: float = 0.0) -> None:
        """A sign of overload from a request that began then; `pause_s`: what the server asked
        for.
        """
        now = time.monotonic()
        self.closed_until = max(self.closed_until, now + pause_s)
        self.starting = False
        if began >= self.round_began:
            self.size = max(1.0, min(self.size, float(self.active or 1)) * SHRINK)
            self.round_began = now
