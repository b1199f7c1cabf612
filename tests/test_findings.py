"""What a run says at its end of what a person has to know."""

import html
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pairmill.api import Pipeline
from pairmill.cli import app
from pairmill.fates.ledger import Funnel, Step
from pairmill.pipeline.findings import findings, retry_hint
from pairmill.pipeline.totals import StageTotals
from tests.conftest import CLIP

FEW = "name: told\nworkspace: w\nsource: {type: pairs, path: in.csv}\nstages:\n"


def pipeline_file(folder: Path, gate: str) -> str:
    rows = "".join(f"http://a.test/{i},caption {i}\n" for i in range(30))
    (folder / "in.csv").write_text("url,text\n" + rows)
    (folder / "p.yaml").write_text(FEW + f'  - {{stage: sample, keep: "{gate}"}}\n')
    return str(folder / "p.yaml")


@pytest.mark.parametrize(
    ("gate", "warning", "strict_code"),
    [
        ("text IS NULL", "no row was kept: nothing came through 'sample'", 1),
        ("text IS NOT NULL", "the gate text IS NOT NULL dropped nothing", 1),
        ("text LIKE '%1%'", "", 0),
    ],
)
def test_run_ends_with_its_warnings_and_strict_makes_them_a_failure(
    tmp_path: Path, gate: str, warning: str, strict_code: int
) -> None:
    file = pipeline_file(tmp_path, gate)
    plain = CliRunner().invoke(app, ["run", file, "--local"])
    assert plain.exit_code == 0
    assert warning in plain.output
    assert ("warning:" in plain.output) == bool(warning)
    if warning:  # in a notebook as well
        result = Pipeline.from_yaml(file).run(local=True, progress=False)
        assert html.escape(warning, quote=False) in result._repr_html_().replace("&#x27;", "'")
    strict = CliRunner().invoke(app, ["run", file, "--local", "--strict"])
    assert strict.exit_code == strict_code


def test_trusted_code_of_a_checkpoint_is_named_in_run_and_report_even_if_values_are_stored(
    pairs: Path,
) -> None:
    file = pairs.parent / "p.yaml"
    model = f"{{stage: clip, model: {CLIP}, dtype: float32, trust_remote_code: true}}"
    source = f"{{type: parquet, path: {pairs.name}}}"
    file.write_text(f"name: t\nworkspace: w\nsource: {source}\nstages: [{model}]\n")
    for _ in ("computed", "stored"):
        ran = CliRunner().invoke(app, ["run", str(file), "--local"])
        assert ran.exit_code == 0, ran.output
        said = " ".join(ran.output.split())
        assert "stage 'clip': `trust_remote_code: true` lets" in said
        (report,) = pairs.parent.glob("w/runs/*/report/data.json")
        lines = json.loads(report.read_text())["warnings"]
        assert sum("trust_remote_code" in line for line in lines) == 1


def test_version_is_told() -> None:
    from pairmill import __version__

    assert CliRunner().invoke(app, ["--version"]).output.strip() == __version__


def test_a_set_without_duplicates_is_no_warning() -> None:
    steps = [
        Step("near", 100, 100, gate="near_dup_of IS NULL"),
        Step("size", 100, 100, gate="w > 5"),
    ]
    funnel = Funnel(100, 100, [Step("source", 100, 100), *steps])
    assert findings(funnel) == ["size: the gate w > 5 dropped nothing"]


def test_failures_name_the_retry_that_tries_them_again() -> None:
    failed = Step("download", 100, 65, dropped=5, failed=30, gate="width > 5")
    failed.reasons = {"dns": 20, "timeout": 10, "width > 5": 5}
    failed.failures = {"timeout": 10, "dns": 20}
    funnel = Funnel(100, 65, [Step("source", 100, 100), failed])
    assert "--retry dns,timeout" in (retry_hint(funnel) or "")
    assert findings(funnel) == ["download: 30% of the rows that came failed (dns ×20, timeout ×10)"]
    assert retry_hint(Funnel(1, 1, [Step("source", 1, 1)])) is None


@pytest.mark.parametrize(
    ("stage", "kept", "warning"),
    [
        (
            "{stage: select, by: n, budget: 20, per: [kind], quotas: {Dog: 1, cat: 1}, "
            "keep: selected}",
            0,
            "select: asks for 'Dog' of kind, which no row that came has (there are: 'cat', 'dog')",
        ),
        (
            "{stage: mix, by: [odd], shares: {true: 1, maybe: 1}, short: fill, budget: 10, "
            "keep: mix_repeats > 0}",
            10,
            "mix: asks for 'maybe' of mix_group, which no row that came has "
            "(there are: 'false', 'true')",
        ),
        (
            "{stage: balance, by: kind, ratio: {cat: 1, dog: 3}, budget: 8, keep: balanced}",
            8,
            "",
        ),
    ],
)
def test_groups_that_no_row_has_are_named(
    tmp_path: Path, stage: str, kept: int, warning: str
) -> None:
    """Groups of booleans are `true` and `false`, as YAML writes them."""
    lines = [
        json.dumps({"text": f"a {i}", "kind": ("cat", "dog")[i % 2], "odd": i % 3 == 1, "n": i})
        for i in range(40)
    ]
    (tmp_path / "in.jsonl").write_text("\n".join(lines))
    file = tmp_path / "p.yaml"
    file.write_text(FEW.replace("in.csv", "in.jsonl") + f"  - {stage}\n")
    result = Pipeline.from_yaml(file).run(local=True, progress=False)
    assert result.funnel.kept == kept
    assert [w for w in result.warnings if "asks for" in w] == ([warning] if warning else [])


def test_small_sums_of_dollars_are_not_told_as_nothing() -> None:
    totals = StageTotals()
    totals.stages["cap"] = {"tokens_asked": 948, "tokens": 109, "dollars": 0.00064}
    assert totals.spent()[0].endswith("cost $0.00064")
    totals.stages["cap"]["dollars"] = 1234.5
    assert totals.spent()[0].endswith("cost $1,234.50")
