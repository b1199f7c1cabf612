"""One limit for a host over the whole run: workers ask for their share of its connections.

A worker names the hosts that its rows want now and how many requests it has in flight to each.  The
board divides each host's limit evenly, and never gives away a slot that another worker may still be
using; the oldest askers come first where there are more workers than slots.  A worker that is
silent for `TTL_S` has died, and its slots are free again.
"""

from dataclasses import dataclass

from pairmill.shares import CLOSED

TTL_S = 30.0
"""Seconds of silence after which a worker has died, and its slots are free again; and seconds for
which nobody asks a host that answers nobody: the run stops meanwhile, or somebody looks again.
"""


@dataclass
class HostShare:
    """What one worker holds of one host.  `before`: what it was granted by the call before, and may
    still be using.
    """

    granted: int = 0
    before: int = 0
    busy: int = 0
    seen: float = 0.0

    @property
    def held(self) -> int:
        """Slots that it may be using."""
        return max(self.granted, self.before, self.busy)


class HostBoard:
    """Divides every host's connections among the workers that want it.  Lives in one actor of the
    run.

    A worker applies an answer before it asks again, so what a call takes away counts as used until
    the worker's next.
    """

    def __init__(self) -> None:
        self.hosts: dict[str, dict[str, HostShare]] = {}
        self.held: dict[str, set[str]] = {}
        self.closed: dict[str, float] = {}
        """Host that answers nobody → when a worker said so."""

    def share(
        self, worker: str, limit: int, in_flight: dict[str, int], now: float
    ) -> dict[str, int]:
        """A worker's slots by host, for the hosts that it wants now (`in_flight`: its requests
        to each, or CLOSED).
        """
        self.closed |= {host: now for host, busy in in_flight.items() if busy == CLOSED}
        in_flight = {host: busy for host, busy in in_flight.items() if busy != CLOSED}
        known = self.held.get(worker, set())
        left = {host for host in known - in_flight.keys() if not self.let_go(host, worker, now)}
        self.held[worker] = set(in_flight) | left
        return {
            host: self.grant(host, worker, limit, busy, now) for host, busy in in_flight.items()
        }

    def grant(self, host: str, worker: str, limit: int, busy: int, now: float) -> int:
        """A worker's slots of one host."""
        leases = self.hosts.setdefault(host, {})
        for name in [n for n, lease in leases.items() if now - lease.seen > TTL_S and n != worker]:
            del leases[name]
        lease = leases.setdefault(worker, HostShare())
        place = list(leases).index(worker)
        fair = limit // len(leases) + (place < limit % len(leases))
        if host in self.closed and now - self.closed[host] <= TTL_S:
            fair = 0
        others = sum(other.held for name, other in leases.items() if name != worker)
        lease.before, lease.busy, lease.seen = lease.granted, busy, now
        lease.granted = max(0, min(fair, limit - others))
        return lease.granted

    def let_go(self, host: str, worker: str, now: float) -> bool:
        """A host that the worker names no more: its slots are free at the second call in which it
        does not.
        """
        leases = self.hosts.get(host, {})
        lease = leases.get(worker)
        if lease is not None and lease.granted:
            lease.before, lease.granted, lease.busy, lease.seen = lease.granted, 0, 0, now
            return False
        leases.pop(worker, None)
        if not leases:
            self.hosts.pop(host, None)
        return True
