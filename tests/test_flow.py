"""Shards on their way through operators on Ray: what is lost is done again, and pools of actors have
as many as there is work and room for.
"""

import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest

from pairmill.cluster.flow import Flow, fitting
from pairmill.cluster.operators import CallReport
from pairmill.cluster.own_ray import read_variables_again
from pairmill.cluster.phase_guard import PhaseGuard
from pairmill.cluster.session import RaySession
from pairmill.cluster.stations import Calls, Passage, Pool, Station, Tasks
from pairmill.cluster.waiting import ClusterState, ClusterWatch, LiveNode, cluster_state
from pairmill.errors import RunError
from tests.clusters import Cluster, wait_for

Kind = TypeVar("Kind", bound=Tasks)
pytestmark = pytest.mark.ray
SHARDS = 6
LARGE = 200_000
"""Bytes that Ray keeps in its store, and not with the driver."""


@dataclass(frozen=True)
class Adding:
    """An operator that appends its name to a block, which is a list; `dies`: a file without which
    the process dies at shard 1.
    """

    name: str
    last: bool = False
    dies: Path | None = None
    pause_s: float = 0.0
    job: None = None
    indices: tuple[int, ...] = ()

    def pass_on(self, shard: int, block: Any, loaded: Any = ()) -> tuple[Any, CallReport]:
        time.sleep(self.pause_s)
        if self.dies is not None and shard == 1 and not self.dies.exists():
            self.dies.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        names = [*(block[0] if block else ()), self.name]
        if self.last:
            return None, CallReport((names, os.getpid()))
        return (names, np.zeros(LARGE, np.uint8)), CallReport(None, LARGE)


class AddingActor:
    """The same by an actor."""

    def __init__(self, operator: Adding) -> None:
        if operator.name == "broken":
            raise RunError("it cannot be built")
        self.operator = operator

    def where(self) -> str:
        return "a node"

    def end(self) -> None:
        """Nothing was loaded."""

    def pass_on(self, shard: int, block: Any) -> tuple[Any, CallReport]:
        return self.operator.pass_on(shard, block)


class Killing(Tasks):
    """Tasks that kill the node on which the first block lies."""

    kill: Callable[[], None] | None = None

    def begin(self, passage: Passage) -> Calls:
        kill, self.kill = self.kill, None
        if kill is not None:
            kill()
        return super().begin(passage)


class Looking(PhaseGuard):
    """Looks at the cluster whenever the flow does."""

    def observe(self, seen: object, now: float) -> bool:
        self.watch.once(now)
        return super().observe(seen, now)


def flow_of(session: RaySession, stations: Sequence[Station]) -> Flow:
    ray = session.ensure()
    head = ray.get_runtime_context().gcs_address
    watch = ClusterWatch(partial(cluster_state, head), print)
    guard = Looking(watch, (), ray.cluster_resources()["CPU"], range(SHARDS))
    return Flow(session, stations, guard, 1e9, LARGE)


def tasks(
    ray: Any, operator: Adding, kind: type[Kind] = Tasks, most: int = 2, **options: Any
) -> Kind:
    key = (f"{operator.name}{time.monotonic()}", 0)
    return kind(ray, key, operator, most, {"num_cpus": 0.25, **options})  # type: ignore[arg-type]


def pool(ray: Any, operator: Adding, cpus: float = 0.25, most: int = 1) -> Pool:
    return Pool(ray, AddingActor, {"operator": operator}, (1, most), 1, {"num_cpus": cpus})


@pytest.mark.parametrize("lost", ["task", "actor", "nothing"])
def test_shard_goes_again_whatever_of_it_is_lost(
    shared_ray: RaySession, tmp_path: Path, lost: str
) -> None:
    ray = shared_ray.ensure()
    mark = tmp_path / "died"
    first = tasks(ray, Adding("one", dies=mark if lost == "task" else None))
    second = pool(ray, Adding("two", dies=mark if lost == "actor" else None))
    third = tasks(ray, Adding("three", last=True))
    found = list(flow_of(shared_ray, [first, second, third]).through(range(SHARDS)))
    assert sorted(shard for shard, _ in found) == [*range(SHARDS)]
    assert all(names == ["one", "two", "three"] for _, (names, _) in found)
    assert mark.exists() == (lost in ("task", "actor"))
    assert len(second) == 0


def test_actor_that_cannot_be_built_stops_the_phase_and_says_why(shared_ray: RaySession) -> None:
    stations = [pool(shared_ray.ensure(), Adding("broken", last=True))]
    with pytest.raises(RunError, match="it cannot be built") as told:
        list(flow_of(shared_ray, stations).through(range(SHARDS)))
    assert str(told.value) == "it cannot be built"


def test_pools_that_find_no_place_beside_one_another_take_turns(shared_ray: RaySession) -> None:
    """Each worker wants most of the cluster: the second operator's can start only when the first
    one's is given back.
    """
    ray = shared_ray.ensure()
    cores = 0.75 * ray.cluster_resources()["CPU"]
    stations = [pool(ray, Adding(n, n == "two"), cores) for n in ("one", "two")]
    flow = flow_of(shared_ray, stations)
    flow.patience_s = 2.0
    found = [names for _, (names, _) in flow.through(range(SHARDS))]
    assert found == [["one", "two"]] * SHARDS


def test_pool_grows_while_shards_wait_and_ends_when_none_will_come(shared_ray: RaySession) -> None:
    ray = shared_ray.ensure()
    wide = pool(ray, Adding("one", pause_s=0.5), most=2)
    narrow = pool(ray, Adding("two", last=True), most=2)
    flow, sizes, left = flow_of(shared_ray, [wide, narrow]), [], 40
    for _ in flow.through(range(left)):
        left -= 1
        sizes.append(len(wide))
    assert max(sizes) == 2
    assert (left, len(wide), len(narrow)) == (0, 0, 0)


def test_workers_are_started_where_nodes_have_room_beside_tasks() -> None:
    nodes = [
        LiveNode("a", {}, {"CPU": 3.0, "GPU": 1.0, "memory": 8e9}),
        LiveNode("b", {}, {"CPU": 2.0, "memory": 1e9}),
    ]
    state = ClusterState({node.address: node for node in nodes})
    asks = {"CPU": 1.0, "memory": 1e9}
    assert fitting(state, asks, 9, spare=0.0) == 4
    assert fitting(state, asks, 9, spare=1.5) == 3
    assert fitting(state, asks, 2, spare=0.0) == 2
    assert fitting(state, {"CPU": 0.5, "GPU": 0.5}, 9, spare=0.0) == 2
    assert fitting(state, {"CPU": 4.0}, 9, spare=0.0) == 0


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_shard_begins_anew_where_its_block_was_on_a_node_that_died(
    shared_ray: RaySession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared_ray.ensure()
    shared_ray.close()
    cluster = Cluster(tmp_path, dashboard=False)
    session = RaySession([str(Path(__file__).parent.parent)])
    for name, value in {**cluster.env, "RAY_ADDRESS": cluster.gcs}.items():
        monkeypatch.setenv(name, value)
    read_variables_again()
    try:
        node = cluster.join()
        ray = session.ensure()
        own = ray.get_runtime_context().get_node_id()
        assert wait_for(lambda: len(ray.nodes()) == 2)
        (other,) = {n["NodeID"] for n in ray.nodes()} - {own}
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        there = NodeAffinitySchedulingStrategy(other, soft=True)
        first = tasks(ray, Adding("one"), most=1, scheduling_strategy=there)
        second = tasks(ray, Adding("two", last=True), Killing)
        second.kill = lambda: cluster.kill(node)
        found = list(flow_of(session, [first, second]).through(range(SHARDS)))
    finally:
        session.close()
        cluster.close()
        monkeypatch.undo()
        read_variables_again()
    assert sorted(shard for shard, _ in found) == [*range(SHARDS)]
