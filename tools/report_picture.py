"""docs/report.png from a finished demo: `make demo`, then
`python tools/report_picture.py demo/workspace/runs/RUN/report/index.html docs/report.png`.

Whole parts of the page, one below the other: its head and funnel, two scores, two clusters of
duplicates, three samples.  Take it on a calm machine: what fails there belongs to the world.
"""

import argparse
import io
import shutil
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

WIDTH_PX, GAP_PX = 1024, 24
PARTS = (
    ("header", "header", 1), ("#funnel h2", "#funnel table", 1),
    ("#scores h2", "#scores .grid .card", 2), ("#duplicates h2", "#duplicates .grid .card", 2),
    ("#samples h2", "#samples .sample:has(img)", 3),
)  # fmt: skip
"""A heading, the parts of the page below it, and how many of them stand beside one another."""
PREPARED = """folder => {
  for (const p of document.querySelectorAll("header p.small")) {
    p.textContent = p.textContent.replaceAll(folder, "");
  }
  for (const sample of document.querySelectorAll(".sample")) {
    if (!sample.querySelector("img")) sample.remove();
  }
  return Promise.all([...document.images].map((image) => {
    image.loading = "eager";
    return image.decode().catch(() => null);
  }));
}"""
"""Leaves the folder of the clone away, which is another on every machine, and shows the pictures."""
STYLE = "nav { position: static } .sample { content-visibility: visible }"


def shots(page: Any, selector: str, count: int) -> Image.Image:
    """So many parts of a kind as one picture, as they stand on the page."""
    found = page.locator(selector).all()[:count]
    boxes = [part.bounding_box() for part in found]
    left, top = min(b["x"] for b in boxes), min(b["y"] for b in boxes)
    right = max(b["x"] + b["width"] for b in boxes)
    bottom = max(b["y"] + b["height"] for b in boxes)
    clip = {"x": left, "y": top, "width": right - left, "height": bottom - top}
    return Image.open(io.BytesIO(page.screenshot(clip=clip, full_page=True)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("page", type=Path, help="index.html of a report")
    parser.add_argument("picture", type=Path, help="where the picture goes")
    options = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(
            viewport={"width": WIDTH_PX, "height": 1200}, color_scheme="light", bypass_csp=True
        )
        page.goto(f"file://{options.page.absolute()}")
        page.add_style_tag(
            content="nav { position: static } .sample { content-visibility: visible }"
        )
        page.evaluate(PREPARED, f"{Path.cwd()}/")
        parts = []
        for heading, selector, count in PARTS:
            if page.locator(selector).count() >= count:
                parts += [shots(page, heading, 1)] if heading != selector else []
                parts.append(shots(page, selector, count))
        browser.close()
    height = sum(p.height + GAP_PX for p in parts) + GAP_PX
    whole = Image.new("RGB", (WIDTH_PX, height), "white")
    at = GAP_PX
    for part in parts:
        whole.paste(part.convert("RGB"), ((WIDTH_PX - part.width) // 2, at))
        at += part.height + GAP_PX
    whole.quantize(128).save(options.picture, optimize=True)
    print(
        f"{options.picture}: {whole.width}×{whole.height}, {options.picture.stat().st_size:,} bytes"
    )


if __name__ == "__main__":
    main()
