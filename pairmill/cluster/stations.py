"""Who does the work of an operator: tasks, or a pool of actors that grows and shrinks."""

import contextlib
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from pairmill.cluster.operators import Operator, stages_of_shard
from pairmill.cluster.worker_shares import asked_of
from pairmill.work.loaded import HALT_S, LEAVE_S

HALT = "halt"
"""Calls that do not wait for their turn among shards."""

Calls = tuple[Any, Any]
"""References to the block that a call leaves, and to what is told of it."""


@dataclass(eq=False)
class Passage:
    """A shard on its way through a phase: `at`: the operator that is to take it, `block`: what that
    is to get, by reference, or None where the operator reads; `bytes`, `node`: of the block.
    """

    shard: int
    at: int = 0
    block: Any = None
    bytes: int = 0
    node: str = ""
    member: "PoolActor | None" = None
    """The actor that has it."""


class Station(Protocol):
    """Who does the work of one operator."""

    def free(self) -> bool:
        """Whether it takes one more shard now."""

    def capacity(self) -> int:
        """Shards that it takes at once, at work or next."""

    def begin(self, passage: Passage) -> Calls:
        """Starts with a shard."""

    def end(self, passage: Passage) -> None:
        """A call has come back."""

    def lose(self, passage: Passage) -> None:
        """A call's worker has died."""

    def close(self) -> None:
        """Ends what it started, at once where that is at work."""


class Tasks:
    """A task for each shard, at most `most` at once.  `key`: the phase and the operator's place."""

    def __init__(
        self, ray: Any, key: tuple[str, int], operator: Operator, most: int, options: dict[str, Any]
    ) -> None:
        # what dies is done again by the flow, which knows which shard it was
        fixed = {"num_returns": 2, "max_retries": 0, **options}
        self.task = ray.remote(stages_of_shard).options(**fixed)
        self.reader = ray.remote(stages_of_shard).options(
            **{"scheduling_strategy": "SPREAD", **fixed}
        )
        self.cancel, self.key, self.most = ray.cancel, key, most
        self.cpus: float = options["num_cpus"]
        self.shared = [ray.put(operator)]
        self.running: dict[Passage, Any] = {}

    def free(self) -> bool:
        """Whether fewer than `most` run."""
        return len(self.running) < self.most

    def capacity(self) -> int:
        """`most`."""
        return self.most

    def begin(self, passage: Passage) -> Calls:
        """Where its block lies, as far as there is room; readers go wherever there is most."""
        task = self.reader if passage.block is None else self.task
        block, told = task.remote(self.key, self.shared, passage.shard, passage.block)
        self.running[passage] = told
        return block, told

    def end(self, passage: Passage) -> None:
        """There is room for another."""
        del self.running[passage]

    def lose(self, passage: Passage) -> None:
        """There is room for another."""
        del self.running[passage]

    def close(self) -> None:
        """Cancels what still runs."""
        for told in self.running.values():
            self.cancel(told)
        self.running.clear()


@dataclass(eq=False)
class PoolActor:
    """An actor of a pool; `node`: where it is, empty until it has started."""

    actor: Any
    node: str = ""
    calls: int = 0
    idle_since: float = field(default_factory=time.monotonic)


class Pool:
    """Actors of an operator, from `low` to `high`, each with up to `overlap` shards at work and one
    more that waits for it, so that its block is there when its turn comes.  `halts`: what they are
    answered is stored before they are killed.
    """

    def __init__(
        self,
        ray: Any,
        kind: type,
        arguments: Mapping[str, Any],
        bounds: tuple[int, int],
        overlap: int,
        options: Mapping[str, Any],
        halts: bool = False,
    ) -> None:
        # what dies is replaced by the flow, which knows whether anything waits for it
        fixed: dict[str, Any] = {
            "max_restarts": 0,
            "max_task_retries": 0,
        }
        if halts:
            fixed["concurrency_groups"] = {HALT: 1}
        if overlap > 1:
            fixed["max_concurrency"] = overlap
        self.ray, self.arguments, self.halts = ray, arguments, halts
        self.kind = ray.remote(scheduling_strategy="SPREAD", **fixed, **options)(kind)
        self.low, self.high = bounds
        self.overlap, self.asks = overlap, asked_of(options)
        self.there: list[PoolActor] = []
        self.starting: dict[Any, PoolActor] = {}
        """By the answer that tells where one is."""
        self.leaving: list[threading.Thread] = []
        """Each holds an actor that closes its stages: Ray ends one that nobody holds, and of
        several threads of an actor it waits for none.
        """

    def __len__(self) -> int:
        return len(self.there) + len(self.starting)

    def start(self, count: int = 1) -> None:
        """Starts actors."""
        for _ in range(count):
            actor = self.kind.remote(**self.arguments)
            self.starting[actor.where.remote()] = PoolActor(actor)

    def started(self, answer: Any, node: str) -> None:
        """One is there, on a node."""
        member = self.starting.pop(answer)
        member.node, member.idle_since = node, time.monotonic()
        self.there.append(member)

    def failed(self, answer: Any) -> None:
        """One died before it was there."""
        del self.starting[answer]

    def free(self) -> bool:
        """Whether an actor takes one more shard."""
        return any(member.calls <= self.overlap for member in self.there)

    def full(self) -> bool:
        """Whether each actor has all the work that it can do at once."""
        return all(member.calls >= self.overlap for member in self.there)

    def capacity(self) -> int:
        """Of the actors that are there or start."""
        return max(1, len(self)) * (self.overlap + 1)

    def begin(self, passage: Passage) -> Calls:
        """By the actor with the fewest shards, on the block's node where there are several."""
        member = min(self.there, key=lambda m: (m.calls, m.node != passage.node))
        member.calls += 1
        passage.member = member
        block, told = member.actor.pass_on.options(num_returns=2).remote(
            passage.shard, passage.block
        )
        return block, told

    def end(self, passage: Passage) -> None:
        """The actor has room for another."""
        if (member := passage.member) is not None:
            member.calls -= 1
            member.idle_since = time.monotonic()
        passage.member = None

    def lose(self, passage: Passage) -> None:
        """The actor is gone, or cannot be reached and has to go."""
        member, passage.member = passage.member, None
        if member in self.there:
            self.there.remove(member)
            self.ray.kill(member.actor)

    def give_back(self, keep: int = 0, idle_s: float = 0.0) -> int:
        """Ends actors that have had nothing to do for some seconds, down to `keep`; their number.
        Ray ends them when nobody holds them any more.
        """
        until = time.monotonic() - idle_s
        idle = [m for m in self.there if not m.calls and m.idle_since <= until]
        ended = idle[: max(0, len(self) - keep)]
        self.there = [m for m in self.there if m not in ended]
        for member in ended:
            self.let_go(member.actor)
        return len(ended)

    def let_go(self, actor: Any) -> None:
        """Holds an actor until its stages are closed, or for as long as they may take."""

        def hold(actor: Any, closed: Any) -> None:
            with contextlib.suppress(
                Exception
            ):  # the actor, or Ray, is gone: that is said elsewhere
                self.ray.wait([closed], timeout=LEAVE_S)

        self.leaving = [thread for thread in self.leaving if thread.is_alive()]
        thread = threading.Thread(target=hold, args=[actor, actor.end.remote()], daemon=True)
        thread.start()
        self.leaving.append(thread)

    def withdraw(self, keep: int = 0) -> int:
        """Asks no longer for actors that found no place yet, down to `keep`; their number."""
        late = [*self.starting][: max(0, len(self) - keep)]
        for answer in late:
            self.ray.kill(self.starting.pop(answer).actor)
        return len(late)

    def halt(self) -> None:
        """Has actors that are at work store what was answered, which may be paid."""
        group = {"concurrency_group": HALT}
        there = [member.actor for member in self.there if self.halts and member.calls]
        halted = [actor.halt.options(**group).remote() for actor in there]
        if halted:
            with contextlib.suppress(Exception):  # Ray is gone: that is said elsewhere
                self.ray.wait(halted, num_returns=len(halted), timeout=HALT_S + 1)

    def close(self) -> None:
        """Those without work end in order, once their stages are closed; others at once, when what
        they were answered is stored.
        """
        try:
            self.halt()
        finally:
            self.end_all()

    def end_all(self) -> None:
        """As `close`, without waiting for what is to be stored."""
        for member in (*self.there, *self.starting.values()):
            if member.calls or not member.node:
                self.ray.kill(member.actor)
            else:
                self.let_go(member.actor)
        for thread in self.leaving:
            thread.join(LEAVE_S)
        self.there.clear()
        self.starting.clear()
