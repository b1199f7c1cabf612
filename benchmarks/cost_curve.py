"""What a row of a first pass over metadata costs, by how many rows there are; and memory.

    python benchmarks/cost_curve.py [--rows 10000,100000,1000000,10000000] [--work sample]
        [--figures FILE] [--draw docs/drawings/cost.svg]

Each point is one run of pairmill and one of its peer (`columnar.py` says which), start-up included.
Points are added to FILE, a line each, so that they can be taken one after another; the drawing has
all that stand there.
"""

import argparse
import json
import math
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
from benchmarks.columnar import BESIDE, Figure, compiled, ours, theirs, write_rows
from benchmarks.measuring import machine
from tools.drawings import KEPT, LINE, MARK, SOFT, drawing, text

LEFT, TOP, WIDTH, HEIGHT = 70, 50, 480, 230
"""Of the area in which lines are drawn."""


@dataclass(frozen=True)
class Point:
    """One run."""

    work: str
    who: str
    rows: int
    figure: Figure

    @property
    def us(self) -> float:
        """Microseconds for a row."""
        return 1e6 * self.figure.wall_s / self.rows

    @property
    def cpu_us(self) -> float:
        """Microseconds of CPU for a row."""
        return 1e6 * self.figure.cpu_s / self.rows


def measured_points(work: str, rows: int) -> list[Point]:
    """pairmill and its peer on a file of so many rows."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        compiled(folder, work)
        source = folder / "rows.parquet"
        write_rows(source, rows)
        peer, own = theirs(folder, source, work), ours(folder, source, work, [])
    return [Point(work, BESIDE[work], rows, peer), Point(work, "pairmill", rows, own)]


def read_points(file: Path) -> list[Point]:
    """The points that stand in a file."""
    lines = map(json.loads, file.read_text().splitlines())
    return [Point(**{**line, "figure": Figure(**line["figure"])}) for line in lines]


def curves(points: list[Point]) -> str:
    """The drawing: time for a row against the number of rows, both by powers of ten."""
    lows, highs = zip(*((math.log10(p.rows), math.log10(p.us)) for p in points), strict=True)
    left, right = math.floor(min(lows)), math.ceil(max(lows))
    low, high = math.floor(min(highs)), math.ceil(max(highs))

    def place(rows: float, us: float) -> tuple[float, float]:
        return (
            LEFT + WIDTH * (math.log10(rows) - left) / (right - left),
            TOP + HEIGHT * (high - math.log10(us)) / (high - low),
        )

    parts = [text(20, 28, f"{points[0].work}: microseconds for a row, start-up included")]
    for power in range(low, high + 1):
        _, y = place(10**left, 10.0**power)
        parts.append(f'<path d="M{LEFT} {y:.1f}H{LEFT + WIDTH}" stroke="{LINE}"/>')
        parts.append(text(LEFT - 8, y + 4, f"{10.0**power:g}", 12, SOFT, "end"))
    for power in range(left, right + 1):
        x, _ = place(10.0**power, 10.0**low)
        parts.append(text(x, TOP + HEIGHT + 20, f"{10**power:,}", 12, SOFT, "middle"))
    parts.append(text(LEFT + WIDTH / 2, TOP + HEIGHT + 40, "rows", 12, SOFT, "middle"))
    for who, colour in zip(dict.fromkeys(p.who for p in points), (KEPT, MARK), strict=True):
        places = [place(p.rows, p.us) for p in sorted(points, key=lambda p: p.rows) if p.who == who]
        line = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
        parts.append(f'<path d="M{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>' for x, y in places]
        parts.append(text(places[-1][0] + 8, places[-1][1] + 4, who, 13, colour))
    return drawing(LEFT + WIDTH + 90, TOP + HEIGHT + 56, "Cost of a row by rows", *parts)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", default="10000,100000,1000000,10000000")
    parser.add_argument("--work", default="sample")
    parser.add_argument("--figures", type=Path)
    parser.add_argument("--draw", type=Path)
    options = parser.parse_args()
    figures = options.figures or Path(tempfile.mkdtemp()) / "figures.jsonl"
    for rows in map(int, filter(None, options.rows.split(","))):
        with figures.open("a") as stream:
            for point in measured_points(options.work, rows):
                stream.write(json.dumps(asdict(point)) + "\n")
    points = [p for p in read_points(figures) if p.work == options.work]
    print(f"{machine()}; one run each\n")
    print("| rows | | rows/s | µs/row | CPU µs/row | peak MB |")
    print("| ---: | --- | ---: | ---: | ---: | ---: |")
    for p in sorted(points, key=lambda p: (p.rows, p.who)):
        told = f"{p.rows / p.figure.wall_s:,.0f} | {p.us:.2f} | {p.cpu_us:.2f}"
        print(f"| {p.rows:,} | {p.who} | {told} | {p.figure.peak_mb:,.0f} |")
    if options.draw is not None:
        options.draw.write_text(curves(points), "utf-8")


if __name__ == "__main__":
    main()
