"""Manners towards one host: requests in flight, requests per second, and pauses it asked for."""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator

FREE_DECODE_S = 1.0
MOST = 50_000
"""Hosts that are remembered though nobody asks them."""
"""Decoding time of a picture that costs its host nothing; ordinary ones take some hundredths."""


class Host:
    """The state of one host in one worker.  `limit` may change at any time: it is this worker's
    share of the whole run's.
    """

    def __init__(self, limit: int, rate: float | None) -> None:
        self.limit = limit
        self.active = 0
        self.waiting: deque[asyncio.Future[None]] = deque()
        self.gap_s = 1 / rate if rate else 0.0
        self.next_start = 0.0
        self.closed_until = 0.0
        self.silent = 0
        """Attempts in a row that the host did not answer."""
        self.down: str | None = None
        """Error class of the last of them."""

    @property
    def wanted(self) -> bool:
        """Whether a request is in flight to the host or waits for it."""
        return bool(self.active or self.waiting)

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """A slot for the time of the block."""
        await self.enter()
        try:
            yield
        finally:
            self.leave()

    async def enter(self) -> None:
        """Waits for a free slot, and for the host's own pace; `leave` gives the slot back."""
        while self.active >= self.limit:
            ticket = asyncio.get_running_loop().create_future()
            self.waiting.append(ticket)
            await ticket
        self.active += 1
        try:
            while (pause := self.next_start - time.monotonic()) > 0:
                await asyncio.sleep(pause)
        except BaseException:
            self.leave()
            raise
        self.next_start = max(self.next_start, time.monotonic() + self.gap_s)

    def leave(self) -> None:
        """Frees a slot, which the next row that waits takes."""
        self.active -= 1
        self.wake()

    def wake(self) -> None:
        """Lets as many waiting rows try as there are free slots."""
        free = self.limit - self.active
        while free > 0 and self.waiting:
            ticket = self.waiting.popleft()
            if not ticket.done():
                ticket.set_result(None)
                free -= 1

    def allow(self, limit: int, rate: float | None) -> None:
        """A new share of the host's connections and of its requests per second."""
        self.limit = limit
        self.gap_s = 1 / rate if rate else 0.0
        self.wake()

    def close_for(self, seconds: float) -> None:
        """The host asked for a pause that is longer than we wait: it is left alone until then."""
        self.closed_until = max(self.closed_until, time.monotonic() + seconds)

    def answered(self) -> None:
        """The host lives: its failures in a row are counted from zero again."""
        self.silent, self.down = 0, None

    def failed(self, kind: str, most: int, pause_s: float) -> None:
        """An attempt without an answer, or with one that a decoder died of; after `most` of them in
        a row the host is left alone for a while.
        """
        self.silent, self.down = self.silent + 1, kind
        if self.silent >= most:
            self.close_for(pause_s)

    def cost(self, decode_s: float) -> None:
        """Decoding its picture took so long: what is more than a picture's due, this host waits
        before its next request, so that it keeps no decoder to itself.
        """
        if decode_s > FREE_DECODE_S:
            self.back_off(decode_s - FREE_DECODE_S)

    def closed_s(self) -> float:
        """Seconds for which the host still wants to be left alone."""
        return max(0.0, self.closed_until - time.monotonic())

    def back_off(self, seconds: float) -> None:
        """Nobody asks this host again before so many seconds are over."""
        self.next_start = max(self.next_start, time.monotonic() + seconds)


class Hosts:
    """All hosts a worker talks to; forgets idle ones so that millions of hosts do not pile up."""

    def __init__(self, connections: int, rate: float | None, shared: bool) -> None:
        self.connections, self.rate, self.shared = connections, rate, shared
        self.hosts: dict[str, Host] = {}
        self.news = asyncio.Event()
        """Set when a host is asked for that has no share yet."""

    def of(self, name: str) -> Host:
        """State of a host by its name; where `MOST` are known already, idle ones are forgotten."""
        host = self.hosts.get(name)
        if host is None:
            if len(self.hosts) >= MOST:
                now = time.monotonic()
                self.hosts = {
                    n: h
                    for n, h in self.hosts.items()
                    if max(h.next_start, h.closed_until) > now or h.wanted
                }
            host = self.hosts[name] = Host(0 if self.shared else self.connections, self.rate)
        if self.shared and host.limit == 0:
            self.news.set()
        return host

    def in_use(self) -> dict[str, int]:
        """Requests in flight to every host that some row wants."""
        return {name: host.active for name, host in self.hosts.items() if host.wanted}

    def apply(self, shares: dict[str, int]) -> None:
        """Takes over the shares of the whole run's limits; a host that was not asked for loses its
        share.
        """
        for name, host in self.hosts.items():
            share = shares.get(name, 0)
            if share != host.limit:
                host.allow(
                    share,
                    self.rate * share / self.connections if self.rate and share else self.rate,
                )
