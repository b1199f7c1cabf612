"""Workers' shares are made for the nodes that there are when a phase starts.  Where these change so
that it stands still, or that it uses but half of them, the phase starts anew with other shares:
what was committed stays, so that costs the batches that workers hold.
"""

import time
from collections.abc import Iterable, Sized

from pairmill.cluster.waiting import ClusterWatch, in_words

STUCK_S = 20.0
"""Seconds in which no operator gives anything, while work finds no place and a node is gone."""
GROWN = 2.0
"""Times the cores with which a phase started that are worth starting it anew."""
SHARED = ("CPU", "memory")
"""What shares are made of."""


class ClusterChanged(Exception):
    """The phase has to start anew."""


class Progress:
    """Looks at work on Ray, and tells the watch where something got done."""

    def __init__(self, watch: ClusterWatch) -> None:
        self.watch = watch
        self.seen: object = None

    def observe(self, seen: object, now: float) -> bool:
        """Whether something got done since the last look.  `seen`: differs wherever it did."""
        moved, self.seen = seen != self.seen, seen
        self.watch.moves += moved
        return moved


class PhaseGuard(Progress):
    """Ends an execution that has to start anew.  `changed`: why it was ended, or nothing.

    `nodes`, `cores`: of the cluster for which it was started; `left`: shards that it has to do.
    """

    def __init__(
        self, watch: ClusterWatch, nodes: Iterable[str], cores: float, left: Sized
    ) -> None:
        super().__init__(watch)
        self.nodes, self.cores, self.left = frozenset(nodes), cores, left
        self.changed = ""
        self.moved_at = self.small_at = time.monotonic()

    def observe(self, seen: object, now: float) -> bool:
        """Raises ClusterChanged."""
        state = self.watch.state
        moved = super().observe(seen, now)
        if moved or not state.unplaced():
            self.moved_at = now
        cores = sum(node.total.get("CPU", 0) for node in state.nodes.values())
        if cores < GROWN * self.cores or len(self.left) < cores:
            self.small_at = now
        gone = self.nodes - state.nodes.keys()
        lacking = any(state.lacks(bundle, SHARED) for bundle in state.unplaced())
        helps = cores < self.cores and not lacking  # smaller shares bring no GPU
        if gone and helps and now - self.moved_at >= STUCK_S:
            wanted = "; ".join(in_words(bundle) for bundle in state.unplaced())
            self.changed = (
                f"workers held what is left of the cluster, and no node has room for {wanted} any "
                f"more ({self.watch.waits.died()}); the phase goes on with smaller shares"
            )
        elif now - self.small_at >= STUCK_S:
            self.changed = (
                f"the cluster has {cores:g} cores now, and had {self.cores:g} when the "
                "phase started; the phase goes on with all of them"
            )
        if self.changed:
            raise ClusterChanged(self.changed)
        return moved
