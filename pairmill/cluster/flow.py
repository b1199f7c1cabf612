"""Shards on their way through the operators of a phase, on Ray's core: tasks and actors.

A block goes from worker to worker by reference; the driver holds what is told of it.  What each
stage computed is committed, so a shard whose worker or block is lost goes again from where it was,
or from the beginning: that costs reading what is stored.
"""

import contextlib
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pairmill.cluster.losses import is_lost_block, is_lost_worker
from pairmill.cluster.operators import CallReport
from pairmill.cluster.phase_guard import STUCK_S, PhaseGuard
from pairmill.cluster.session import RaySession, own_errors
from pairmill.cluster.stations import Passage, Pool, Station, Tasks
from pairmill.cluster.waiting import ClusterState, holds

STEP_S = 1.0
"""Seconds between looks at the pools and at the cluster."""
IDLE_S = 5.0
"""Seconds without work after which an actor beyond the least number makes room for what waits."""
GIVE_BACK_S = 1.5 * STUCK_S
"""Seconds in which nothing gets on before every idle actor makes room; the guard comes first, where
smaller shares would help.
"""
LEAST_PATIENCE_S = 2.0
"""... after it had to be done several times."""
OF_STORE = 0.5
"""Part of the cluster's object stores that blocks of a phase may take."""


class Flow:
    """A phase's shards through its operators.

    `stations`: who does each operator's work; `store`: bytes of the cluster's object stores;
    `block`: bytes of a block, before any was seen.
    """

    def __init__(
        self,
        session: RaySession,
        stations: Sequence[Station],
        guard: PhaseGuard,
        store: float,
        block: int,
    ) -> None:
        self.session, self.ray, self.guard = session, session.ensure(), guard
        self.stations = stations
        self.most_bytes = OF_STORE * store
        self.made = dict.fromkeys(range(len(stations)), block)
        """Bytes of a block that each operator leaves, as the last was."""
        self.left: deque[int] = deque()
        self.waiting: list[deque[Passage]] = [deque() for _ in stations]
        self.running: dict[Any, Passage] = {}
        """By what will be told of each."""
        self.leaves: dict[Any, Any] = {}
        """The block that each call will leave, by the same."""
        self.at_work: Counter[int] = Counter()
        """Calls in progress, by operator."""
        self.spare = max((one.cpus for one in stations if isinstance(one, Tasks)), default=0.0)
        """Cores of one task."""
        self.ended = 0
        self.patience_s = GIVE_BACK_S
        self.next_look = self.emptied_at = 0.0
        self.grown_by: ClusterState | None = None

    def through(self, shards: Sequence[int]) -> Iterator[tuple[int, Any]]:
        """Takes shards through; each, as it is done, with its result.  Raises RunError, and
        ClusterChanged where the phase has to start anew.
        """
        self.left.extend(shards)
        try:
            while True:
                if time.monotonic() >= self.next_look:
                    self.guard.observe(self.ended, time.monotonic())
                with own_errors():
                    self.look(time.monotonic())
                    self.feed()
                    if not (self.running or self.wanting(len(self.stations) - 1)):
                        return
                    yield from self.collect()
        finally:
            self.close()

    def wanting(self, at: int) -> bool:
        """Whether shards wait for an operator, or for one before it."""
        return bool(self.left) or any(self.waiting[: at + 1])

    def waits(self, at: int) -> bool:
        """Whether shards wait for an operator."""
        return bool(self.waiting[at]) or (at == 0 and bool(self.left))

    def feed(self) -> None:
        """Gives workers what waits for them, the last operators first."""
        for at in reversed(range(len(self.stations))):
            station = self.stations[at]
            while self.waits(at) and station.free() and self.has_room(at):
                queue = self.waiting[at]
                passage = queue.popleft() if queue else Passage(self.left.popleft())
                block, told = station.begin(passage)
                self.running[told], self.leaves[told] = passage, block
                self.at_work[at] += 1

    def has_room(self, at: int) -> bool:
        """Whether an operator may make another block: as many may wait for the next operator as
        that takes at once, and all of them have their part of the object stores.  Where nothing
        would come of waiting it may.
        """
        if at == len(self.stations) - 1:
            return True
        if len(self.waiting[at + 1]) + self.at_work[at] >= self.stations[at + 1].capacity():
            return False
        behind = range(at, len(self.stations))
        if not any(self.waiting[at + 1 :]) and not any(self.at_work[k] for k in behind):
            return True
        held = sum(passage.bytes for passage in self.running.values())
        held += sum(passage.bytes for queue in self.waiting for passage in queue)
        coming = sum(self.at_work[k] * self.made[k] for k in range(len(self.stations) - 1))
        return held + coming + self.made[at] <= self.most_bytes

    def collect(self) -> Iterator[tuple[int, Any]]:
        """Waits for some calls, at most until the next look, and takes what they tell."""
        pools = [pool for pool in self.stations if isinstance(pool, Pool)]
        answers = [*self.running, *(answer for pool in pools for answer in pool.starting)]
        if not answers:
            time.sleep(max(0.0, self.next_look - time.monotonic()))
            return
        first, _ = self.ray.wait(answers, num_returns=1, timeout=STEP_S)
        if not first:
            return
        come, _ = self.ray.wait(answers, num_returns=len(answers), timeout=0)
        for answer in come or first:
            if (passage := self.running.get(answer)) is not None:
                yield from self.take(answer, passage)
                continue
            for pool in pools:
                if answer in pool.starting:
                    self.join(pool, answer)

    def join(self, pool: Pool, answer: Any) -> None:
        """An actor is there, or died before."""
        try:
            pool.started(answer, self.ray.get(answer))
        except self.ray.exceptions.RayError as error:
            if not is_lost_worker(error):
                raise
            pool.failed(answer)
            self.next_look = 0.0

    def take(self, answer: Any, passage: Passage) -> Iterator[tuple[int, Any]]:
        """A call has ended: the shard is done, waits for the next operator, or goes again."""
        at, block = passage.at, self.leaves.pop(answer)
        del self.running[answer]
        self.at_work[at] -= 1
        try:
            passed: CallReport = self.ray.get(answer)
        except self.ray.exceptions.RayError as error:
            self.again(passage, error)
            return
        self.stations[at].end(passage)
        self.ended += 1
        self.session.moved()
        if passed.bytes is None:
            yield passage.shard, passed.result
            return
        self.made[at] = passed.bytes
        self.waiting[at + 1].append(
            Passage(passage.shard, at + 1, block, passed.bytes, passed.node)
        )

    def again(self, passage: Passage, error: Exception) -> None:
        """A worker or a block was lost: the shard goes again."""
        if is_lost_block(error):
            self.stations[passage.at].end(passage)
            self.waiting[0].append(Passage(passage.shard))
        elif is_lost_worker(error):
            self.stations[passage.at].lose(passage)
            self.waiting[passage.at].appendleft(passage)
            self.next_look = 0.0
        else:
            raise error

    def look(self, now: float) -> None:
        """Now and then: how many actors each pool needs."""
        if now < self.next_look:
            return
        self.next_look = now + STEP_S
        state = self.guard.watch.state
        crowded = bool(state.unplaced())
        stuck = crowded and now - max(self.guard.moved_at, self.emptied_at) >= self.patience_s
        for at, station in enumerate(self.stations):
            if not isinstance(station, Pool):
                continue
            if not self.wanting(at) and not any(self.at_work[k] for k in range(at + 1)):
                station.withdraw()
                station.give_back()
            elif stuck:
                self.make_room(at, station)
            else:
                if crowded:
                    station.give_back(station.low, IDLE_S)
                self.staff(at, station, state)
        if stuck:
            self.emptied_at = now
            self.patience_s = max(LEAST_PATIENCE_S, self.patience_s / 2)

    def make_room(self, at: int, pool: Pool) -> None:
        """An operator that has nothing to do gives back all of its workers; from now on it has as
        many as there is work for.
        """
        pool.low = 0
        pool.give_back()
        pool.withdraw(keep=1 if self.waits(at) else 0)

    def staff(self, at: int, pool: Pool, state: ClusterState) -> None:
        """Starts the actors that a pool lacks: up to its least number, and as many again where
        shards wait while all are at work, as far as nodes have room for them.
        """
        shards = len(self.left) + sum(map(len, self.waiting[: at + 1])) + len(self.running)
        least = min(max(pool.low, int(self.waits(at))), shards)
        if len(pool) < least:
            pool.start(least - len(pool))
        elif self.waits(at) and not pool.starting and pool.full() and state is not self.grown_by:
            most = min(pool.high, 2 * len(pool), shards)
            if more := fitting(state, pool.asks, most - len(pool), self.spare):
                pool.start(more)
                self.grown_by = state

    def close(self) -> None:
        """Ends all that was started, each though another raises."""
        with contextlib.ExitStack() as every:
            for station in self.stations:
                every.callback(station.close)
        self.running.clear()
        self.leaves.clear()


def fitting(state: ClusterState, asks: Mapping[str, float], count: int, spare: float) -> int:
    """How many workers there is room for on the cluster's nodes, at most `count`, beside cores that
    are kept for tasks.
    """
    found, cpus = 0, asks.get("CPU", 0.0)
    cores = sum(node.left.get("CPU", 0.0) for node in state.nodes.values()) - spare
    for node in state.nodes.values():
        left = dict(node.left)
        while found < count and cores >= cpus and holds(left, asks.items()):
            for name, amount in asks.items():
                left[name] -= amount
            cores -= cpus
            found += 1
    return found
