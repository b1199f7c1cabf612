"""What waits on a cluster is told, in words that name the resource and the nodes that died; a phase
that stands still since then starts anew.
"""

import pytest

from pairmill.cluster.nodes import addable
from pairmill.cluster.phase_guard import STUCK_S, ClusterChanged, PhaseGuard
from pairmill.cluster.waiting import (
    AGAIN_S,
    PATIENCE_S,
    ClusterState,
    ClusterWatch,
    LiveNode,
    bundle_of,
)

BUSY = {"CPU": 0.67, "memory": 0}
HEAD = LiveNode("10.0.0.1", {"CPU": 2, "memory": 4e9}, BUSY)
GPU = LiveNode("10.0.0.2", {"CPU": 2, "GPU": 1, "memory": 4e9}, {"CPU": 2, "GPU": 1})
NEXT = LiveNode("10.0.0.3", {"CPU": 2, "memory": 4e9}, BUSY)


def state(*nodes: LiveNode, **wanted: float) -> ClusterState:
    """Nodes by their addresses, and one kind of work that waits."""
    demand = {bundle_of(wanted): 2} if wanted else {}
    return ClusterState({node.address: node for node in nodes}, demand)


class Told(ClusterWatch):
    """A watch whose looks are asked for, one by one; `said`: what people read."""

    def __init__(self, first: ClusterState) -> None:
        self.there, self.said, self.now = first, list[str](), 0.0
        super().__init__(lambda: self.there, self.said.append)
        self.once(self.now)

    def after(self, seconds: float, state: ClusterState, moves: int = 0) -> list[str]:
        """What is told by a look some seconds later."""
        self.there, self.now = state, self.now + seconds
        self.moves += moves
        before = len(self.said)
        self.once(self.now)
        return self.said[before:]


def test_gpu_that_no_living_node_has_is_named_with_the_node_that_died() -> None:
    """Within a minute, though other work goes on."""
    watch = Told(state(HEAD, GPU))
    assert watch.after(5, state(HEAD, GPU=1, CPU=0.5), moves=1) == []
    (line,) = watch.after(PATIENCE_S, state(HEAD, GPU=1, CPU=0.5), moves=1)
    assert PATIENCE_S + 5 < 60
    assert line.startswith(
        "waiting for 0.5 CPU, 1 GPU, 2 times: the one living node does not have that; "
        "node 10.0.0.2 (2 CPU, 1 GPU, 4.0 GB of memory) died."
    )
    assert watch.after(60, state(HEAD, GPU=1, CPU=0.5)) == []  # not with every look
    assert len(watch.after(AGAIN_S, state(HEAD, GPU=1, CPU=0.5))) == 1
    assert watch.after(5, state(HEAD, GPU)) == [
        "there is room again for what asked for 0.5 CPU, 1 GPU"
    ]


def test_work_that_waits_its_turn_is_no_news_until_nothing_gets_on() -> None:
    watch = Told(state(HEAD, CPU=1))
    for _ in range(10):
        assert watch.after(PATIENCE_S, state(HEAD, CPU=1), moves=1) == []
    assert watch.after(PATIENCE_S / 2, state(HEAD, CPU=1)) == []
    (line,) = watch.after(PATIENCE_S, state(HEAD, CPU=1))
    assert "waiting for 1 CPU, 2 times: other work holds what the one living node has" in line
    assert "died" not in line


def test_work_that_finds_a_place_is_not_waited_for() -> None:
    watch = Told(state(HEAD, CPU=0.5))
    assert watch.after(10 * PATIENCE_S, state(HEAD, CPU=0.5)) == []


def looks(guard: PhaseGuard, watch: Told, seconds: float, seen: object) -> None:
    """Looks each second, as Ray Data's steps do."""
    start = guard.moved_at
    for second in range(int(seconds)):
        guard.observe(seen, start + second)


def test_phase_that_stands_still_since_a_node_died_starts_anew() -> None:
    watch = Told(state(HEAD, GPU))
    guard = PhaseGuard(watch, watch.state.nodes, 4, range(9))
    watch.after(5, state(HEAD, CPU=1))
    looks(guard, watch, STUCK_S - 2, "nothing done")
    guard.observe("something done", guard.moved_at + STUCK_S)
    assert guard.changed == ""
    with pytest.raises(ClusterChanged, match=r"no node has room for 1 CPU .*10\.0\.0\.2"):
        looks(guard, watch, STUCK_S + 2, "something done")
    assert guard.changed


@pytest.mark.parametrize(
    ("now", "why"),
    [
        (state(HEAD, GPU, CPU=3), "no node is gone"),
        (state(HEAD, CPU=0.5), "there is room"),
        (state(HEAD), "nothing waits"),
        (state(HEAD, CPU=1, GPU=1), "no share of a GPU is left"),
        (state(HEAD, NEXT, CPU=1), "another node took its place"),
    ],
)
def test_phase_goes_on_where_starting_anew_would_not_help(now: ClusterState, why: str) -> None:
    watch = Told(state(HEAD, GPU))
    guard = PhaseGuard(watch, watch.state.nodes, 4, range(9))
    watch.after(5, now)
    looks(guard, watch, 5 * STUCK_S, "nothing done")
    assert guard.changed == "", why


def test_phase_on_a_cluster_that_has_grown_starts_anew_once_that_pays() -> None:
    watch = Told(state(HEAD))
    left = [*range(9)]
    guard = PhaseGuard(watch, watch.state.nodes, 2, left)
    watch.after(5, state(HEAD, GPU))
    few = PhaseGuard(watch, ["10.0.0.1"], 2, range(3))
    looks(few, watch, 3 * STUCK_S, "nothing done")
    with pytest.raises(ClusterChanged, match="has 4 cores now, and had 2"):
        looks(guard, watch, STUCK_S + 2, "nothing done")


def test_autoscaler_may_add_nodes_of_each_kind_up_to_its_bound() -> None:
    small, large = {"CPU": 4.0}, {"CPU": 32.0, "GPU": 8.0}
    kinds = [(small, 3), (large, 2)]
    assert addable(kinds, [small, small]) == [small, large, large]
    assert addable(kinds, [small] * 5 + [large] * 2) == []
    assert addable([], [small]) == []
