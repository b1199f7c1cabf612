"""What sources of extreme shapes cost: very many tiny files, and one very large file.

    python benchmarks/reading_shapes.py [--files 100000] [--rows 100000000] [--shard 16384]

Tiny files hold one to five rows of url and text, as Parquet or JSON lines; the large one a column
of short texts in row groups of a million.  Each is read into a workspace by a process of its own
with as many workers as there are cores, start-up included.  Shards of reasonable size have about
as many rows as were asked for, however the rows lie in files.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).parent.parent))
from benchmarks.columnar import measured
from benchmarks.measuring import machine
from benchmarks.reading import OURS

GROUP_ROWS = 1_000_000


def write_tiny(folder: Path, files: int, kind: str) -> int:
    """Files of one to five rows; gives how many rows."""
    chance, done = random.Random(0), 0
    folder.mkdir()
    for number in range(files):
        count = chance.randint(1, 5)
        rows = [
            {"url": f"http://x.test/{i}.jpg", "text": f"a caption of picture {i}"}
            for i in range(done, done + count)
        ]
        done += count
        file = folder / f"{number:06}.{kind}"
        if kind == "jsonl":
            file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        else:
            pq.write_table(pa.Table.from_pylist(rows), file)
    return done


def write_large(file: Path, rows: int) -> None:
    """One column of short texts."""
    schema = pa.schema([("text", pa.string())])
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        for first in range(0, rows, GROUP_ROWS):
            numbers = pa.array(np.arange(first, min(rows, first + GROUP_ROWS)))
            texts = numbers.cast(pa.string())
            writer.write_table(pa.table([texts], schema=schema))


def read(folder: Path, source: Path, what: str, files: int, rows: int, shard: int) -> None:
    """Prints a line of the table."""
    with tempfile.TemporaryDirectory(dir=folder) as workspace:
        told = Path(workspace, "told")
        code = f"import sys; sys.stdout = open({str(told)!r}, 'w')\n{OURS}"
        arguments = [str(source), workspace, str(rows), str(shard)]
        figure = measured([sys.executable, "-c", code, *arguments], folder)
        count, least, most = map(int, told.read_text().split())
        size = subprocess.check_output(["du", "-sm", workspace], text=True).split()[0]
    print(
        f"| {what} | {files:,} | {rows:,} | {figure.wall_s:,.0f} | {rows / figure.wall_s:,.0f} "
        f"| {files / figure.wall_s:,.0f} | {figure.cpu_s:,.0f} | {figure.peak_mb:,.0f} "
        f"| {count:,} | {least:,} to {most:,} | {int(size):,} |",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--rows", type=int, default=100_000_000)
    parser.add_argument("--shard", type=int, default=16_384)
    parser.add_argument("--folder", type=Path, default=None)
    options = parser.parse_args()
    print(f"{machine()}\n")
    print(
        "| source | files | rows | seconds | rows/s | files/s | CPU-s | peak MB | shards "
        "| rows in each | workspace MB |"
    )
    print("| --- |" + " ---: |" * 10)
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        for kind in ("parquet", "jsonl") if options.files else ():
            rows = write_tiny(folder / kind, options.files, kind)
            what = f"tiny {kind}"
            read(folder, folder / kind, what, options.files, rows, options.shard)
        if options.rows:
            write_large(folder / "large.parquet", options.rows)
            read(folder, folder / "large.parquet", "one file", 1, options.rows, options.shard)


if __name__ == "__main__":
    main()
