"""A small web and a pipeline over it, for runs on Ray."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pairmill.cluster.session import RaySession
from pairmill.demo.tables import write_world
from pairmill.demo.world import World

Write = Callable[[str], Path]
FILE = """
name: killed
seed: 1
source:
  type: pairs
  path: pairs.parquet
  rows_per_shard: 32
  columns: {doc_id: page_url}
stages:
  - stage: download
    timeout: 60
    retries: 1
    backoff_s: 0.05
    resolve: RESOLVE
  - stage: text_rules
    keep: text_words > 2
  - stage: dedup
    "on": [sha256]
    keep: dup_of IS NULL
  - {stage: sentences}
  - each: sentences
    stages:
      - {stage: text_rules, name: part, text: sentences, keep: part_words > 1}
    collect: [part_words]
  - stage: tests.stages_for_tests:PickyStage
    name: slow
    batch_size: 4
    pause_s: ${PAUSE_S:-0}
    log: LOG
outputs:
  - {type: webdataset, path: out, samples_per_shard: 50}
  - {type: table, path: parts, rows: sentences, samples_per_shard: 50}
"""


ON_ONE_RAY = tuple(
    f"tests/test_{name}"
    for name in (
        "ray.py", "dedup_ray.py", "kills.py::test_killed_worker_of_ray",
        "hanging.py::test_rows_that_kill_or_hang_fail_and_the_others_are_computed[tasks of Ray]",
        "hanging.py::test_rows_that_kill_or_hang_fail_and_the_others_are_computed[actors of Ray]",
        "hanging.py::test_run_that_is_told_to_stop_names_the_batch_that_hangs[ray]",
        "hanging.py::test_stage_over_all_rows_that_hangs_or_dies_on_ray",
        "async_stages.py::test_rows_that_kill_or_are_late_fail_and_the_others_are_computed[ray]",
        "careless_stages.py::test_the_same_in_actors_of_ray",
        "preflight.py::test_plan_says_which_gpus_a_named_cluster_lacks",
        "serve.py::test_server_of_a_ray_worker", "flow.py", "backpressure.py",
    )
)  # fmt: skip
"""Tests on the Ray that they share, in their order: a test that is none of these ends it, and to
start it takes a core six seconds.  Those that end it themselves come last.
"""


def turn_on_ray(nodeid: str) -> int:
    """Its place among those; -1 where it has none."""
    return next((i for i, name in enumerate(ON_ONE_RAY) if nodeid.startswith(name)), -1)


SHARED: list[RaySession] = []
"""The Ray of this process, once a test wanted it."""


@pytest.fixture(autouse=True)
def without_rays_of_others(request: pytest.FixtureRequest) -> None:
    """A run takes a Ray that is there; a test that is none of Ray's must not find another's."""
    ray = sys.modules.get("ray")
    if ray is None or request.node.get_closest_marker("ray") or not ray.is_initialized():
        return
    for session in SHARED:
        session.close()
    if ray.is_initialized():
        ray.shutdown()


@pytest.fixture(scope="session")
def shared_ray() -> Iterator[RaySession]:
    """Ray in this process, which the first test that wants it starts."""
    import ray

    session = RaySession([str(Path(__file__).parent.parent)])
    SHARED.append(session)
    yield session
    SHARED.clear()
    session.close()
    assert not ray.is_initialized()


@pytest.fixture
def ray_session(shared_ray: RaySession, request: pytest.FixtureRequest) -> None:
    """Ray runs."""
    assert turn_on_ray(request.node.nodeid) >= 0, "a test that shares a Ray stands in ON_ONE_RAY"
    shared_ray.ensure()


def shared(body: dict[str, Any], request: pytest.FixtureRequest) -> dict[str, Any]:
    """The options of a run's body; where it is Ray, on the one that tests share."""
    if body.get("ray"):
        request.getfixturevalue("ray_session")
    return body


@pytest.fixture
def world(tmp_path: Path, web: dict[str, str], write: Write) -> Path:
    """192 rows of the demo's world without those whose server keeps a client waiting: a busy
    machine must not make others late, too.
    """
    sound_world(tmp_path, 192)
    return write(FILE.replace("RESOLVE", json.dumps(web)).replace("LOG", str(tmp_path / "log")))


def sound_world(folder: Path, rows: int) -> int:
    """Writes pairs.parquet of a world without the rows that keep a client waiting; gives their
    number.
    """
    pairs, truth = write_world(World(rows, 0), folder)
    waiting = pl.read_parquet(truth).filter(pl.col("fault").is_in(["slow", "stalled"]))
    left = pl.read_parquet(pairs).join(waiting, on="url", how="anti")
    left.write_parquet(pairs)
    return left.height


def files(folder: Path) -> dict[str, bytes]:
    """The files of both packages."""
    every = [p for name in ("out", "parts") for p in sorted((folder / name).iterdir())]
    return {str(p.relative_to(folder)): p.read_bytes() for p in every if p.is_file()}
