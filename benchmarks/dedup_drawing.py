"""What benchmarks/dedup.py measured, as tables and as a drawing of cost over rows."""

import math
from collections.abc import Iterable
from typing import Any

COLOURS = ("#2a6f97", "#c1440e", "#4f772d", "#7b2cbf", "#b8860b", "#444444", "#d6336c")
WIDTH, HEIGHT, EDGE, BETWEEN = 420, 300, 60, 90


def tables(lines: Iterable[dict[str, Any]]) -> str:
    """Markdown, one row for each contestant at each size."""
    head = "| part | rows | contestant | s | CPU s | recall | peak MB, of which data |"
    found = [head, "| --- | ---: | --- | ---: | ---: | ---: | ---: |"]
    for line in sorted(lines, key=lambda one: (one["part"], one["rows"], one["s"])):
        name = line["contestant"] + (f", {line['index']}" if "index" in line else "")
        recall = f"{line['recall']:.3f}" if "recall" in line else ""
        found.append(
            f"| {line['part']} | {line['rows']:,} | {name} | {line['s']:.1f} | {line['cpu_s']:.1f} "
            f"| {recall} | {line['peak_mb']:,}, {line['data_mb']:,} |"
        )
    return "\n".join(found)


def drawn(lines: Iterable[dict[str, Any]]) -> str:
    """An SVG: seconds and peak memory over rows, both axes logarithmic, a line for each part."""
    curves: dict[str, list[dict[str, Any]]] = {}
    for line in sorted(lines, key=lambda one: int(one["rows"])):
        if line["contestant"] == "pairmill":
            curves.setdefault(line["part"], []).append(line)
    width = 2 * (WIDTH + EDGE) + BETWEEN
    sides = [
        panel(curves, "s", "seconds", EDGE),
        panel(curves, "peak_mb", "peak memory, MB, data included", EDGE + WIDTH + BETWEEN),
    ]
    names = [
        f'<text x="{EDGE + 130 * number}" y="{HEIGHT + 90}" fill="{colour}">{part}</text>'
        for number, (part, colour) in enumerate(zip(curves, COLOURS, strict=False))
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {HEIGHT + 110}" role="img" '
        'font-family="sans-serif" font-size="13"><title>Deduplication: seconds and peak memory '
        f'over rows</title><rect width="100%" height="100%" fill="white"/>'
        f"{''.join(sides)}{''.join(names)}</svg>\n"
    )


def panel(curves: dict[str, list[dict[str, Any]]], key: str, title: str, left: int) -> str:
    """One pair of axes with its curves."""
    points = [line for curve in curves.values() for line in curve]
    across = decades(line["rows"] for line in points)
    up = decades(line[key] for line in points)

    def place(line: dict[str, Any]) -> tuple[float, float]:
        x = (math.log10(line["rows"]) - across[0]) / (across[-1] - across[0])
        y = (math.log10(max(line[key], 1e-3)) - up[0]) / (up[-1] - up[0])
        return left + x * WIDTH, 30 + HEIGHT * (1 - y)

    parts = [f'<text x="{left}" y="18" font-weight="bold">{title}</text>']
    for decade in across:
        x, _ = place({"rows": 10**decade, key: 1})
        parts += [line_of([(x, 30), (x, 30 + HEIGHT)], "#ddd", 1)]
        parts += [f'<text x="{x}" y="{HEIGHT + 50}" text-anchor="middle">{10**decade:,}</text>']
    for decade in up:
        _, y = place({"rows": 10 ** across[0], key: 10.0**decade})
        parts += [line_of([(left, y), (left + WIDTH, y)], "#ddd", 1)]
        shown = f"{10.0**decade:,g}"
        parts += [f'<text x="{left - 6}" y="{y + 4}" text-anchor="end">{shown}</text>']
    for curve, colour in zip(curves.values(), COLOURS, strict=False):
        places = [place(line) for line in curve]
        parts += [line_of(places, colour, 2)]
        for (x, y), line in zip(places, curve, strict=True):
            told = f"{line['rows']:,} rows: {line['s']:.2f} s, {line['peak_mb']:,} MB"
            parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"><title>{told}'
                      "</title></circle>"]  # fmt: skip
    return "".join(parts)


def decades(values: Iterable[float]) -> list[int]:
    """Powers of ten around some values."""
    logs = [math.log10(max(value, 1e-3)) for value in values]
    return list(
        range(math.floor(min(logs)), max(math.ceil(max(logs)), math.floor(min(logs)) + 1) + 1)
    )


def line_of(places: list[tuple[float, float]], colour: str, width: int) -> str:
    """A line through some places."""
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="{width}"/>'
