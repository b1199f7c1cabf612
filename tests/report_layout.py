"""How a page of the report looks, in figures that are the same on every machine: where its parts
lie, what sticks out or covers something else, and each part as a picture of twelve by twelve greys.
"""

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SIZES = {"desk": {"width": 1280, "height": 900}, "phone": {"width": 390, "height": 844}}
LOOK = (Path(__file__).parent / "report_layout.js").read_text()
GREYS = 12
"""Sides of the small picture of a part; letters are greys in it, whatever their font."""
PARTS = {
    "head": "header", "funnel": "#funnel", "score": "[data-score=level]",
    "mix": "#mix .card", "sample": ".sample:has(img)", "run": "#run",
}  # fmt: skip
PLACE, HEIGHT, GREY = 0.01, 0.3, 16.0
"""What may differ: share of the page's width, share of a height (fonts break lines differently),
and steps of grey of 255 in the mean of a part.
"""


def look_at(page: Any) -> dict[str, Any]:
    """The figures of an open page."""
    found: dict[str, Any] = page.evaluate(LOOK)
    found["parts"] = {}
    for name, selector in PARTS.items():
        part = page.locator(selector).first
        if part.count():
            small = Image.open(io.BytesIO(part.screenshot(animations="disabled"))).convert("L")
            greys = np.asarray(small.resize((GREYS, GREYS), Image.Resampling.BOX))
            found["parts"][name] = [bytes(line).hex() for line in greys]
    return found


def differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What of a page looks otherwise than before, a line each."""
    told = [f"{kind}: {now[kind]}" for kind in ("outside", "cut", "covered", "small") if now[kind]]
    for kind in ("letters", "colours"):
        told += [
            f"{name}: {kind} {value}, now {now[kind].get(name)}"
            for name, value in before[kind].items()
            if now[kind].get(name) != value
        ]
    if list(before["sections"]) != list(now["sections"]):
        told.append(f"sections: {list(before['sections'])}, now {list(now['sections'])}")
        return told
    for name, old in before["sections"].items():
        new = now["sections"][name]
        if old["columns"] != new["columns"]:
            told.append(f"{name}: {old['columns']} columns, now {new['columns']}")
        for side in ("left", "right"):
            if abs(old[side] - new[side]) > PLACE:
                told.append(f"{name}: its {side} side at {old[side]}, now {new[side]}")
        if abs(old["height"] - new["height"]) > HEIGHT * old["height"]:
            told.append(f"{name}: {old['height']} lines high, now {new['height']}")
    for name, lines in before["parts"].items():
        far = distance(lines, now["parts"].get(name, ["00" * GREYS] * GREYS))
        if far > GREY:
            told.append(f"{name}: looks otherwise, by {far:.0f} steps of grey")
    return told


def distance(a: list[str], b: list[str]) -> float:
    """Steps of grey, of 255, between two small pictures in the mean."""
    first, second = (np.frombuffer(bytes.fromhex("".join(lines)), np.uint8) for lines in (a, b))
    return float(np.abs(first.astype(float) - second).mean())
