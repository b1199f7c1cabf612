"""Deduplication against libraries that do one kind of it: seconds, peak memory, recall.

`python benchmarks/dedup.py exact text perceptual pdq semantic scale` runs the named parts, each
contestant in a process of its own, one after the other, on the same data.  `--only rensa` runs one
contestant, `--rows` a share of each part's rows.  datasketch, rensa, datatrove and faiss pull other
versions along, so `--peers FOLDER` names a folder of virtual environments (`v-rensa`, …); a peer
that is not there is left out and said so.  `--results FILE` appends what is measured, a line of
JSON each; `--table FILE` prints such a file as tables, `--draw FILE SVG` draws its scale.
"""

import argparse
import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from benchmarks.dedup_drawing import drawn, tables  # noqa: E402

PARTS = {
    "exact": (10_000_000, ("pairmill", "polars")),
    "text": (1_000_000, ("pairmill", "rensa-64", "rensa-128", "datasketch", "datatrove")),
    "perceptual": (1_000_000, ("pairmill", "faiss")),
    "pdq": (200_000, ("pairmill", "faiss")),
    "semantic": (200_000, ("pairmill", "faiss")),
}
OWN = ("pairmill", "polars")
"""Contestants that this environment has."""
SCALE = {
    "exact": (10**5, 10**6, 10**7),
    "perceptual": (10**5, 10**6, 10**7),
    "pdq": (10**4, 10**5, 10**6),
    "text": (10**5, 10**6, 3 * 10**6),
    "semantic": (10**4, 10**5, 4 * 10**5),
    "one_look": (10**4, 10**5, 10**6),
    "equal_hashes": (10**3, 10**4),
}
"""Rows of each part whose cost is drawn: as many as fit a machine of 24 GB and some minutes."""


def contest(part: str, name: str, rows: int, peers: Path, limit_s: float) -> dict[str, Any]:
    """What one contestant tells of itself, as JSON on its last line."""
    of = name.partition("-")[0]
    python = sys.executable if of in OWN else str(peers / f"v-{of}/bin/python")
    if not Path(python).exists():
        return {"error": f"no {python}"}
    command = [python, str(HERE / "dedup_parts.py"), part, name, str(rows)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=HERE.parent, timeout=limit_s
        )
    except subprocess.TimeoutExpired:
        return {"error": f"not done after {limit_s:g} s"}
    if done.returncode:
        return {"error": (done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[-1]}
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, "scale", []])
    parser.add_argument("--only", nargs="*", help="contestants, or parts of `scale`")
    parser.add_argument("--rows", type=float, default=1.0, help="share of each part's rows")
    parser.add_argument("--peers", type=Path, default=Path("peers"))
    parser.add_argument("--limit", type=float, default=3600, help="seconds for each contestant")
    parser.add_argument("--results", type=Path)
    parser.add_argument("--table", type=Path)
    parser.add_argument("--draw", type=Path, nargs=2)
    given = parser.parse_args()
    if given.table:
        print(tables(read(given.table)))
    if given.draw:
        given.draw[1].write_text(drawn(read(given.draw[0])), "utf-8")
    for part in given.parts:
        if part == "scale":
            jobs = [(p, "pairmill", rows) for p, sizes in SCALE.items() for rows in sizes]
            jobs = [job for job in jobs if not given.only or job[0] in given.only]
        else:
            most, names = PARTS[part]
            jobs = [(part, name, most) for name in names if not given.only or name in given.only]
        for kind, name, most in jobs:
            rows = int(most * given.rows)
            found = contest(kind, name, rows, given.peers, given.limit)
            when = f"{datetime.now(UTC):%Y-%m-%d %H:%M}"
            line = {"part": kind, "contestant": name, "rows": rows, **found, "at": when}
            print(json.dumps(line), flush=True)
            if given.results:
                with given.results.open("a") as file:
                    file.write(json.dumps(line) + "\n")


def read(file: Path) -> list[dict[str, Any]]:
    """What was measured; of the same part, contestant and rows the last that was no error."""
    found: dict[tuple[str, str, int], dict[str, Any]] = {}
    for text in file.read_text().splitlines():
        line = json.loads(text)
        if "error" not in line:
            found[line["part"], line["contestant"], line["rows"]] = line
    return list(found.values())


if __name__ == "__main__":
    main()
