"""Whole runs without Ray: caching, fates, failures, retry, interruption, packages."""

import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from pairmill.api import Pipeline, RunResult
from pairmill.errors import RunError, StageBroken, StageFailed
from pairmill.packages.package import verify
from tests.conftest import CLIP, pairmill

Write = Callable[[str], Path]


def text(
    stage: str,
    head: str = "",
    outputs: str = "outputs: [{type: webdataset, path: out, shuffle: false}]",
) -> str:
    return f"""
name: run
source:
  type: parquet
  path: numbers.parquet
  rows_per_shard: 20
  columns: {{position_in: number}}
stages:
{head}  - stage: tests.stages_for_tests:PickyStage
    name: picky
    batch_size: 8
{stage}
{outputs}
"""


def run(file: Path, **options: object) -> RunResult:
    overrides = options.pop("overrides", None)
    return Pipeline.from_yaml(file, overrides).run(local=True, progress=False, **options)  # type: ignore[arg-type]


def ledger(result: RunResult) -> pl.DataFrame:
    return pl.concat(
        [pl.read_parquet(f) for f in sorted(Path(result.folder).glob("ledger/shard-*.parquet"))]
    )


def computed(log: Path) -> int:
    return (
        sum(len(json.loads(line).get("uids", ())) for line in log.read_text().splitlines())
        if log.exists()
        else 0
    )


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


def test_some_rows_raise_and_the_others_are_kept(write: Write, numbers: Path) -> None:
    file = write(
        text("    bad: [3, 11]\n    max_failures: 0.5\n").replace(
            "columns: {position_in: number}", "columns: {doc_id: text, position_in: number}"
        )
    )
    source = numbers / "numbers.parquet"
    pl.read_parquet(source).with_columns(
        (pl.col("number") // 20).cast(pl.String).alias("text")
    ).write_parquet(source)
    result = run(file)
    failed = ledger(result).filter(pl.col("fate") == "failed")
    assert failed.select("shard", "row").rows() == [(s, r) for s in range(3) for r in (3, 11)]
    assert failed["reason"].unique().to_list() == ["ZeroDivisionError"]
    assert failed["message"].to_list()[:2] == ["row 3 is bad", "row 11 is bad"]
    assert result.funnel.kept == 54
    step = result.funnel.steps[1]
    assert (step.rows, step.kept, step.failed, step.reasons) == (
        60,
        54,
        6,
        {"ZeroDivisionError": 6},
    )


def test_stage_that_raises_on_every_row_stops_the_run_with_the_reason(
    write: Write, numbers: Path
) -> None:
    log = numbers / "log"
    with pytest.raises(
        StageFailed,
        match="stage 'picky' failed on 20 of 20 rows .* ZeroDivisionError: row 0 is bad",
    ):
        run(write(text(f"    bad: [-1]\n    log: {log}\n")))
    assert not list(numbers.rglob("columns/picky*/shard-*.parquet"))


@pytest.mark.parametrize(
    ("mode", "message"),
    [
        ("short", "answered 8 rows with 7 rows"),
        ("wrong", "declares the column 'picky_twice' and does not give it"),
    ],
)
def test_stage_that_breaks_its_contract_is_named(
    write: Write, numbers: Path, mode: str, message: str
) -> None:
    with pytest.raises(StageBroken, match=message):
        run(write(text(f"    mode: {mode}\n")))


def test_nan_is_stored_as_null_and_a_null_is_missing_not_dropped(
    write: Write, numbers: Path
) -> None:
    source = numbers / "numbers.parquet"
    pl.read_parquet(source).with_columns(pl.lit("one").alias("text")).write_parquet(source)
    file = write(
        text("    mode: nan\n    keep: picky_twice >= 10\n").replace(
            "columns: {position_in: number}", "columns: {doc_id: text, position_in: number}"
        )
    )
    result = run(file)
    fates = ledger(result)["fate"].value_counts().sort("fate").rows()
    assert fates == [("dropped", 3), ("kept", 27), ("missing", 30)]


def test_on_missing_decides_what_becomes_of_null_inputs(write: Write, numbers: Path) -> None:
    source = numbers / "numbers.parquet"
    pl.read_parquet(source).with_columns(
        pl.when(pl.col("number") < 5).then(None).otherwise(pl.col("text")).alias("text")
    ).write_parquet(source)
    kept = {}
    for policy in ("drop", "keep", "fail"):
        result = run(write(text("", f"  - {{stage: text_rules, on_missing: {policy}}}\n")))
        kept[policy] = (
            result.funnel.kept,
            result.funnel.steps[1].missing,
            result.funnel.steps[1].failed,
        )
    assert kept == {"drop": (55, 5, 0), "keep": (60, 0, 0), "fail": (55, 0, 5)}


def test_when_lets_other_rows_pass_with_nulls(write: Write, numbers: Path) -> None:
    result = run(write(text("    when: position_in < 7\n")))
    assert result.funnel.kept == 60
    package = pl.read_parquet(numbers / "out/00000.parquet")
    assert package["picky_twice"].null_count() == 53


def test_rows_that_pass_a_stage_by_pass_its_gate_by(write: Write, numbers: Path) -> None:
    source = numbers / "numbers.parquet"
    pl.read_parquet(source).with_columns(
        pl.when(pl.col("number") < 5).then(None).otherwise(pl.col("text")).alias("text")
    ).write_parquet(source)
    kept = {}
    for more in (
        "when: position_in < 7",
        "on_missing: keep",
        "on_missing: keep, when: position_in < 7",
    ):
        stage = f"  - {{stage: text_rules, keep: text_words > 2, {more}}}\n"
        result = run(write(text("", stage)))
        kept[more] = (result.funnel.kept, result.funnel.steps[1].dropped)
    assert kept == {
        "when: position_in < 7": (53, 2),
        "on_missing: keep": (5, 55),
        "on_missing: keep, when: position_in < 7": (58, 2),
    }
    gate_alone = "  - {stage: filter, when: position_in < 7, keep: position_in < 3}\n"
    result = run(write(text("", gate_alone)))
    assert (result.funnel.kept, result.funnel.steps[1].dropped) == (56, 4)


def test_retry_takes_just_the_named_classes(write: Write, numbers: Path) -> None:
    log = numbers / "log"
    flaky = text(f"    bad: [0]\n    max_failures: 1.0\n    log: {log}\n")
    run(write(flaky))
    column_set = next(numbers.glob("workspace/columns/picky-*/shard-000000.parquet"))
    before = column_set.read_bytes()
    run(write(flaky), retry=["timeout"])
    assert column_set.read_bytes() == before
    log.unlink(missing_ok=True)
    run(write(flaky), retry=["ZeroDivisionError"])
    assert "setup" in log.read_text()


def test_limit_takes_the_first_rows(write: Write, numbers: Path) -> None:
    file = write(text(""))
    result = run(file, limit=25)
    assert (result.funnel.rows, result.funnel.kept) == (25, 25)
    assert pl.read_parquet(numbers / "out/00000.parquet")["uid"].to_list() == [
        f"u{i:02d}" for i in range(25)
    ]
    assert run(file).funnel.kept == 60


def test_global_stage_is_redone_when_the_rows_before_it_change(write: Write, numbers: Path) -> None:
    head = "  - stage: filter\n    keep: position_in >= 0\n  - stage: dedup\n    on: [sha256]\n    keep: dup_of IS NULL\n"
    file = write(text("", head))
    assert run(file).funnel.kept == 1
    assert ledger(run(file)).filter(pl.col("fate") == "kept")["uid"].to_list() == ["u00"]
    other = run(file, overrides={"stages.filter.keep": "position_in >= 10"})
    assert ledger(other).filter(pl.col("fate") == "kept")["uid"].to_list() == ["u10"]
    assert ledger(run(file)).filter(pl.col("fate") == "kept")["uid"].to_list() == ["u00"]


def test_two_runs_share_a_workspace_and_gc_removes_only_what_no_run_uses(
    write: Write, numbers: Path
) -> None:
    one = run(write(text(""), "one.yaml"))
    two = run(
        write(text("    mode: nan\n", outputs="").replace("name: run", "name: two"), "two.yaml")
    )
    workspace = str(numbers / "workspace")
    shown = pairmill("workspace", workspace).stdout
    assert one.run_id in shown
    assert two.run_id in shown
    assert "0 folders" in pairmill("gc", workspace, "--dry-run").stdout
    import shutil

    shutil.rmtree(two.folder)
    assert "removed columns/picky-" in pairmill("gc", workspace).stdout
    assert run(write(text(""), "one.yaml")).funnel.kept == 60
    assert len(list(numbers.glob("workspace/columns/picky-*"))) == 1


def test_workspace_of_a_newer_format_is_refused(write: Write, numbers: Path) -> None:
    file = write(text(""))
    run(file)
    (numbers / "workspace/workspace.json").write_text(
        json.dumps({"format_version": 99, "pairmill": "9.0"})
    )
    with pytest.raises(RunError, match=r"format 99, written by pairmill 9\.0"):
        run(file)


def test_every_mutation_of_a_package_is_noticed(write: Write, numbers: Path) -> None:
    run(write(text("")))
    out = numbers / "out"
    assert verify(str(out)) == []
    assert pairmill("inspect", str(out), "--verify").returncode == 0
    tar = out / "00000.tar"
    data = bytearray(tar.read_bytes())
    data[2000] ^= 1
    tar.write_bytes(bytes(data))
    (out / "00000.parquet").unlink()
    (out / "stray.txt").write_text("x")
    found = pairmill("inspect", str(out), "--verify")
    assert found.returncode == 1
    for words in (
        "00000.tar has changed",
        "00000.parquet is missing",
        "stray.txt is not in the manifest",
    ):
        assert words in found.stderr


def test_package_of_another_pipeline_is_not_overwritten(write: Write, numbers: Path) -> None:
    run(write(text("")))
    with pytest.raises(RunError, match="holds a package of the pipeline 'run'"):
        run(write(text("").replace("name: run", "name: other")))


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
    timeout: 1
    retries: 1
    resolve: {json.dumps(web)}
  - stage: text_rules
    keep: text_words > 8
outputs: [{{type: webdataset, path: out}}]
""")
    strict = run(file)
    stored = pl.read_parquet(next(tmp_path.glob("workspace/columns/download-*/shard-*.parquet")))
    assert stored["image"].drop_nulls().len() == strict.funnel.kept
    assert stored["width"].drop_nulls().len() > strict.funnel.kept
    loose = run(file, overrides={"stages.text_rules.keep": "text_words > 2"})
    assert loose.funnel.kept > strict.funnel.kept
    assert verify(str(tmp_path / "out")) == []


def test_python_api_builds_the_same_pipeline_from_objects(numbers: Path) -> None:
    from pairmill.filters.text_rules import TextRulesConfig
    from pairmill.outputs.webdataset import WebDatasetOutputConfig
    from pairmill.sources.tables import ParquetConfig

    pipeline = Pipeline.build(
        name="objects", workspace=str(numbers / "ws"), source=ParquetConfig(path=str(numbers / "numbers.parquet")),
        stages=[TextRulesConfig(keep="text_words >= 2")], outputs=[WebDatasetOutputConfig(path=str(numbers / "objects"))],
    )  # fmt: skip
    result = pipeline.run(local=True, progress=False)
    assert result.funnel.kept == 60
    assert result.packages[str(numbers / "objects")]["samples"] == 60
    assert "60 rows in, 60 kept" in result._repr_html_()


def test_clip_gate_rerun_loads_no_model(write: Write, pairs: Path, tmp_path: Path) -> None:
    file = write(
        f"name: c\nsource: {{type: parquet, path: pairs.parquet}}\nstages:\n  - stage: clip\n    model: {CLIP}\n    keep: clip_score >= 0.3\n"
    )
    first = run(file)
    code = (
        "import sys; from pairmill import Pipeline; r = Pipeline.from_yaml(sys.argv[1], {'stages.clip.keep': 'clip_score >= 0.2'})"
        ".run(local=True, progress=False); print(r.funnel.kept, 'torch' in sys.modules)"
    )
    import subprocess
    import sys

    kept, torch_loaded = subprocess.run(
        [sys.executable, "-c", code, str(file)], capture_output=True, text=True, check=True
    ).stdout.split()
    assert int(kept) >= first.funnel.kept
    assert torch_loaded == "False"
