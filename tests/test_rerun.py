"""Runs after runs in one workspace: what is computed again, and what is not."""

import json
from pathlib import Path

import polars as pl
import pytest

from pairmill.api import Pipeline
from pairmill.errors import RunError
from pairmill.packages.package import verify
from tests.conftest import CLIP, typed
from tests.test_run import Write, computed, ledger, run, text


@pytest.mark.slow
def test_loosened_gate_computes_only_newly_living_rows_and_same_run_none(
    write: Write, numbers: Path
) -> None:
    log = numbers / "log"
    gate = "  - stage: filter\n    keep: position_in < 30\n"
    file = write(text(f"    log: {log}\n", gate))
    assert run(file).funnel.kept == 30
    assert computed(log) == 30
    assert run(file).funnel.kept == 30
    assert computed(log) == 30
    assert run(file, overrides={"stages.filter.keep": "position_in < 45"}).funnel.kept == 45
    assert computed(log) == 45
    assert run(file, overrides={"stages.filter.keep": "position_in < 10"}).funnel.kept == 10
    assert run(file, overrides={"stages.picky.batch_size": "3"}).funnel.kept == 30
    assert computed(log) == 45
    setups = [line for line in log.read_text().splitlines() if "setup" in line]
    assert len(setups) == 2


def test_changed_parameter_or_version_computes_anew_and_mixes_nothing(
    write: Write, numbers: Path
) -> None:
    log = numbers / "log"
    file = write(text(f"    log: {log}\n"))
    first = Pipeline.from_yaml(file).plan()["stages"][0]["identity"]
    run(file)
    run(file, overrides={"stages.picky.mode": "nan"})
    assert computed(log) == 120
    from tests.stages_for_tests import PickyStage

    PickyStage.version = 2
    try:
        second = Pipeline.from_yaml(file).plan()["stages"][0]
        assert second["identity"] != first
        assert second["rows_waiting"] == 60
    finally:
        PickyStage.version = 1


def test_limit_takes_the_first_rows(write: Write, numbers: Path) -> None:
    file = write(text(""))
    result = run(file, limit=25)
    assert (result.funnel.rows, result.funnel.kept) == (25, 25)
    assert pl.read_parquet(numbers / "out/00000.parquet")["uid"].to_list() == [
        f"u{i:02d}" for i in range(25)
    ]
    assert run(file).funnel.kept == 60


@pytest.mark.slow
def test_global_stage_is_redone_when_the_rows_before_it_change(write: Write, numbers: Path) -> None:
    head = (
        "  - stage: filter\n    keep: position_in >= 0\n  - stage: dedup\n    on: "
        "[sha256]\n    keep: dup_of IS NULL\n"
    )
    file = write(text("", head))
    assert run(file).funnel.kept == 1
    assert ledger(run(file)).filter(pl.col("fate") == "kept")["uid"].to_list() == ["u00"]
    other = run(file, overrides={"stages.filter.keep": "position_in >= 10"})
    assert ledger(other).filter(pl.col("fate") == "kept")["uid"].to_list() == ["u10"]
    assert ledger(run(file)).filter(pl.col("fate") == "kept")["uid"].to_list() == ["u00"]


@pytest.mark.slow
def test_two_runs_share_a_workspace_and_gc_removes_only_what_no_run_uses(
    write: Write, numbers: Path
) -> None:
    one = run(write(text(""), "one.yaml"))
    two = run(
        write(text("    mode: nan\n", outputs="").replace("name: run", "name: two"), "two.yaml")
    )
    workspace = str(numbers / "workspace")
    shown = typed("workspace", workspace).stdout
    assert one.run_id in shown
    assert two.run_id in shown
    assert "0 folders" in typed("gc", workspace, "--dry-run").stdout
    import shutil

    shutil.rmtree(two.folder)
    assert "removed columns/picky-" in typed("gc", workspace).stdout
    assert run(write(text(""), "one.yaml")).funnel.kept == 60
    assert len(list(numbers.glob("workspace/columns/picky-*"))) == 1


def test_workspace_of_another_format_is_refused(write: Write, numbers: Path) -> None:
    file = write(text(""))
    run(file)
    for version in (2, 99):
        (numbers / "workspace/workspace.json").write_text(
            json.dumps({"format_version": version, "pairmill": "9.0"})
        )
        with pytest.raises(RunError, match=rf"format {version}, written by pairmill 9\.0"):
            run(file)


@pytest.mark.slow
def test_store_kept_forgets_payload_and_a_looser_run_fetches_it_again(
    write: Write, web: dict[str, str], tmp_path: Path
) -> None:
    from pairmill.demo.tables import write_world
    from pairmill.demo.world import World

    write_world(World(60, 0), tmp_path)
    file = write(f"""
name: kept
source: {{type: pairs, path: pairs.parquet}}
stages:
  - stage: download
    store: kept
    timeout: 60
    retries: 1
    resolve: {json.dumps(web)}
  - stage: text_rules
    keep: text_words > 8
outputs: [{{type: webdataset, path: out}}]
""")
    strict = run(file)
    stored = pl.read_parquet(next(tmp_path.glob("workspace/columns/download-*/*.parquet")))
    assert stored["image"].drop_nulls().len() == strict.funnel.kept
    assert stored["width"].drop_nulls().len() > strict.funnel.kept
    loose = run(file, overrides={"stages.text_rules.keep": "text_words > 2"})
    assert loose.funnel.kept > strict.funnel.kept
    assert verify(str(tmp_path / "out")) == []


@pytest.mark.slow
def test_clip_gate_rerun_loads_no_model(write: Write, pairs: Path, tmp_path: Path) -> None:
    file = write(
        f"name: c\nsource: {{type: parquet, path: pairs.parquet}}\nstages:\n  - stage: "
        f"clip\n    model: {CLIP}\n    keep: clip_score >= 0.3\n"
    )
    first = run(file)
    code = (
        "import sys; from pairmill import Pipeline; r = Pipeline.from_yaml(sys.argv[1], "
        "{'stages.clip.keep': 'clip_score >= 0.2'})"
        ".run(local=True, progress=False); print(r.funnel.kept, 'torch' in sys.modules)"
    )
    import subprocess
    import sys

    kept, torch_loaded = subprocess.run(
        [sys.executable, "-c", code, str(file)], capture_output=True, text=True, check=True
    ).stdout.split()
    assert int(kept) >= first.funnel.kept
    assert torch_loaded == "False"


def test_rows_fates_and_columns_of_a_run_are_one_table(write: Write, numbers: Path) -> None:
    head = "  - {stage: filter, keep: position_in < 45}\n  - {stage: language}\n"
    file = write(text("    max_failures: 1\n    when: position_in < 30\n", head))
    result = run(file)
    rows = result.table(["picky_twice", "text", "image"])
    assert rows.columns[-3:] == ["picky_twice", "text", "image#size"]
    assert dict(rows["fate"].value_counts().iter_rows()) == {"kept": 45, "dropped": 15}
    dropped = rows.filter(pl.col("fate") == "dropped")
    assert rows.with_row_index().filter(fate="dropped")["index"].to_list() == list(range(45, 60))
    assert set(dropped["stage"]) == {"filter"}
    assert set(dropped["reason"]) == {"position_in < 45"}
    assert rows["picky_twice"].is_not_null().to_list() == [True] * 30 + [False] * 30
    now = Pipeline.from_yaml(file).stored()
    assert now.table(["picky_twice", "text", "image"]).equals(rows)
    assert {"lang", "picky_batch", "number"} & {*now.table().columns} == {"lang", "picky_batch"}
    assert now.table().to_arrow().num_rows == 60
