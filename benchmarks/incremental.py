"""What an edit of the input costs: rows computed against rows that are new, and seconds against the
first run.

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
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa

from pairmill import Pipeline, Stage, StageConfig, column

FILE = """
name: grows
source: {type: pairs, path: in}
stages:
  - {stage: text_rules, keep: text_words > 1}
  - {stage: "benchmarks.incremental:SlowStage"}
  - {stage: dedup, on: [text], keep: dup_of IS NULL}
outputs: [{type: uids, path: out}]
"""


class SlowStage(Stage):
    """The length of a text, slowly."""

    Config = StageConfig
    prefix = "slow"

    def reads(self) -> list[str]:
        return ["text"]

    def writes(self) -> pa.Schema:
        return pa.schema([column(self.column(), pa.int64(), "length of the text")])

    def __call__(self, rows: pa.Table) -> pa.Table:
        time.sleep(1e-4 * rows.num_rows)
        return pa.table([[len(t) for t in rows["text"].to_pylist()]], schema=self.writes())


def table(file: int, rows: int) -> pl.DataFrame:
    numbers = range(file * rows, (file + 1) * rows)
    return pl.DataFrame(
        {
            "uid": [hashlib.md5(f"{i}".encode()).hexdigest() for i in numbers],
            "text": [f"a text of row {i} of file {file}" for i in numbers],
            "url": [f"http://x.test/{i}" for i in numbers],
        }
    )


def run(folder: Path) -> tuple[float, int, dict[str, float]]:
    """Seconds, rows that the slow stage computed, and seconds of some parts: reading the source,
    writing the report.
    """
    start = time.monotonic()
    result = Pipeline.from_yaml(folder / "p.yaml").run(local=True, progress=False)
    seconds = time.monotonic() - start
    stages: dict[str, Any] = json.loads((Path(result.folder) / "metrics.json").read_text())[
        "stages"
    ]
    return seconds, int(stages.get("slow", {}).get("computed", 0)), result.seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=100)
    parser.add_argument("--rows", type=int, default=2000)
    args = parser.parse_args()
    chance = random.Random(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "in").mkdir()
        (folder / "p.yaml").write_text(FILE)
        for i in range(args.files):
            table(i, args.rows).write_parquet(folder / f"in/{i:05}.parquet")
        first, computed, parts = run(folder)
        print(
            "| edit | rows new or changed | rows computed | seconds | of the first run "
            "| reading, report |"
        )
        print("| --- | ---: | ---: | ---: | ---: | ---: |")
        every = args.files * args.rows
        print(
            f"| first run | {every:,} | {computed:,} | {first:.1f} | | {some(parts)} |", flush=True
        )

        def told(edit: str, new: int) -> None:
            seconds, computed, parts = run(folder)
            share = f"{seconds / first:.1%}"
            figures = f"{computed:,} | {seconds:.1f} | {share} | {some(parts)}"
            print(f"| {edit} | {new:,} | {figures} |", flush=True)

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


def some(parts: dict[str, float]) -> str:
    """Seconds of reading the source and of the report."""
    return f"{parts.get('table', 0):.1f}, {parts.get('report', 0):.1f}"


def change(file: Path, places: list[int]) -> None:
    """Other texts for some rows."""
    frame = pl.read_parquet(file)
    texts = frame["text"].to_list()
    for place in places:
        texts[place] = f"{texts[place]} changed"
    frame.with_columns(text=pl.Series(texts)).write_parquet(file)


if __name__ == "__main__":
    main()
