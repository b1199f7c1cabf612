"""Stages that end or answer as no stage should: the run goes on, or says which stage, what, where."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pairmill.api import Pipeline
from pairmill.errors import RunError
from pairmill.run_result import RunResult

MODULE = "tests.careless_stages"


ROOT = Path(__file__).parent.parent


def run(folder: Path, stage: str, processes: int = 0, **keys: str) -> RunResult:
    write(folder, stage, keys)
    return Pipeline.from_yaml(folder / "p.yaml").run(
        local=True, processes=processes, progress=False
    )


def write(folder: Path, stage: str, keys: dict[str, str]) -> None:
    """A pipeline of one stage over 40 texts."""
    texts = [f"t{i}" for i in range(40)]
    pq.write_table(
        pa.table({"uid": [f"u{i}" for i in range(40)], "text": texts}), folder / "in.parquet"
    )
    given = "".join(f", {key}: {value}" for key, value in keys.items() if value)
    (folder / "p.yaml").write_text(
        "name: careless\nsource: {type: pairs, path: in.parquet}\nworkspace: ws\n"
        f"report: none\nstages: [{{stage: '{MODULE}:{stage}', name: it{given}}}]\n"
    )


@pytest.mark.parametrize(
    ("how", "kind"),
    [
        ("exit", "SystemExit"),
        ("interrupt", "KeyboardInterrupt"),
        ("cancel", "CancelledError"),
        ("base", "BaseException"),
        ("mute", "MuteError"),
        ("nameless", "error"),
    ],
)
@pytest.mark.parametrize("stage", ["MapStage", "RowStage"])
def test_a_row_that_ends_its_thread_fails_alone(
    tmp_path: Path, stage: str, how: str, kind: str
) -> None:
    found = run(tmp_path, stage, how=how, only="t7")
    assert found.funnel.kept == 39
    assert found.funnel.steps[1].failures == {kind: 1}


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["MapStage", "RowStage", "WholeStage"])
@pytest.mark.parametrize("where", ["setup", "call"])
def test_a_stage_that_exits_in_a_worker_process_stops_the_run_with_file_and_line(
    tmp_path: Path, stage: str, where: str
) -> None:
    with pytest.raises(RunError, match=r"'it' .*SystemExit: 3 \(.*careless_stages.py:\d+\)"):
        run(tmp_path, stage, processes=1, how="exit", where=where)


@pytest.mark.parametrize("stage", ["MapStage", "RowStage", "WholeStage"])
@pytest.mark.parametrize("how", ["wrong", "exit", "cancel", "base", "mute"])
def test_what_is_raised_while_a_stage_is_closed_is_told_and_takes_nothing_away(
    tmp_path: Path, stage: str, how: str
) -> None:
    closed(run(tmp_path, stage, how=how, where="close"), how)


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["MapStage", "RowStage"])
@pytest.mark.parametrize("how", ["wrong", "exit"])
def test_the_same_in_a_worker_process(tmp_path: Path, stage: str, how: str) -> None:
    closed(run(tmp_path, stage, processes=1, how=how, where="close"), how)


@pytest.mark.ray
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("stage", ["MapStage", "RowStage"])
@pytest.mark.parametrize("how", ["wrong", "exit"])
def test_the_same_in_actors_of_ray(ray_session: None, tmp_path: Path, stage: str, how: str) -> None:
    write(tmp_path, stage, {"how": how, "where": "close", "resources": "{replicas: 1}"})
    pipeline = Pipeline.from_yaml(tmp_path / "p.yaml")
    closed(pipeline.run(local=False, progress=False), how)


def closed(result: RunResult, how: str) -> None:
    """All rows are kept, and the run's log says which stage could not be closed, and where."""
    assert result.funnel.kept == 40
    lines = (Path(result.folder) / "log.jsonl").read_text().splitlines()
    told = [line for line in lines if "stage 'it' could not be closed (" in line]
    assert len(told) == 1
    if not (how == "cancel" and "concurrent" in told[0]):  # a cancelled task forgets its place
        assert re.search(r"careless_stages\.py:\d+", told[0])
    assert {"wrong": "ValueError: no good", "exit": "SystemExit: 3"}.get(how, "") in told[0]


@pytest.mark.parametrize("stage", ["MapStage", "WholeStage", "RowStage"])
def test_setup_that_raises_names_stage_file_and_line(tmp_path: Path, stage: str) -> None:
    said = r"stage 'it' cannot be loaded: ValueError: no good \(.*careless_stages.py:\d+\)"
    with pytest.raises(RunError, match=said):
        run(tmp_path, stage, how="wrong", where="setup")


@pytest.mark.parametrize("how", ["wrong", "exit", "mute", "nameless"])
def test_a_stage_over_all_rows_that_raises_is_named(tmp_path: Path, how: str) -> None:
    said = r"stage 'it' failed on the 40 rows that it looked at: \w+: .*careless_stages.py:\d+"
    with pytest.raises(RunError, match=said):
        run(tmp_path, "WholeStage", how=how)


@pytest.mark.parametrize(
    ("stage", "how", "said"),
    [
        ("MapStage", "lists", "column 'it' is list<item: int64>, declared int64"),
        ("WholeStage", "lists", "column 'it' is list<item: int64>, declared int64"),
        ("MapStage", "twice", r"gives it 2 times \(gives: it, it\)"),
        ("MapStage", "text error", "column 'error' is string, declared struct"),
        ("RowStage", "text error", "the error 'bad'; it must be a pair of texts"),
    ],
)
def test_an_answer_of_another_kind_is_told_as_such(
    tmp_path: Path, stage: str, how: str, said: str
) -> None:
    with pytest.raises(RunError, match=said):
        run(tmp_path, stage, how=how)


def test_a_failure_without_a_class_has_one_to_ask_for(tmp_path: Path) -> None:
    found = run(tmp_path, "MapStage", how="no class")
    assert found.funnel.steps[1].failures == {"error": 1}


@pytest.mark.slow
@pytest.mark.parametrize("processes", [0, 1])
def test_a_child_that_a_stage_forks_does_not_come_back_to_the_run(
    tmp_path: Path, processes: int
) -> None:
    """In a program of its own, whose end waits for everybody who has its output: runs with each
    kind of stage that forks at each of its moments, one after the other.
    """
    cases = [
        (stage, where, how)
        for stage in ("MapStage", "RowStage", "WholeStage")
        for where in ("call", "setup", "close")
        for how in ("fork", "fork and leave")
    ]
    for number, (stage, where, how) in enumerate(cases):
        (tmp_path / str(number)).mkdir()
        only = "t7" * (where == "call")
        write(tmp_path / str(number), stage, {"how": how, "where": where, "only": only})
    code = (
        "from pairmill.api import Pipeline\n"
        f"for number in range({len(cases)}):\n"
        f"    Pipeline.from_yaml(f'{{number}}/p.yaml').run(local=True, processes={processes}, "
        "progress=False)\n"
        "    print(number, 'has ended', flush=True)"
    )
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": os.pathsep.join(["", *sys.path, str(ROOT)])},
        capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    told = [f"{number} has ended" for number in range(len(cases))]
    assert (ended.returncode, ended.stdout.splitlines()) == (0, told), ended.stderr
    for number, case in enumerate(cases):
        (ledger,) = tmp_path.glob(f"{number}/ws/runs/*/ledger/*.parquet")
        assert pq.read_table(ledger)["fate"].to_pylist() == ["kept"] * 40, case
