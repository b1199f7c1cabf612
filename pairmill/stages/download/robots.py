"""robots.txt, fetched once per origin and obeyed as RFC 9309 says."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from protego import Protego
from yarl import URL

MOST_BYTES = 512 * 1024
MOST_ORIGINS = 20_000
Get = Callable[[URL, int], Awaitable[tuple[int, bytes]]]
"""(address, byte cap) → (status, body); raises where there is no answer."""


class Robots:
    """The rules of every origin that was asked for; forgets the oldest when there are too many."""

    def __init__(self, get: Get, agent: str, retry_s: float) -> None:
        self.get, self.agent, self.retry_s = get, agent, retry_s
        self.rules: dict[str, asyncio.Task[Protego | str]] = {}
        self.failed: dict[str, float] = {}
        """When an origin's file could not be read, for those where it could not."""

    async def refusal(self, url: URL) -> str | None:
        """Why this address may not be fetched, or None."""
        origin = str(url.origin())
        task = self.rules.get(origin)
        if task is None or time.monotonic() - self.failed.get(origin, float("inf")) > self.retry_s:
            self.failed.pop(origin, None)
            if len(self.rules) >= MOST_ORIGINS:
                oldest = next(iter(self.rules))
                del self.rules[oldest]
                self.failed.pop(oldest, None)
            task = self.rules[origin] = asyncio.ensure_future(self.read(url.origin()))
        rules = await asyncio.shield(task)
        if isinstance(rules, str):
            self.failed.setdefault(origin, time.monotonic())
            return rules
        return None if rules.can_fetch(str(url), self.agent) else "robots.txt forbids it"

    async def read(self, origin: URL) -> Protego | str:
        """The rules; a missing file allows everything, a server that fails forbids it (RFC 9309,
        2.3.1).
        """
        try:
            status, body = await self.get(origin / "robots.txt", MOST_BYTES)
        except Exception as error:  # the web finds every kind
            return f"robots.txt cannot be read ({type(error).__name__})"
        if status >= 500 or status == 429:
            return f"robots.txt cannot be read (HTTP {status})"
        return Protego.parse(body.decode("utf-8-sig", "replace") if status == 200 else "")
