"""Stages that answer one row at a time: limits over shards, order, failures, deadlines, commits."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from pairmill.api import Pipeline
from pairmill.errors import StageFailed, StageHung
from pairmill.places import Places
from pairmill.stage import AsyncStage, ContractError, check_stage
from pairmill.work.attempt import Attempt
from pairmill.work.claims import Past, RowRange, WorkPlace
from pairmill.work.deadline import ThreadWatchdog
from pairmill.work.line import Line
from tests.ray_world import shared
from tests.stages_for_tests import AskedStage
from tests.workspaces import stored_values

FILE = """
name: asked
source: {type: parquet, path: numbers.parquet, rows_per_shard: 20}
stages:
  - stage: tests.stages_for_tests:AskedStage
    batch_size: 30
    max_failures: 0.9
"""
Write = Callable[[str], Path]


def stored(folder: Path) -> pl.DataFrame:
    """What is stored of the stage, with the row numbers of the source."""
    return stored_values(Pipeline.from_yaml(folder / "pipeline.yaml").checked)


def failures(rows: pl.DataFrame) -> dict[int, str]:
    failed = rows.filter(pl.col("error").is_not_null())
    return {r["at"]: r["error"]["class"] for r in failed.iter_rows(named=True)}


def run(file: Path) -> Pipeline:
    pipeline = Pipeline.from_yaml(file)
    pipeline.run(progress=False, local=True)
    return pipeline


def test_rows_are_under_way_over_several_shards_up_to_the_limit_and_stored_in_order(
    numbers: Path, write: Write
) -> None:
    AskedStage.most = 0
    run(write(FILE))
    rows = stored(numbers)
    assert rows["at"].to_list() == [*range(60)]
    assert rows["asked"].to_list() == [2 * i for i in range(60)]
    assert AskedStage.most == 30  # more than a shard has, and no more than batch_size


def test_each_kind_of_failure_costs_its_row_alone_and_what_is_known_of_it_stays(
    numbers: Path, write: Write
) -> None:
    run(write(FILE + "    raises: [7]\n    refused: [20, 33]\n    late: [41]\n    deadline_s: 3\n"))
    rows = stored(numbers)
    assert failures(rows) == {
        7: "ZeroDivisionError",
        20: "refused",
        33: "refused",
        41: "deadline",
    }
    assert rows.filter(pl.col("at") == 20)["asked_how"].to_list() == ["asked"]
    assert rows["asked"].null_count() == 4


def test_answers_are_committed_while_others_are_under_way(numbers: Path, write: Write) -> None:
    """The last row waits until the other rows of its shard are stored."""
    pattern = numbers / "workspace/columns/asked-*/*.parquet"
    run(write(FILE + f"    waits_for: '{pattern}'\n    deadline_s: 60\n"))
    assert stored(numbers)["asked"].to_list() == [2 * i for i in range(60)]


def test_stage_that_raises_on_all_its_first_rows_stops_the_run_with_file_and_line(
    numbers: Path, write: Write
) -> None:
    file = write(FILE.replace("0.9", "0.05") + f"    raises: {[*range(60)]}\n")
    with pytest.raises(StageFailed, match=r"row \d+ is bad \(.*stages_for_tests.py:\d+\)"):
        run(file)
    assert not [*numbers.glob("workspace/columns/asked-*/*.parquet")]


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        "late: [33]\n    on_deadline: stop",
        "late: [33]\n    gives_up: false",  # as where a thread computes, which nothing ends
        "blocks: [33]",
    ],
)
def test_run_stops_at_a_late_row_if_told_to_or_where_it_cannot_be_given_up(
    numbers: Path, write: Write, options: str
) -> None:
    with pytest.raises(StageHung, match="gave no answer within 0.5 s"):
        run(write(FILE + f"    {options}\n    deadline_s: 0.5\n"))


def test_where_a_process_died_rows_come_in_batches_which_are_halved(
    numbers: Path, write: Write
) -> None:
    """Two deaths of the batch of all rows, of its first half, and of row 1 by itself."""
    (stage,) = Pipeline.from_yaml(write(FILE + "    raises: [2]\n")).checked.stages
    deaths = {RowRange(0, 3, 4): 2, RowRange(0, 1, 2): 1, RowRange(1, 1, 1): 2}
    planned, place = replace(stage, identity="x"), WorkPlace("asked-x", 0)
    planned.stage.setup()
    attempt = Attempt(
        planned, planned.stage, place, Line(), ThreadWatchdog(), Past(attempts=5, deaths=deaths)
    )
    answer = attempt.compute(pa.table({"number": [0, 1, 2, 3]}), np.arange(4))
    planned.stage.close()
    assert [e and e["class"] for e in answer["error"].to_pylist()] == [
        None,
        "worker_died",
        "ZeroDivisionError",
        None,
    ]
    assert answer["asked"].to_pylist() == [0, None, None, 6]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("batch", "body"),
    [
        pytest.param(2, {"processes": 2}, id="processes"),
        # each death of a process of Ray costs seconds; tests/test_hanging.py halves batches there
        pytest.param(1, {"ray": True}, id="ray", marks=pytest.mark.ray),
    ],
)
def test_rows_that_kill_or_are_late_fail_and_the_others_are_computed(
    numbers: Path, write: Write, batch: int, body: dict[str, Any], request: pytest.FixtureRequest
) -> None:
    settings = "    crash: [3]\n    late: [41]\n    deadline_s: 3\n    pause_s: 0.01\n"
    file = write(FILE.replace("batch_size: 30", f"batch_size: {batch}") + settings)
    result = Pipeline.from_yaml(file).run(progress=False, **shared(body, request))
    assert failures(stored(numbers)) == {3: "worker_died", 41: "deadline"}
    assert result.funnel.kept == 58


class Blocking(AskedStage):
    def answer(self, row: dict[str, object]) -> dict[str, object]:  # type: ignore[override]
        return {}


def test_contract_of_stages_that_answer_row_by_row() -> None:
    rows = pa.table({"number": [1, 2, 3, 4]})
    assert check_stage(AskedStage, rows)["asked"].to_pylist() == [2, 4, 6, 8]
    with pytest.raises(ContractError, match="`answer` must be `async def`"):
        check_stage(Blocking, rows)
    assert issubclass(AskedStage, AsyncStage)


def test_places_go_to_the_lowest_turn_and_come_back_from_who_gives_up() -> None:
    import asyncio

    async def scene() -> list[str]:
        places, came = Places(1), []

        async def visit(turn: int, name: str) -> None:
            await places.enter(turn)
            came.append(name)
            await asyncio.sleep(0)
            places.leave()

        await places.enter(0)
        tasks = [asyncio.ensure_future(visit(*v)) for v in ((2, "c"), (1, "a"), (1, "b"))]
        await asyncio.sleep(0)
        tasks[1].cancel()
        places.leave()
        tasks[2].cancel()  # it was given the place just now
        await asyncio.gather(*tasks, return_exceptions=True)
        assert places.free == 1
        return came

    assert asyncio.run(scene()) == ["c"]
