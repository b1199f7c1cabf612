"""Deduplication against libraries that do one kind of it: seconds, peak memory, recall.

`python benchmarks/dedup.py exact text perceptual pdq semantic scale` runs the named parts, each
contestant in a process of its own, one after the other, on the same data.  datasketch, rensa,
datatrove and faiss are found in the environment `--peers` (they pull other versions along); a peer
that is not there is left out and said so.  `--rows` scales every part.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
PARTS = {
    "exact": (10_000_000, ("pairmill", "polars")),
    "text": (1_000_000, ("pairmill", "rensa", "datasketch", "datatrove")),
    "perceptual": (1_000_000, ("pairmill", "faiss")),
    "pdq": (200_000, ("pairmill", "faiss")),
    "semantic": (200_000, ("pairmill", "faiss")),
}
OWN = ("pairmill", "polars")
"""Contestants that this environment has."""


def contest(part: str, name: str, rows: int, peers: str) -> dict[str, float | str]:
    """What one contestant tells of itself, as JSON on its last line."""
    python = sys.executable if name in OWN else peers
    done = subprocess.run(
        [python, str(HERE / "dedup_parts.py"), part, name, str(rows)],
        capture_output=True,
        text=True,
        cwd=HERE.parent,
    )
    if done.returncode:
        return {"contestant": name, "error": (done.stderr.strip().splitlines() or ["?"])[-1]}
    found: dict[str, float | str] = json.loads(done.stdout.strip().splitlines()[-1])
    return {"contestant": name, **found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", default=[*PARTS], choices=[*PARTS, "scale"])
    parser.add_argument("--rows", type=float, default=1.0, help="share of each part's rows")
    parser.add_argument("--peers", default=sys.executable, help="Python that has the peers")
    given = parser.parse_args()
    for part in given.parts:
        if part == "scale":
            for rows in (10**5, 10**6, 10**7):
                show("scale, exact", rows, contest("exact", "pairmill", rows, given.peers))
            for rows in (10**5, 10**6):
                show(
                    "scale, perceptual", rows, contest("perceptual", "pairmill", rows, given.peers)
                )
                show("scale, text", rows, contest("text", "pairmill", rows, given.peers))
            show("one look", 10**5, contest("one_look", "pairmill", 10**5, given.peers))
            found = contest("equal_hashes", "pairmill", 10**4, given.peers)
            show("equal hashes, different pictures", 10**4, found)
            continue
        most, names = PARTS[part]
        for name in names:
            rows = int(most * given.rows)
            show(part, rows, contest(part, name, rows, given.peers))


def show(part: str, rows: int, found: dict[str, float | str]) -> None:
    """One line of the table."""
    told = ", ".join(f"{key} {value}" for key, value in found.items() if key != "contestant")
    print(f"| {part} | {rows:,} | {found['contestant']} | {told} |", flush=True)


if __name__ == "__main__":
    main()
