"""Stages that end or answer as no stage should: the run goes on, or says which stage, what, where."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pairmill.api import Pipeline
from pairmill.errors import RunError
from pairmill.run_result import RunResult

MODULE = "tests.careless_stages"


def run(folder: Path, stage: str, processes: int = 0, **keys: str) -> RunResult:
    texts = [f"t{i}" for i in range(40)]
    pq.write_table(
        pa.table({"uid": [f"u{i}" for i in range(40)], "text": texts}), folder / "in.parquet"
    )
    given = "".join(f", {key}: {value}" for key, value in keys.items())
    (folder / "p.yaml").write_text(
        "name: careless\nsource: {type: pairs, path: in.parquet}\nworkspace: ws\n"
        f"report: none\nstages: [{{stage: '{MODULE}:{stage}', name: it{given}}}]\n"
    )
    return Pipeline.from_yaml(folder / "p.yaml").run(
        local=True, processes=processes, progress=False
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


@pytest.mark.slow
def test_a_stage_that_exits_while_it_is_closed_takes_nothing_away(tmp_path: Path) -> None:
    assert run(tmp_path, "MapStage", processes=1, how="exit", where="close").funnel.kept == 40


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
