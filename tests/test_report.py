"""The report: figures against an independent count, the page in a real browser, hostile text,
comparison, Croissant.
"""

import io
import json
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
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
from tests.conftest import pairmill
from tests.report_pages import CHROMIUM, Opened, finished_run
from tests.workspaces import shards_of, stored_chain


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, pictures: list[tuple[bytes, str]]) -> Path:
    return finished_run(tmp_path_factory.mktemp("report"), pictures)


@pytest.fixture(scope="module")
def run(folder: Path) -> Path:
    return next((folder / "workspace/runs").iterdir())


@pytest.fixture(scope="module")
def data(run: Path) -> dict[str, Any]:
    return json.loads((run / "report/data.json").read_text())


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


def test_page_loads_from_a_file_without_network_errors_or_scripts_of_others(
    browser: Any, run: Path
) -> None:
    opened = Opened(browser, run / "report/index.html")
    assert opened.said == []
    assert [u for u in opened.asked if not u.startswith("data:")] == [
        f"file://{run}/report/index.html"
    ]
    assert opened.page.title() == "report – pairmill report"
    assert "document.title" in opened.page.text_content("#samples")  # shown as text
    assert opened.page.locator("script").count() == 2
    assert opened.page.locator("img[src='x']").count() == 0


def test_slider_counts_what_polars_counts(browser: Any, run: Path, data: dict[str, Any]) -> None:
    chain = stored_chain(Pipeline.from_yaml(run.parents[2] / "p.yaml").checked)
    pool = pl.concat(shards_of(run.parents[1], chain.table))
    page = Opened(browser, run / "report/index.html").page
    card = page.locator("[data-score=level]")
    stops = next(s for s in data["scores"] if s["name"] == "level")["stops"]
    for place in (0, len(stops) // 3, stops.index(40.0), len(stops) - 1):
        card.locator("input").evaluate(
            "(node, v) => { node.value = v; node.dispatchEvent(new Event('input')); }", place
        )
        assert (
            int(card.locator("[data-count]").get_attribute("data-count"))
            == pool.filter(pl.col("level") >= stops[place]).height
        )


def test_filters_search_keyboard_and_links_of_the_funnel(
    browser: Any, run: Path, data: dict[str, Any]
) -> None:
    page = Opened(browser, run / "report/index.html").page
    every = len(data["samples"])

    def count() -> str:
        return page.inner_text("#count")

    assert count() == f"{every} of {every} samples"
    page.select_option("[data-filter=fate]", "dropped")
    dropped = sum(s["fate"] == "dropped" for s in data["samples"])
    assert 0 < dropped < every
    assert count() == f"{dropped} of {every} samples"
    page.fill("[data-filter=search]", "no such words anywhere")
    assert count() == f"0 of {every} samples"
    page.locator("table.funnel tr", has_text="leveled").locator("button").nth(1).click()
    here = sum(s["stage"] == "leveled" for s in data["samples"])
    assert count() == f"{here} of {every} samples"
    first = page.locator("article").first
    first.focus()
    page.keyboard.press("Enter")
    before = page.inner_text("#zoom")
    page.keyboard.press("ArrowRight")
    assert page.inner_text("#zoom") != before
    assert page.locator("#zoom dd[dir=auto]").count() > 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_narrow_window_and_both_schemes(browser: Any, run: Path, scheme: str) -> None:
    opened = Opened(
        browser,
        run / "report/index.html",
        viewport={"width": 390, "height": 800},
        color_scheme=scheme,
    )
    assert opened.said == []
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= 390
    colour = opened.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (colour == "rgb(255, 255, 255)") == (scheme == "light")


def test_flagged_pictures_are_blurred(data: dict[str, Any]) -> None:
    assert {s["blur"] for s in data["samples"] if s["scores"]["level"] >= 97} == {True}
    assert {s["blur"] for s in data["samples"] if s["scores"]["level"] < 97} == {False}


def test_distributions_and_mix_are_what_a_count_gives(run: Path, data: dict[str, Any]) -> None:
    ledger = pl.concat([pl.read_parquet(f) for f in sorted(run.glob("ledger/shard-*.parquet"))])
    kept = ledger.filter(pl.col("fate") == "kept").height
    level = next(s for s in data["scores"] if s["name"] == "level")
    assert (sum(level["kept"]), sum(level["kept"]) + sum(level["stopped"])) == (kept, 240)
    assert level["gates"] == [
        {"stage": "leveled", "text": "level >= 40", "sign": ">=", "threshold": 40.0}
    ]
    length = next(e for e in data["effects"] if e["group"] == "text length")
    few = next(v for v in length["values"] if v["value"] == "< 3 words")["rows"]
    assert (few[0], few[1]) == (48, 0)
    change = next(c for c in length["changes"] if c["value"] == "< 3 words")
    assert (change["step"], change["before"], change["after"]) == ("text_rules", 0.2, 0.0)
    kind = next(e for e in data["effects"] if e["group"] == "by kind")
    assert [(v["value"], v["rows"][0]) for v in kind["values"]] == [("ball", 120), ("tree", 60)]
    reached = next(e for e in data["effects"] if e["group"] == "language")
    assert (
        reached["totals"][0]
        == ledger.filter(
            ~pl.col("stage").is_in(["text_rules", "leveled"]) | pl.col("stage").is_null()
        ).height
    )


def test_gallery_holds_tails_thresholds_and_both_sides(data: dict[str, Any]) -> None:
    tags = {t for s in data["samples"] for t in s["tags"]}
    assert {
        "random",
        "level: just passes",
        "level: just fails",
        "lang_score: lowest",
        "lang_score: highest",
    } <= tags
    passing = [s["scores"]["level"] for s in data["samples"] if "level: just passes" in s["tags"]]
    failing = [s["scores"]["level"] for s in data["samples"] if "level: just fails" in s["tags"]]
    assert 30 <= max(failing) < 40 <= min(passing) == 40
    assert len(data["samples"]) <= 300


def test_two_runs_are_compared_and_wrong_paths_say_what_they_are(
    browser: Any, folder: Path, run: Path, data: dict[str, Any]
) -> None:
    Pipeline.from_yaml(folder / "p.yaml", {"stages.leveled.keep": "level >= 60"}).run(
        local=True, progress=False
    )
    other = next(r for r in (folder / "workspace/runs").iterdir() if r != run)
    done = pairmill("report", str(run), str(other))
    assert done.returncode == 0, done.stderr
    opened = Opened(browser, Path(done.stdout.strip()))
    assert opened.said == []
    text = opened.page.inner_text("main")
    assert data["run"] in text
    assert other.name in text
    package = pairmill("report", str(folder / "out"))  # written again by the second run
    assert package.stdout.strip() == str(other / "report/index.html")
    with tempfile.TemporaryDirectory() as away:
        parted = shutil.copytree(folder / "out", Path(away) / "kept")
        lost = pairmill("report", str(parted))
        assert lost.returncode == 1
        assert "--workspace" in lost.stderr
        assert (
            pairmill("report", str(parted), "--workspace", str(folder / "workspace")).stdout
            == package.stdout
        )
    (folder / "foreign").mkdir()
    (folder / "foreign/manifest.json").write_text("{}")
    places = (
        (folder, "no run's folder"),
        (folder / "nowhere", "no run's folder"),
        (folder / "foreign", "is not as pairmill writes it"),
    )
    for path, words in places:
        refused = pairmill("report", str(path))
        assert refused.returncode == 1
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


def test_values_that_no_json_knows_stay_out_of_report_and_package(
    folder: Path, data: dict[str, Any]
) -> None:
    odd = next(s for s in data["scores"] if s["name"] == "odd")
    assert (odd["low"], odd["high"], odd["rows"]) == (1.0, 2.0, 120)
    with tarfile.open(folder / "out/00000.tar") as tar:
        texts = [tar.extractfile(m).read().decode() for m in tar if m.name.endswith(".json")]
    for text in texts:
        json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} in a sample's JSON"))
