"""A small run with a report, and its page in a real browser."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pairmill.api import Pipeline
from pairmill.report.page import rebuild

HOSTILE = (
    '</script><script>document.title="owned"</script><img src=x '
    "onerror='document.title=\"owned\"'>\x1b]0;owned\x07"
)


CHROMIUM = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)


FILE = """
name: report
source: {type: parquet, path: pairs.parquet, rows_per_shard: 64}
report: {samples: 300, blur: level >= 97, groups: [kind]}
stages:
  - {stage: text_rules, keep: text_words > 2}
  - {stage: filter, name: leveled, keep: level >= 40}
  - {stage: language}
  - {stage: resolution, keep: shorter_side >= 100}
outputs:
  - {type: webdataset, path: out, samples_per_shard: 100}
"""


class Opened:
    """A page from a file, with what it asked for and said."""

    def __init__(self, browser: Any, file: Path, **options: Any) -> None:
        self.page = browser.new_context(**options).new_page()
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda m: self.said.append(m.text))
        self.page.on("pageerror", lambda e: self.said.append(str(e)))
        self.page.on("request", lambda r: self.asked.append(r.url))
        self.page.goto(f"file://{file}")

    def slips(self) -> list[str]:
        """Words that only a mistake of the script writes, such as `[object Object]`."""
        shown = self.page.evaluate("document.body.innerText")
        return re.findall(r"\[object \w+\]|\b(?:null|undefined|NaN)\b", shown)


def finished_run(folder: Path, pictures: list[tuple[bytes, str]]) -> Path:
    """The folder of a pipeline that ran over 240 rows, some of them hostile."""
    texts = [
        "a red ball lies on the meadow",
        "two",
        "ein roter Ball liegt auf der Wiese hinter dem Haus",
        "كرة حمراء كبيرة في المرج الأخضر",
        HOSTILE,
    ]
    rows = 240
    pl.DataFrame(
        {
            "image": [pictures[i % 40][0] for i in range(rows)],
            "text": [f"{texts[i % 5]} {i}" if i % 5 != 1 else "two" for i in range(rows)],
            "url": [
                f"http://h{i % 3}.example.test/{i}.jpg"
                if i % 5 != 4
                else f"http://evil.test/{HOSTILE}{i}"
                for i in range(rows)
            ],
            "level": [float((i * 37) % 100) for i in range(rows)],
            "odd": [float("nan"), float("inf"), 1.0, 2.0] * (rows // 4),
            "scene": [f"s{i}" for i in range(rows)],
            "kind": [("ball", "ball", "tree", None)[i % 4] for i in range(rows)],
        }
    ).write_parquet(folder / "pairs.parquet")
    (folder / "p.yaml").write_text(FILE)
    Pipeline.from_yaml(folder / "p.yaml").run(local=True, progress=False)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, pictures: list[tuple[bytes, str]]) -> Path:
    return finished_run(tmp_path_factory.mktemp("report"), pictures)


@pytest.fixture(scope="module")
def run(folder: Path) -> Path:
    return next((folder / "workspace/runs").iterdir())


@pytest.fixture(scope="module")
def compared(folder: Path, run: Path) -> Path:
    """The page that compares the run with one of another threshold."""
    other = Pipeline.from_yaml(folder / "p.yaml", {"stages.leveled.keep": "level >= 60"})
    second = other.run(local=True, progress=False, replace=True)
    return Path(rebuild([str(run), second.folder]))


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
