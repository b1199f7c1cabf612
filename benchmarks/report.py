"""Time and memory of the report over two million rows: what a curator waits for after a run.

    python benchmarks/report.py [--rows 2000000]

A pool of generated texts and scores goes through text rules and three gates, and has its report,
which reads as many rows as a twentieth of the run's time is worth.  Then the report over all rows
is timed, in a process of its own in which everything else comes from the workspace.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl
from measuring import machine

PIPELINE = """
name: million
source: {{type: pairs, path: rows.parquet, rows_per_shard: 10000}}
stages:
  - {{stage: text_rules, keep: text_words > 2 AND NOT text_boilerplate}}
  - {{stage: filter, name: by_score, keep: score >= 0.28}}
  - {{stage: filter, name: by_side, keep: side >= 200}}
outputs: []
"""


def write_rows(folder: Path, rows: int) -> None:
    rng = np.random.default_rng(0)
    words = np.array(
        (
            "a the red old house boat on in near lake photo of dog cat car street night IMG view by"
        ).split()
    )
    picks, lengths = rng.integers(0, len(words), (rows, 14)), rng.integers(1, 15, rows)
    texts = [" ".join(words[p[:n]]) for p, n in zip(picks, lengths, strict=True)]
    frame = pl.DataFrame(
        {
            "url": [
                f"https://h{h}.site{h % 900}.test/{i}.jpg"
                for i, h in enumerate(rng.integers(0, 20_000, rows))
            ],
            "text": texts,
            "score": rng.normal(0.28, 0.05, rows).astype(np.float32),
            "side": rng.integers(60, 1400, rows),
            "lang_tag": rng.choice(["en", "de", "ar"], rows),
        }
    )
    frame.write_parquet(folder / "rows.parquet")
    (folder / "p.yaml").write_text(PIPELINE.format())


def timed(folder: Path, whole: bool) -> None:
    """Runs in the child.  `whole`: the report reads all rows."""
    import pairmill.report.page as page
    from pairmill import Pipeline
    from pairmill.report.gather import MOST_ROWS

    real = page.write_report
    if whole:
        page.rows_worth = lambda run_s: MOST_ROWS
    began = time.monotonic()

    def measured(*args: object) -> str:
        before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
        path = real(*args)  # type: ignore[arg-type]
        print(
            json.dumps(
                {
                    "seconds": time.monotonic() - start,
                    "run": time.monotonic() - began,
                    "before": before,
                    "most": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
                }
            )
        )
        return path

    page.write_report = measured  # type: ignore[assignment]
    Pipeline.from_yaml(folder / "p.yaml").run(local=True, progress=False, processes=None)


def child(folder: Path, mode: str) -> dict[str, float]:
    """What the report cost in a process of its own."""
    command = [sys.executable, __file__, mode, str(folder)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=2_000_000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_rows(folder, args.rows)
        first, told = (child(folder, mode) for mode in ("run", "whole"))
        page = next(folder.glob("workspace/runs/*/report/index.html"))
        print(f"{machine()}; {args.rows:,} rows")
        share = first["seconds"] / first["run"]
        print(f"in the run: {first['seconds']:.1f} s, {share:.1%} of it (goal 5%)")
        print(
            f"over all rows: {told['seconds']:.1f} s (goal 5), peak memory of the process "
            f"{told['most'] / 1024:.0f} MB (goal 2000), page "
            f"{page.stat().st_size / 1e6:.1f} MB"
        )


if __name__ == "__main__":
    mode = sys.argv[1] if len(sys.argv) > 1 else ""
    timed(Path(sys.argv[2]), mode == "whole") if mode in ("run", "whole") else main()
