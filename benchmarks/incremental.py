"""What an edit of the input costs: rows computed against rows that are new, and seconds against the
first run; CPU seconds of this process and of its worker processes besides.

    python benchmarks/incremental.py [--files 100] [--rows 2000]

100 files of 2,000 rows are run; then one more file, one less, one row changed in the middle, 1% of
the rows changed at random.  The stage takes 100 µs a row, a hundredth of a small model's time.
"""

import argparse
import hashlib
import json
import random
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from benchmarks.measuring import compiled, own_cpu_s
from pairmill import Pipeline

FILE = """
name: grows
source: {type: pairs, path: in}
stages:
  - {stage: text_rules, keep: text_words > 1}
  - {stage: "benchmarks.slow_stage:SlowStage"}
  - {stage: dedup, on: [text], keep: dup_of IS NULL}
outputs: [{type: uids, path: out}]
"""


def table(file: int, rows: int) -> pl.DataFrame:
    numbers = range(file * rows, (file + 1) * rows)
    return pl.DataFrame(
        {
            "uid": [hashlib.md5(f"{i}".encode()).hexdigest() for i in numbers],
            "text": [f"a text of row {i} of file {file}" for i in numbers],
            "url": [f"http://x.test/{i}" for i in numbers],
        }
    )


@dataclass(frozen=True)
class Run:
    """What a run took.  `cpu_s`: this process, its worker processes; `parts`: seconds by part."""

    seconds: float
    cpu_s: tuple[float, float]
    computed: int
    """Rows that the slow stage computed."""
    parts: dict[str, float]

    def line(self, edit: str, new: int, first: "Run") -> str:
        """As a line of the table."""
        shares = "|"
        if first is not self:
            shares = (
                f"{self.seconds / first.seconds:.1%} | {sum(self.cpu_s) / sum(first.cpu_s):.1%}"
            )
        driver, others = self.cpu_s
        reading, report = (self.parts.get(part, 0) for part in ("table", "report"))
        return (
            f"| {edit} | {new:,} | {self.computed:,} | {self.seconds:.1f} "
            f"| {driver:.1f} + {others:.1f} | {shares} | {reading:.1f}, {report:.1f} |"
        )


def run(folder: Path) -> Run:
    """Runs the pipeline as it is."""
    start, cpu = time.monotonic(), own_cpu_s()
    result = Pipeline.from_yaml(folder / "p.yaml").run(local=True, progress=False)
    seconds = time.monotonic() - start
    driver, others = (after - before for after, before in zip(own_cpu_s(), cpu, strict=True))
    metrics = json.loads((Path(result.folder) / "metrics.json").read_text())
    computed = int(metrics["stages"].get("slow", {}).get("computed", 0))
    return Run(seconds, (driver, others), computed, result.seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=100)
    parser.add_argument("--rows", type=int, default=2000)
    args = parser.parse_args()
    compiled()
    chance = random.Random(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "in").mkdir()
        (folder / "p.yaml").write_text(FILE)
        for i in range(args.files):
            table(i, args.rows).write_parquet(folder / f"in/{i:05}.parquet")
        first = run(folder)
        print(
            "| edit | rows new or changed | rows computed | seconds | CPU s "
            "| seconds, of the first run | CPU, of the first run | reading, report |"
        )
        print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
        print(first.line("first run", args.files * args.rows, first), flush=True)

        def told(edit: str, new: int) -> None:
            print(run(folder).line(edit, new, first), flush=True)

        table(args.files, args.rows).write_parquet(folder / f"in/{args.files // 2:05}b.parquet")
        told("one more file, in the middle", args.rows)
        (folder / f"in/{args.files // 3:05}.parquet").unlink()
        told("one file less", 0)
        change(folder / f"in/{args.files // 4:05}.parquet", [args.rows // 2])
        told("one row changed", 1)
        files = sorted((folder / "in").glob("*"))
        total = 0
        for file in files:
            places = [i for i in range(args.rows) if chance.random() < 0.01]
            change(file, places)
            total += len(places)
        told("1% of the rows changed", total)
        told("nothing", 0)


def change(file: Path, places: list[int]) -> None:
    """Other texts for some rows."""
    frame = pl.read_parquet(file)
    texts = frame["text"].to_list()
    for place in places:
        texts[place] = f"{texts[place]} changed"
    frame.with_columns(text=pl.Series(texts)).write_parquet(file)


if __name__ == "__main__":
    main()
