"""Pages of the report look as they did: compared with figures that are kept beside the tests.

A page that is meant to look otherwise is looked at, and then its figures are written anew:
`REPORT_LAYOUT=write python -m pytest tests/test_report_layout.py`.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.report_layout import SIZES, differences, look_at
from tests.report_pages import Opened, browser, compared, folder, run  # fixtures among them

KEPT = Path(__file__).parent / "report_layout.json"
SPOILT = {
    "body { font-size: 19px }": "body: letters 15px, now 19px",
    ".card { background: #222 }": ".card backgroundColor: colours",
    "nav { height: 1px }": "nav: ",
    ".grid { display: block }": "columns, now 0",
    "main { max-width: 50rem }": "its left side at",
    ".card { width: 130% }": "outside",
    ".card p { margin-top: -2.5rem }": "covered",
    ".chart { transform: scaleY(-1) } .picture { filter: invert(1) }": "looks otherwise",
}
"""A mistake in the style, and how the comparison tells it."""


def measured(browser: Any, page: Path, size: str) -> dict[str, Any]:
    """The figures of a page at one size."""
    opened = Opened(browser, page, viewport=SIZES[size], color_scheme="light")
    opened.page.wait_for_load_state("load")
    found = look_at(opened.page)
    opened.page.context.close()
    return found


def letters(browser: Any) -> list[float]:
    """How wide a text is in the page's kinds of fonts, in pixels."""
    page = browser.new_page()
    found: list[float] = page.evaluate(
        """() => ["system-ui", "sans-serif", "monospace"].map(font => {
            const pen = document.createElement("canvas").getContext("2d");
            pen.font = "16px " + font;
            return Math.round(pen.measureText("Wide letters, 0123456789 rows").width);
        })"""
    )
    page.close()
    return found


@pytest.mark.parametrize("size", SIZES)
def test_pages_look_as_they_did(browser: Any, run: Path, compared: Path, size: str) -> None:
    pages = {"report": run / "report/index.html", "comparison": compared}
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    if os.environ.get("REPORT_LAYOUT") == "write":
        now = {name: measured(browser, page, size) for name, page in pages.items()}
        kept |= {size: now, "letters": letters(browser)}
        KEPT.write_text(json.dumps(kept, indent=1) + "\n")
    if letters(browser) != kept["letters"]:
        pytest.skip("this machine has other fonts than the one whose figures are kept")
    for name, page in pages.items():
        told = [""]
        for _ in range(3):  # on a busy machine a chart may be drawn a moment later
            told = told and differences(kept[size][name], measured(browser, page, size))
        assert told == [], name


@pytest.mark.parametrize("style", SPOILT)
def test_a_mistake_in_the_style_is_told(browser: Any, run: Path, style: str) -> None:
    page = run / "report/index.html"
    opened = Opened(browser, page, viewport=SIZES["desk"], bypass_csp=True, color_scheme="light")
    opened.page.add_style_tag(content=style)
    told = differences(json.loads(KEPT.read_text())["desk"]["report"], look_at(opened.page))
    opened.page.context.close()
    assert any(SPOILT[style] in line for line in told), told


PAPER = {"width": 700, "height": 990}
CUT = """() => [...document.querySelectorAll(".scroll, .near, pre")]
    .filter(e => e.clientWidth && e.scrollWidth > e.clientWidth + 1).map(e => e.className)"""
BLANK = """() => [...document.querySelectorAll(".sample img")]
    .filter(i => !i.complete || !i.naturalWidth).length"""


def test_printed_page_is_dark_on_white_with_all_its_pictures_and_nothing_cut(
    browser: Any, run: Path, compared: Path
) -> None:
    for page in (run / "report/index.html", compared):
        opened = Opened(browser, page, viewport=PAPER, color_scheme="dark")
        opened.page.emulate_media(media="print")
        opened.page.wait_for_load_state("load")
        ink = opened.page.evaluate("getComputedStyle(document.body).color")
        assert max(map(int, ink[4:-1].split(","))) < 80
        assert (opened.page.evaluate(CUT), opened.page.evaluate(BLANK)) == ([], 0)
        assert opened.page.evaluate("document.documentElement.scrollWidth") <= PAPER["width"]
        sections = opened.page.evaluate("[...document.querySelectorAll('section')].map(s => s.id)")
        if page != compared:
            assert sections.index("funnel") < sections.index("scores") < sections.index("samples")
        opened.page.context.close()
