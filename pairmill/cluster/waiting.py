"""What the work of a run waits for on a cluster, told where that lasts: which resource, how much
of it, and which nodes have died.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

LOOK_EVERY_S = 5.0
PATIENCE_S = 20.0
"""Seconds that work waits for a resource before that is told; then a minute is not over."""
AGAIN_S = 600.0
"""Seconds after which it is told again."""
SHOWN_BYTES = 5e7
"""Memory of which people read."""
SLACK = 1e-4
"""Ray counts resources in such parts."""

Resources = Mapping[str, float]
Bundle = tuple[tuple[str, float], ...]
"""What one task or worker asks for, as something that can be told apart."""


@dataclass(frozen=True)
class LiveNode:
    """A node that answers: all that it has, and what nobody uses of it."""

    address: str
    total: Resources
    left: Resources


@dataclass(frozen=True)
class ClusterState:
    """The living nodes by id, and what waits for a place on one of them, with how often."""

    nodes: Mapping[str, LiveNode]
    wanted: Mapping[Bundle, int] = field(default_factory=dict)

    def unplaced(self) -> dict[Bundle, int]:
        """What no node has room for now."""
        return {
            bundle: count
            for bundle, count in self.wanted.items()
            if not any(holds(node.left, bundle) for node in self.nodes.values())
        }

    def lacks(self, bundle: Bundle, but: Sequence[str] = ()) -> bool:
        """Whether no node could hold it if it had nothing else to do; some resources aside."""
        wanted = [(name, amount) for name, amount in bundle if name not in but]
        return not any(holds(node.total, wanted) for node in self.nodes.values())


@dataclass
class Waits:
    """What waits, since when, and what of it was told; `update` gives lines for people.

    Work that waits for cores while other work gets on is no news; what no node could hold is, and
    so is work that waits while nothing gets on.
    """

    since: dict[Bundle, float] = field(default_factory=dict)
    reported: dict[Bundle, float] = field(default_factory=dict)
    known: dict[str, LiveNode] = field(default_factory=dict)
    dead: dict[str, LiveNode] = field(default_factory=dict)
    moved_at: float = float("-inf")

    def update(self, state: ClusterState, now: float, moved: bool = False) -> list[str]:
        """Lines for what has to be told now.  `moved`: some work got done since the last look."""
        self.dead |= {n: node for n, node in self.known.items() if n not in state.nodes}
        self.known = dict(state.nodes)
        unplaced = state.unplaced()
        if moved:
            self.moved_at = now
        self.since = {bundle: self.since.get(bundle, now) for bundle in unplaced}
        lines = []
        for bundle, began in self.since.items():
            lacks = state.lacks(bundle)
            waited = now - (began if lacks else max(began, self.moved_at))
            last = self.reported.get(bundle)
            if waited >= PATIENCE_S and (last is None or now - last >= AGAIN_S):
                self.reported[bundle] = now
                lines.append(self.message(state, bundle, unplaced[bundle], lacks))
        for bundle in [b for b in self.reported if b not in state.wanted]:
            del self.reported[bundle]
            lines.append(f"there is room again for what asked for {in_words(bundle)}")
        return lines

    def message(self, state: ClusterState, bundle: Bundle, count: int, lacks: bool) -> str:
        """What one kind of work waits for, in words."""
        times = f", {count} times" if count > 1 else ""
        one = len(state.nodes) == 1
        nodes = "the one living node" if one else f"the {len(state.nodes)} living nodes"
        if lacks:
            why = f"{nodes} {'does' if one else 'do'} not have that"
        else:
            why = f"other work holds what {nodes} {'has' if one else 'have'} of it"
        gone = f"; {self.died()}" if self.dead else ""
        return (
            f"waiting for {in_words(bundle)}{times}: {why}{gone}. The run goes on when a node "
            "has it; or stop it, and the same command goes on with what there is"
        )

    def died(self) -> str:
        """The nodes that have died, in words."""
        words = [f"{n.address} ({in_words(n.total)})" for n in list(self.dead.values())[-3:]]
        more = f" and {len(self.dead) - 3} before" if len(self.dead) > 3 else ""
        return f"{'node' if len(words) == 1 else 'nodes'} {', '.join(words)}{more} died"


class ClusterWatch:
    """A thread of the driver that looks at the cluster while a run uses it, and tells what waits.

    `read_state`: the cluster's state now; `tell`: takes a line for people.
    """

    def __init__(self, read_state: Callable[[], ClusterState], tell: Callable[[str], None]) -> None:
        self.read_state, self.tell = read_state, tell
        self.waits, self.state = Waits(), ClusterState({})
        self.moves = 0
        """Counts what got done; who consumes results adds to it."""
        self.seen = 0
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True, name="cluster")

    def run(self) -> None:
        """What the thread does."""
        while True:
            # the cluster's head may be busy or gone: others find out which
            with contextlib.suppress(Exception):
                self.once(time.monotonic())
            if self.stop.wait(LOOK_EVERY_S):
                return

    def once(self, now: float) -> None:
        """One look."""
        self.state = self.read_state()
        moved, self.seen = self.moves != self.seen, self.moves
        for line in self.waits.update(self.state, now, moved):
            self.tell(line)

    def close(self) -> None:
        """Ends the thread."""
        self.stop.set()
        self.thread.join(LOOK_EVERY_S)


def holds(has: Resources, bundle: Iterable[tuple[str, float]]) -> bool:
    """Whether a node with these resources has room for a bundle."""
    return all(has.get(name, 0.0) >= amount - SLACK for name, amount in bundle)


def bundle_of(resources: Resources) -> Bundle:
    """Resources as a bundle."""
    return tuple(sorted((name, round(amount, 4)) for name, amount in resources.items() if amount))


def in_words(resources: "Resources | Bundle") -> str:
    """Cores, GPUs, memory and what else was asked for."""
    amounts = dict(resources)
    words = [f"{amounts[name]:g} {name}" for name in ("CPU", "GPU") if amounts.get(name)]
    if amounts.get("memory", 0) >= SHOWN_BYTES:
        words.append(f"{amounts['memory'] / 1e9:.1f} GB of memory")
    other = {k: v for k, v in amounts.items() if k not in ("CPU", "GPU", "memory")}
    own = ("node:", "object_store_memory", "accelerator_type:")
    words += [f"{v:g} {k}" for k, v in sorted(other.items()) if not k.startswith(own)]
    return ", ".join(words) or "a place"


def cluster_state(head: str) -> ClusterState:
    """The cluster as its head sees it: what autoscalers go by, whether there is one or not.

    `head`: its address; to ask Ray for it in each look would start another Ray once this is gone.
    """
    from ray.autoscaler.v2.sdk import get_cluster_status

    status = get_cluster_status(head)
    nodes = {
        node.node_id: LiveNode(node.ip_address, node.total_resources(), node.available_resources())
        for node in (*status.active_nodes, *status.idle_nodes)
        if node.node_id is not None
    }
    wanted: dict[Bundle, int] = {}
    for demand in status.resource_demands.ray_task_actor_demand:
        for one in demand.bundles_by_count:
            bundle = bundle_of(one.bundle)
            wanted[bundle] = wanted.get(bundle, 0) + one.count
    return ClusterState(nodes, wanted)
