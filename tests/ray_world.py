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
    """Ray in this process, which the first test that wants it starts: that takes a core some twenty
    seconds, so files share it, too.
    """
    import ray

    session = RaySession([str(Path(__file__).parent.parent)])
    SHARED.append(session)
    yield session
    SHARED.clear()
    session.close()
    assert not ray.is_initialized()


@pytest.fixture
def ray_session(shared_ray: RaySession) -> None:
    """Ray runs."""
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
