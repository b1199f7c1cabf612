"""The report, the comparison and the documentation for people who read without eyes or mouse: no
finding of axe, at the size of a desk and of a phone.
"""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.report_pages import Opened, browser, compared, folder, run  # fixtures among them

ROOT = Path(__file__).parent.parent
SIZES = {"desk": {"width": 1280, "height": 900}, "phone": {"width": 390, "height": 844}}
KINDS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]
PAGES = {"index": "desk", "concepts": "phone", "expressions": "phone"}


def findings(browser: Any, page: Path, size: str, scheme: str) -> list[str]:
    """What axe says of a page, worst first: kind, rule, number of places, the first of them."""
    module = find_spec("axe_playwright_python")
    if module is None or module.origin is None:
        pytest.skip("needs axe: pip install axe-playwright-python")
    opened = Opened(browser, page, viewport=SIZES[size], color_scheme=scheme)
    opened.page.wait_for_load_state("load")
    opened.page.wait_for_timeout(200)  # the documentation's theme wraps its tables late
    opened.page.evaluate((Path(module.origin).parent / "axe.min.js").read_text())
    options = {"runOnly": KINDS}
    told = opened.page.evaluate("options => axe.run(document, options)", options)["violations"]
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= SIZES[size]["width"]
    opened.page.context.close()
    return [f"{v['impact']} {v['id']} ×{len(v['nodes'])}: {v['nodes'][0]['target']}" for v in told]


@pytest.mark.parametrize(("size", "scheme"), [("desk", "dark"), ("phone", "light")])
def test_report_and_comparison_have_no_finding(
    browser: Any, run: Path, compared: Path, size: str, scheme: str
) -> None:
    assert findings(browser, run / "report/index.html", size, scheme) == []
    assert findings(browser, compared, size, scheme) == []


def test_documentation_has_no_serious_finding(browser: Any, tmp_path: Path) -> None:
    pytest.importorskip("mkdocs")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    for name, size in PAGES.items():
        told = findings(browser, tmp_path / f"{name}.html", size, "light")
        assert [line for line in told if not line.startswith(("minor", "moderate"))] == []
