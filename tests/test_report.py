"""The report: figures against an independent count, the page in a real browser, hostile text,
comparison, Croissant.
"""

import json
import tarfile
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from PIL import Image
from publicsuffixlist import PSLFILE, PublicSuffixList

from pairmill.api import Pipeline
from pairmill.report.domains import domain_of, domains, hosts
from tests.report_pages import Opened, browser, data, folder, run  # fixtures among them
from tests.workspaces import shards_of, stored_chain


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


def test_threshold_tells_what_would_be_kept_in_the_end(
    browser: Any, run: Path, data: dict[str, Any]
) -> None:
    """Of the last gate exactly; of one with steps behind it from how many to how many."""
    page = Opened(browser, run / "report/index.html").page
    card = page.locator("[data-score=level]")
    score = next(s for s in data["scores"] if s["name"] == "level")
    rows = pl.read_parquet(run.parent.parent.parent / "pairs.parquet")
    words = pl.col("text").str.split(" ").list.len() > 2
    for threshold in (20, 60):
        at = next(i for i, stop in enumerate(score["stops"]) if stop >= threshold)
        card.locator("input").evaluate(
            "(n, v) => { n.value = v; n.dispatchEvent(new Event('input')); }", at
        )
        kept = rows.filter(words & (pl.col("level") >= score["stops"][at])).height
        now = min(kept, score["rows_kept"])
        end = card.locator("b[data-least]")
        assert (end.get_attribute("data-least"), end.get_attribute("data-most")) == (
            f"{now}", f"{kept}",
        )  # fmt: skip
        said = f'--set "stages.leveled.keep=level >= {score["stops"][at]:g}"'
        assert said in card.inner_text()


def test_domains_are_those_of_the_whole_list_of_suffixes() -> None:
    whole = PublicSuffixList()
    with open(PSLFILE, encoding="utf-8") as lines:
        listed = [line.strip() for line in lines if line.strip() and line[:2] != "//"]
    for rule in [*listed[::7], *(r for r in listed if r[0] in "*!" or not r.isascii())]:
        suffix = rule.lstrip("!").replace("*", "any")
        for host in (suffix, f"a.{suffix}", f"b.a.{suffix}"):
            ascii_only = host.encode("idna").decode()
            assert domain_of(host) == (whole.privatesuffix(host) or host)
            assert domain_of(ascii_only) == (whole.privatesuffix(ascii_only) or ascii_only)


def test_domains_of_addresses_and_of_suffixes_of_two_parts() -> None:
    urls = [
        "http://img.shop.co.uk/a", "https://user@10.1.2.3:80/b", "http://[::1]/c", "http://localhost/",
        "HTTP://CDN.Example.ORG", "no address", None, "https://u:p@a.shop.fr/x", "http://b.fr:8080",
        "http://a.b.fr?c=d@e", "http://bücher.shop.de/@", "ftp://h.x3", "//a.fr/http://b.fr/",
    ]  # fmt: skip
    assert domains(hosts(pl.Series(urls))).to_list() == [
        "shop.co.uk", "10.1.2.3", "::1", "localhost", "example.org", None, None, "shop.fr", "b.fr",
        "b.fr", "shop.de", "h.x3", None,
    ]  # fmt: skip


def test_filters_search_keyboard_and_links_of_the_funnel(
    browser: Any, run: Path, data: dict[str, Any]
) -> None:
    opened = Opened(browser, run / "report/index.html")
    page = opened.page
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
    step = next(s for s in data["funnel"]["steps"] if s["stage"] == "leveled")
    assert count() == f"{here} of {every} samples, of {step['dropped']} such rows"
    assert f"runs/{data['run']} --fate dropped --where \"stage = 'leveled'\"" in page.inner_text(
        "#samples"
    )
    page.select_option("[data-filter=sort]", "-level")
    levels = [s["scores"]["level"] for s in data["samples"] if s["stage"] == "leveled"]
    assert f"level {max(levels):g}" in str(page.locator("article").first.text_content())
    page.select_option("[data-filter=score]", "level")
    page.fill("[data-filter=least]", "20")
    between = sum(level >= 20 for level in levels)
    assert count().startswith(f"{between} of ")
    page.select_option("[data-filter=score]", "")
    page.select_option("[data-filter=sort]", "")
    first = page.locator("article").first
    first.focus()
    page.keyboard.press("Enter")
    before = page.inner_text("#zoom")
    page.keyboard.press("ArrowRight")
    assert page.inner_text("#zoom") != before
    assert opened.slips() == []
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


@pytest.mark.slow
def test_flagged_pictures_are_blurred(data: dict[str, Any]) -> None:
    assert {s["blur"] for s in data["samples"] if s["scores"]["level"] >= 97} == {True}
    assert {s["blur"] for s in data["samples"] if s["scores"]["level"] < 97} == {False}


@pytest.mark.slow
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


def test_values_that_no_json_knows_stay_out_of_report_and_package(
    folder: Path, data: dict[str, Any]
) -> None:
    odd = next(s for s in data["scores"] if s["name"] == "odd")
    assert (odd["low"], odd["high"], odd["rows"]) == (1.0, 2.0, 120)
    with tarfile.open(folder / "out/00000.tar") as tar:
        texts = [tar.extractfile(m).read().decode() for m in tar if m.name.endswith(".json")]
    for text in texts:
        json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} in a sample's JSON"))


def test_more_samples_are_offered_only_where_there_are_more(
    browser: Any, run: Path, data: dict[str, Any]
) -> None:
    page = Opened(browser, run / "report/index.html").page
    assert len(data["samples"]) > 60
    assert page.locator(".more").is_visible()
    page.locator("[data-filter=search]").fill("no text says this")
    assert page.locator("article.sample").count() == 0
    assert not page.locator(".more").is_visible()


def test_number_of_unreadable_rows_gives_the_command_that_lists_them(
    browser: Any, tmp_path: Path
) -> None:
    table = "image,text\nnone.png,a red ball\nnone.png,a ball\na.png,a ball here\n"
    (tmp_path / "in.csv").write_text(table)
    Image.new("RGB", (40, 40)).save(tmp_path / "a.png")
    (tmp_path / "p.yaml").write_text(
        "name: lost\nsource: {type: pairs, path: in.csv, image: image}\n"
        "stages: [{stage: text_rules}]\n"
    )
    result = Pipeline.from_yaml(tmp_path / "p.yaml").run(local=True, progress=False)
    page = Opened(browser, Path(result.report)).page
    page.locator("table.funnel tr", has_text="source").get_by_role("button", name="2").click()
    for choice, chosen in (("every fate", "failed"), ("every step", "source")):
        assert page.get_by_label(choice).input_value() == chosen
    assert f"runs/{result.run_id} --fate unreadable" in page.inner_text("#samples")
