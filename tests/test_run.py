"""Whole runs without Ray: caching, fates, failures, retry, interruption, packages."""

import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from pairmill.api import Pipeline
from pairmill.errors import RunError, StageBroken, StageFailed
from pairmill.packages.package import verify
from pairmill.run_result import RunResult
from tests.conftest import typed
from tests.workspaces import column_files

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
    return Pipeline.from_yaml(file, overrides).run(
        local=True,
        progress=False,
        replace=True,
        **options,  # type: ignore[arg-type]
    )


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
    """After the first batch and some rows of it, with file and line: to try every row of a model
    stage alone would take minutes.
    """
    log = numbers / "log"
    with pytest.raises(
        StageFailed,
        match=r"stage 'picky' failed on 5 of 5 rows .* ZeroDivisionError: row 0 is bad "
        r"\(\S+/stages_for_tests\.py:\d+\)",
    ):
        run(write(text(f"    bad: [-1]\n    log: {log}\n")))
    assert len([line for line in log.read_text().splitlines() if "tried" in line]) == 1 + 5
    assert not list(numbers.rglob("columns/picky*/*.parquet"))


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


@pytest.mark.slow
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


@pytest.mark.slow
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
    files = column_files(numbers / "workspace", "picky")
    before = [f.read_bytes() for f in files]
    run(write(flaky), retry=["timeout"])
    assert [f.read_bytes() for f in files] == before
    log.unlink(missing_ok=True)
    run(write(flaky), retry=["ZeroDivisionError"])
    assert "setup" in log.read_text()


@pytest.mark.slow
def test_every_mutation_of_a_package_is_noticed(write: Write, numbers: Path) -> None:
    run(write(text("")))
    out = numbers / "out"
    assert verify(str(out)) == []
    assert typed("inspect", str(out), "--verify").returncode == 0
    tar = out / "00000.tar"
    data = bytearray(tar.read_bytes())
    data[2000] ^= 1
    tar.write_bytes(bytes(data))
    (out / "00000.parquet").unlink()
    (out / "stray.txt").write_text("x")
    found = typed("inspect", str(out), "--verify")
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


def test_python_api_builds_the_same_pipeline_from_objects(numbers: Path) -> None:
    from pairmill.filters.text_rules import TextRulesConfig
    from pairmill.outputs.webdataset import WebDatasetOutputConfig
    from pairmill.sources.tables import ParquetConfig

    pipeline = Pipeline.build(
        name="objects",
        workspace=str(numbers / "ws"),
        source=ParquetConfig(path=str(numbers / "numbers.parquet")),
        stages=[TextRulesConfig(keep="text_words >= 2")],
        outputs=[WebDatasetOutputConfig(path=str(numbers / "objects"))],
    )
    result = pipeline.run(local=True, progress=False)
    assert result.funnel.kept == 60
    assert result.packages[str(numbers / "objects")]["samples"] == 60
    assert "60 rows in, 60 kept" in result._repr_html_()
