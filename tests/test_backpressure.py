"""Large shards before a slow stage: what is in flight stays bounded, whatever the object store
holds.
"""

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from pairmill.api import Pipeline
from pairmill.cluster.session import RaySession
from tests.conftest import jpeg

pytestmark = [pytest.mark.ray, pytest.mark.timeout(900), pytest.mark.filterwarnings("ignore")]
SHARDS, ROWS, IMAGE = 12, 10, 2_000_000
STORE = 140_000_000
WAITING = 80_000_000
FILE = """
name: slow
source: {type: parquet, path: pairs.parquet, rows_per_shard: 10}
stages:
  - stage: tests.stages_for_tests:SlowReaderStage
    name: quick
    log: LOG
    resources: {replicas: 1}
  - stage: tests.stages_for_tests:SlowReaderStage
    name: slow
    variant: 1
    log: LOG
    pause_s: 0.5
    resources: {replicas: 1}
"""


def test_shards_wait_in_the_store_and_not_in_memory(
    tmp_path: Path, write: Callable[[str], Path], shared_ray: RaySession
) -> None:
    """240 MB of images, an object store of 140 MB, a stage that takes half a second for each shard
    of some 20 MB; at most 80 MB wait for it.
    """
    import ray
    from ray._private.internal_api import memory_summary

    rng = np.random.default_rng(0)
    small = jpeg(Image.new("RGB", (64, 64)))  # decoders stop at its end
    images = [small + rng.bytes(IMAGE) for _ in range(ROWS)]
    frame = pl.DataFrame(
        {"image": images * SHARDS, "text": [f"text {i}" for i in range(ROWS * SHARDS)]}
    )
    frame.write_parquet(tmp_path / "pairs.parquet", compression="uncompressed", row_group_size=ROWS)
    log = tmp_path / "log"
    shared_ray.ensure()
    shared_ray.close()  # the next one in this process is as if it were the first
    ray.init(
        num_cpus=2,
        object_store_memory=STORE,
        include_dashboard=False,
        log_to_driver=False,
        configure_logging=False,
        _system_config={"idle_worker_killing_time_threshold_ms": 30_000},
    )
    most, done = [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.25):
            events = (
                [line.split()[0] for line in log.read_text().splitlines()] if log.exists() else []
            )
            most[0] = max(most[0], events.count("quick") - events.count("slow"))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        result = Pipeline.from_yaml(write(FILE.replace("LOG", str(log)))).run(
            progress=False, ray=True, write_report=False
        )
        spilled = [
            line
            for line in memory_summary(
                ray.get_runtime_context().gcs_address, stats_only=True
            ).splitlines()
            if "Spilled" in line
        ]
    finally:
        done.set()
        watcher.join()
        ray.shutdown()
    assert result.funnel.kept == SHARDS * ROWS
    shards = len([*tmp_path.glob("workspace/shards/*.parquet")])
    assert shards > 4
    assert spilled == []
    waiting = most[0] * ROWS * SHARDS * IMAGE / shards
    assert waiting <= WAITING
