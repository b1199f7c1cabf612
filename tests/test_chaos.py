"""Seeded schedules of failures on a cluster of two nodes: every run ends with the package of an
undisturbed one.

Two that cover every kind of event but a killed driver, which tests/test_kills.py has; CI runs
thirteen more with `tools/soak.py`, which makes the figures of docs/reliability.md.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from tests.chaos import Chaos
from tests.clusters import Cluster

pytestmark = [pytest.mark.ray, pytest.mark.timeout(900), pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def chaos(
    tmp_path_factory: pytest.TempPathFactory, pictures: list[tuple[bytes, str]]
) -> Iterator[Chaos]:
    folder = tmp_path_factory.mktemp("chaos")
    yield from prepared(folder, pictures)


def prepared(folder: Path, pictures: list[tuple[bytes, str]]) -> Iterator[Chaos]:
    chosen = [pictures[i % 36] for i in range(40)]
    pl.DataFrame({"image": [c[0] for c in chosen], "text": [c[1] for c in chosen]}).write_parquet(
        folder / "pairs.parquet"
    )
    cluster = Cluster(folder, head_cpus=2, dashboard=False)
    cluster.join(cpus=2)
    chaos = Chaos(folder, cluster)
    try:
        chaos.prepare()
        yield chaos
    finally:
        cluster.close()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize("seed", [35, 40])
def test_run_under_failures_ends_with_the_package_of_an_undisturbed_run(
    chaos: Chaos, seed: int
) -> None:
    trial = chaos.trial(seed)
    assert trial.struck
    assert trial.faults == [], (
        f"seed {seed}, {', '.join(map(str, trial.events))}, messages {trial.messages}"
    )
