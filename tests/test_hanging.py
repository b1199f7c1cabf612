"""Stages that hang or take their process down: the row is found, the run goes on or stops and names
it.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from pairmill.api import Pipeline
from pairmill.cluster.partitions import run_global
from pairmill.cluster.session import RaySession
from pairmill.errors import StageBroken, StageFailed, StageHung
from pairmill.fates.survey import Survey
from pairmill.plan.chain import PlannedStage
from pairmill.plan.identity import identified
from pairmill.work.attempt import Attempt
from pairmill.work.block import Job
from pairmill.work.claims import SETUP, Claims, Past, RowRange, WorkPlace
from pairmill.work.deadline import ThreadWatchdog
from pairmill.work.line import Line
from pairmill.work.local import LocalEngine
from pairmill.work.worker import StageWorker
from pairmill.workspace.contents import open_workspace
from pairmill.workspace.ingest import build_table
from pairmill.workspace.shards import ShardFacts
from pairmill.workspace.tables import Table
from tests.ray_world import shared
from tests.workspaces import stored_values

FILE = """
name: deadly
source: {type: parquet, path: numbers.parquet, rows_per_shard: 20}
stages:
  - stage: tests.stages_for_tests:DeadlyStage
    batch_size: 4
    max_failures: 1
"""

Write = Callable[[str], Path]
ONE_SHARD = Table.of("t", [ShardFacts(1, 1, 20, 0, {"uid": 1, "number": 1})], 0, ())


def fates(folder: Path) -> dict[int, str]:
    """The failure's class by row number of the source."""
    frame = stored_values(Pipeline.from_yaml(folder / "pipeline.yaml").checked)
    failed = frame.filter(pl.col("error").is_not_null())
    assert frame.height == 60
    return {r["at"]: r["error"]["class"] for r in failed.iter_rows(named=True)}


BODIES = [
    pytest.param({"processes": 2}, id="processes"),
    pytest.param({"ray": True}, id="ray", marks=pytest.mark.ray),
]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("workers", "batch", "deadline_s", "body"),
    [
        pytest.param("tasks", 4, 2, {"processes": 2}, id="processes"),
        # each half takes a process of Ray with it, which costs seconds: only actors halve
        pytest.param("tasks", 1, 3, {"ray": True}, id="tasks of Ray", marks=pytest.mark.ray),
        pytest.param("actors", 2, 3, {"ray": True}, id="actors of Ray", marks=pytest.mark.ray),
    ],
)
def test_rows_that_kill_or_hang_fail_and_the_others_are_computed(
    numbers: Path,
    write: Write,
    workers: str,
    batch: int,
    deadline_s: int,
    body: dict[str, Any],
    request: pytest.FixtureRequest,
) -> None:
    file = write(
        FILE.replace("batch_size: 4", f"batch_size: {batch}")
        + f"    crash: [3]\n    hang: [41]\n    deadline_s: {deadline_s}\n"
        + ("    resources: {replicas: 2}\n" if workers == "actors" else "")
    )
    result = Pipeline.from_yaml(file).run(progress=False, **shared(body, request))
    assert fates(numbers) == {3: "worker_died", 41: "deadline"}
    assert result.funnel.kept == 58


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("body", BODIES)
def test_run_that_is_told_to_stop_names_the_batch_that_hangs(
    numbers: Path, write: Write, body: dict[str, Any], request: pytest.FixtureRequest
) -> None:
    options = shared(body, request)
    file = write(FILE + "    hang: [45]\n    deadline_s: 3\n    on_deadline: stop\n")
    with pytest.raises(
        StageHung,
        match=r"stage 'deadly' .* within 3 s .* a batch of 4 rows, \d+ to \d+, of shard 2",
    ):
        Pipeline.from_yaml(file).run(progress=False, **options)


GLOBAL = """
name: deadly
source: {type: parquet, path: numbers.parquet, rows_per_shard: 20}
stages:
  - stage: tests.stages_for_tests:DeadlyGlobalStage
"""


def test_stage_over_all_rows_looks_at_those_that_when_names(numbers: Path, write: Write) -> None:
    Pipeline.from_yaml(write(GLOBAL + "    when: text = 'text 3' OR number >= 50\n")).run(
        progress=False, local=True
    )
    stored = pl.concat(
        [pl.read_parquet(f) for f in numbers.glob("workspace/columns/deadly_global-*/*.parquet")]
    )
    assert stored["all_rows"].to_list() == [11] * 11


@pytest.mark.slow
def test_stage_over_all_rows_that_hangs_stops_a_run_without_ray(
    numbers: Path, write: Write
) -> None:
    with pytest.raises(
        StageHung, match=r"stage 'deadly_global' gave no answer within 2 s .* for 60 rows"
    ):
        Pipeline.from_yaml(write(GLOBAL + "    hang: [7]\n    deadline_s: 2\n")).run(
            progress=False, local=True
        )
    with pytest.raises(
        StageHung, match=r"stage 'deadly_global' was not loaded within 1 s \(setup_deadline_s\)"
    ):
        Pipeline.from_yaml(write(GLOBAL + "    setup_s: 60\n    setup_deadline_s: 1\n")).run(
            progress=False, local=True
        )


@pytest.mark.filterwarnings("ignore")
def test_stage_over_all_rows_that_hangs_or_dies_on_ray_stops_the_run(
    shared_ray: RaySession, numbers: Path, write: Write
) -> None:
    """Ray alone would give the partition to worker after worker for ever."""
    cases = (
        (
            "    hang: [7]\n    deadline_s: 2\n",
            StageHung,
            r"gave no answer within 2 s .* for \d+ rows",
        ),
        ("    crash: [7]\n", StageBroken, "ended 3 times; is there enough memory"),
    )
    for number, (options, error, message) in enumerate(cases):
        pipeline = Pipeline.from_yaml(write(GLOBAL + options)).checked
        storage = open_workspace(pipeline.config.workspace)
        table = build_table(storage, pipeline.source, "0" * 16, pipeline.pool_schema)
        chain = pipeline.chain(table, None)
        _, rows = Survey(chain, LocalEngine(True).over).population()
        with pytest.raises(error, match=message):
            run_global(shared_ray, Job(identified(chain, {0: f"case{number}"}), 0, 1), rows, 2)


def test_stage_that_is_never_loaded_stops_the_run(numbers: Path, write: Write) -> None:
    file = write(FILE + "    setup_s: 60\n    setup_deadline_s: 1\n")
    with pytest.raises(
        StageHung, match=r"stage 'deadly' was not loaded within 1 s \(setup_deadline_s\)"
    ):
        Pipeline.from_yaml(file).run(progress=False, local=True)
    pipeline = Pipeline.from_yaml(file)
    hung = StageWorker(
        Job(pipeline.checked.chain(ONE_SHARD, None), 0, 1),
        0,
        Dying(Past(attempts=2, hung={SETUP})),
    )
    with pytest.raises(StageHung, match="was not loaded"):
        take(hung)


def test_stage_that_hangs_on_every_row_or_cannot_be_loaded_stops_the_run(
    numbers: Path, write: Write
) -> None:
    """Five rows found one by one, none answered: the stage's fault.  Two deaths while it is loaded:
    no row's fault.
    """
    pipeline = Pipeline.from_yaml(write(FILE.replace("    max_failures: 1\n", "")))
    (stage,) = pipeline.checked.stages
    stage = replace(stage, identity="x")
    line = Dying(Past(attempts=20, hung={RowRange(i, i, 1) for i in range(20)}))
    attempt = attempted(stage, stage.stage, line)
    for row in range(4):
        assert (
            attempt.compute(pa.table({"number": [row]}), np.array([row]))["error"][0].as_py()[
                "class"
            ]
            == "deadline"
        )
    with pytest.raises(StageFailed, match="failed on 5 of 5 rows .* deadline"):
        attempt.compute(pa.table({"number": [4]}), np.array([4]))
    chain = pipeline.checked.chain(ONE_SHARD, None)
    dead = StageWorker(Job(chain, 0, 1), 0, Dying(Past(attempts=3, deaths={SETUP: 2})))
    with pytest.raises(StageBroken, match="cannot be loaded: the worker's process ended 2 times"):
        take(dead)


def test_row_that_hangs_is_not_called_again_where_another_row_of_its_batch_raises(
    numbers: Path, write: Write
) -> None:
    """The batch raises, its second half hung in an earlier process: the halves of a raising batch
    know of it, too.
    """
    (stage,) = Pipeline.from_yaml(write(FILE + "    raises: [1]\n")).checked.stages
    called: list[list[int]] = []

    def watched(rows: pa.Table) -> pa.Table:
        called.append(rows["number"].to_pylist())
        return stage.stage(rows)

    line = Dying(Past(attempts=3, hung={RowRange(2, 3, 2), RowRange(2, 2, 1)}))
    attempt = attempted(replace(stage, identity="x"), watched, line)
    answer = attempt.compute(pa.table({"number": [0, 1, 2, 3]}), np.arange(4))
    assert [e and e["class"] for e in answer["error"].to_pylist()] == [
        None,
        "ZeroDivisionError",
        "deadline",
        None,
    ]
    assert called == [[0, 1, 2, 3], [0, 1], [0], [1], [3]]


class Dying(Line):
    """A line that tells of a past."""

    def __init__(self, past: Past) -> None:
        self.past = past

    def begin(self, place: WorkPlace) -> Past:
        return self.past


def take(worker: StageWorker) -> None:
    place = WorkPlace("deadly-x", 0)
    planned, watchdog = replace(worker.planned, identity="x"), ThreadWatchdog()
    worker.loaded.take(planned, place, worker.line, watchdog, worker.line.begin(place))


def attempted(stage: PlannedStage, call: Any, line: Line) -> Attempt:
    place = WorkPlace("deadly-x", 0)
    return Attempt(stage, call, place, line, ThreadWatchdog(), line.begin(place))


def test_one_death_is_nobodys_fault_and_two_are_halved() -> None:
    claims, place = Claims(), WorkPlace("s", 1)
    batch, half, row = RowRange(0, 7, 8), RowRange(0, 3, 4), RowRange(3, 3, 1)
    assert not claims.begin(place).guilty(batch)
    claims.claim(place, batch)
    assert not claims.begin(place).guilty(batch)
    claims.claim(place, batch)
    past = claims.begin(place)
    assert past.guilty(batch)
    assert not past.guilty(half, halved=True)
    claims.claim(place, half)
    assert claims.begin(place).guilty(half, halved=True)
    claims.claim(place, row)
    assert not claims.begin(place).guilty(row, halved=True)
    claims.claim(place, row)
    assert claims.begin(place).guilty(row, halved=True)
    claims.end(place)
    assert claims.begin(place).attempts == 1
