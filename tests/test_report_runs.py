"""The report beside others: two runs compared, runs rebuilt, sampled and inspected."""

import io
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from rich.console import Console

from pairmill.api import Pipeline
from pairmill.images import decode_rgb
from pairmill.report.gather import gather
from pairmill.report.page import page
from pairmill.terminal.inspecting import inspect_path
from tests.conftest import typed
from tests.report_pages import Opened, browser, data, folder, run  # fixtures among them
from tests.workspaces import stored_chain


def test_two_runs_are_compared_and_wrong_paths_say_what_they_are(
    browser: Any, folder: Path, run: Path, data: dict[str, Any]
) -> None:
    Pipeline.from_yaml(folder / "p.yaml", {"stages.leveled.keep": "level >= 60"}).run(
        local=True, progress=False, replace=True
    )
    other = next(r for r in (folder / "workspace/runs").iterdir() if r != run)
    done = typed("report", str(run), str(other))
    assert done.returncode == 0, done.stderr
    opened = Opened(browser, Path(done.stdout.strip()))
    assert opened.said == []
    text = opened.page.inner_text("main")
    assert data["run"] in text
    assert other.name in text
    fates = [
        pl.concat([pl.read_parquet(f) for f in sorted((r / "ledger").glob("*.parquet"))])
        for r in (run, other)
    ]
    first, second = ({*f.filter(pl.col("fate") == "kept")["uid"]} for f in fates)
    assert f"kept by both\t{len(first & second)}" in text
    assert f"kept by the first alone\t{len(first - second)}" in text
    assert "kept\tdropped at leveled" in text
    assert "-leveled" not in text
    assert "level >= 40 → level >= 60" in " ".join(opened.page.inner_text("#funnel").split())
    lost = opened.page.locator("[data-moved=lost] article")
    assert lost.count() > 0
    assert "first: kept\nsecond: dropped at leveled" in lost.first.inner_text()
    steps = opened.page.locator("#funnel tr").all()
    told = {row.locator("td").first.inner_text(): row.inner_text() for row in steps[1:]}
    assert "→" not in told["source"]  # what is equal is said once
    assert "→" in told["leveled"]
    assert opened.slips() == []
    for button in opened.page.locator("main button").all():
        button.click()
    assert opened.said == []
    package = typed("report", str(folder / "out"))  # written again by the second run
    assert package.stdout.strip() == str(other / "report/index.html")
    with tempfile.TemporaryDirectory() as away:
        parted = shutil.copytree(folder / "out", Path(away) / "kept")
        lost = typed("report", str(parted))
        assert lost.returncode == 2
        assert "--workspace" in lost.stderr
        assert (
            typed("report", str(parted), "--workspace", str(folder / "workspace")).stdout
            == package.stdout
        )
    (folder / "foreign").mkdir()
    (folder / "foreign/manifest.json").write_text("{}")
    places = (
        (folder, 2, "no run's folder"),
        (folder / "nowhere", 2, "no run's folder"),
        (folder / "foreign", 1, "is not as pairmill writes it"),
    )
    for path, code, words in places:
        refused = typed("report", str(path))
        assert refused.returncode == code
        assert words in refused.stderr


def test_run_table_tells_workers_and_the_share_of_a_gpu(
    browser: Any, folder: Path, data: dict[str, Any]
) -> None:
    stage = data["stages"]["language"]
    assert stage["workers"] == 1
    assert 0 < stage["busy_s"] <= stage["seconds"] <= stage["held_s"]
    (folder / "gpu.html").write_bytes(
        page(
            [{**data, "stages": {"language": {**stage, "gpus": 0.5, "busy_s": 1.0, "held_s": 4.0}}}]
        )
    )
    table = Opened(browser, folder / "gpu.html").page.locator("table.run")
    heads, cells = (table.locator(tag).all_inner_texts() for tag in ("th", "td"))
    assert dict(zip(heads, cells, strict=True))["GPU share"] == "25%"


@pytest.mark.slow
def test_inspect_shows_a_runs_essentials_and_pictures_where_the_terminal_can(
    folder: Path, run: Path, pictures: list[tuple[bytes, str]]
) -> None:
    plain, rich = (
        Console(file=io.StringIO(), width=150, **options)
        for options in ({}, {"force_terminal": True, "color_system": "truecolor"})
    )
    inspect_path(str(run), 3, False, plain)
    essentials = plain.file.getvalue()
    assert "leveled: >= 40" in essentials
    assert "240 rows in" in essentials
    for out in (plain, rich):
        for path in (folder / "out", folder / "out/00000.tar", folder / "pairs.parquet"):
            inspect_path(str(path), 2, False, out, pictures=True)
        inspect_path(str(folder / "pairs.parquet"), 5, False, out)
    assert "▄" not in plain.file.getvalue()
    assert "\x1b" not in plain.file.getvalue()
    shown = rich.file.getvalue()
    assert "owned" in shown
    assert "\x1b]" not in shown
    red, green, blue = decode_rgb(pictures[0][0]).resize((32, 32)).getpixel((0, 0))
    assert shown.count("▄") > 3 * 2 * 16 * 8
    assert any(f";{red + d};" in shown for d in range(-3, 4)), (red, green, blue)


@pytest.mark.slow
def test_croissant_lists_the_files_that_the_manifest_lists(folder: Path) -> None:
    """That mlcroissant reads the samples is tested in test_outputs_folders."""
    manifest = json.loads((folder / "out/manifest.json").read_text())
    listed = {
        d["@id"]: d.get("sha256")
        for d in json.loads((folder / "out/croissant.json").read_text())["distribution"]
    }
    assert {
        f["name"]: f["sha256"] for f in manifest["files"] if f["name"] != "croissant.json"
    }.items() <= listed.items()


def test_report_of_a_large_run_reads_some_shards_and_says_so(
    folder: Path, run: Path, data: dict[str, Any], browser: Any, tmp_path: Path
) -> None:
    pipeline = Pipeline.from_yaml(folder / "p.yaml").checked
    chain = stored_chain(pipeline)
    assert len(gather(chain).frame) == 240
    some = gather(chain, most_shards=2)
    assert some.frame["shard"].n_unique() == 2
    shards = len(chain.shards())
    assert some.sampled == {
        "rows": some.frame.height,
        "of_rows": 240,
        "shards": 2,
        "of_shards": shards,
    }
    assert some.frame.equals(gather(chain, most_shards=2).frame)
    file = tmp_path / "page.html"
    file.write_bytes(page([{**data, "sampled": some.sampled}]))
    assert (
        f"samples come from {some.frame.height} of 240 rows: 2 of {shards} shards, drawn by chance"
        in Opened(browser, file).page.inner_text("header")
    )
