"""What reading a source into a workspace costs beside pyarrow, which reads the same file whole and
writes it as Parquet.

    python benchmarks/reading.py [--rows 2000000] [--times 1] [--formats parquet,csv,jsonl]
        [--shards 32768,1024]

Every figure is a process of its own, start-up included, the median of several: pairmill with as
many worker processes as there are cores, which gives every row its uid, place and digests, and
stores shards of the size that a pipeline has whose stages are cheap, and of the usual one.  CPU
seconds are those of the process and all it started; memory is the sum of their proportional sets.
"""

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
from benchmarks.columnar import Figure, measured, median, write_rows
from benchmarks.measuring import machine

OURS = """
from pairmill.allocators import choose_allocators
choose_allocators()
import sys
from functools import partial
from pairmill.plan.plan import pool_schema_of
from pairmill.sources.tables import PairsConfig, TableSource
from pairmill.work.crew import Crew
from pairmill.work.crew_size import cores
from pairmill.workspace.ingest import build_table
from pairmill.workspace.reading import Hands
from pairmill.workspace.storage import Storage
config = PairsConfig(path=sys.argv[1], rows_per_shard=int(sys.argv[4]))
source, crew = TableSource(config), Crew([])
hands = Hands(cores(), partial(crew.run, count=cores()), threads=True)
schema = pool_schema_of(source.schema())
table = build_table(Storage(sys.argv[2]), source, "0" * 16, schema, hands=hands)
crew.close()
assert int(table.rows.sum()) == int(sys.argv[3]) and not table.unreadable
print(len(table), int(table.rows.min()), int(table.rows.max()))
"""
PEERS = {
    "parquet": "pq.read_table(sys.argv[1])",
    "csv": "csv.read_csv(sys.argv[1], parse_options=csv.ParseOptions(newlines_in_values=True))",
    "jsonl": "json.read_json(sys.argv[1])",
}
THEIRS = """
import sys
from pyarrow import csv, json, parquet as pq
pq.write_table({}, sys.argv[2])
"""


def written(folder: Path, parquet: Path, kind: str) -> Path:
    """The same rows in another format."""
    import polars as pl

    file = folder / f"rows.{kind}"
    if kind == "csv":
        pl.scan_parquet(parquet).sink_csv(file)
    elif kind == "jsonl":
        pl.scan_parquet(parquet).sink_ndjson(file)
    return file


def ours(folder: Path, file: Path, rows: int, shard: int) -> Figure:
    with tempfile.TemporaryDirectory(dir=folder) as workspace:
        arguments = [str(file), workspace, str(rows), str(shard)]
        return measured([sys.executable, "-c", OURS, *arguments], folder)


def theirs(folder: Path, file: Path, kind: str) -> Figure:
    code = THEIRS.format(PEERS[kind])
    return measured([sys.executable, "-c", code, str(file), str(folder / "peer")], folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--times", type=int, default=1)
    parser.add_argument("--formats", default=",".join(PEERS))
    parser.add_argument("--shards", default="32768,1024")
    options = parser.parse_args()
    shards = [int(n) for n in options.shards.split(",")]
    print(f"{machine()}; median of {options.times}\n")
    print("| format | MB | | rows/s | CPU-s | peak MB | ratio: rows/s, rows per CPU-s, memory |")
    print("| --- | ---: | --- | ---: | ---: | ---: | --- |")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_rows(folder / "rows.parquet", options.rows)
        for kind in options.formats.split(","):
            file = written(folder, folder / "rows.parquet", kind)
            size = file.stat().st_size / 2**20
            peers: list[Figure] = []
            own: dict[int, list[Figure]] = {shard: [] for shard in shards}
            for _ in range(options.times):
                peers.append(theirs(folder, file, kind))
                for shard in shards:
                    own[shard].append(ours(folder, file, options.rows, shard))
            peer = median(peers)
            print(line(f"{kind} | {size:,.0f} | pyarrow", peer, options.rows, ""), flush=True)
            for shard, figures in own.items():
                b = median(figures)
                ratio = (
                    f"**{peer.wall_s / b.wall_s:.3f}**, {peer.cpu_s / b.cpu_s:.3f}, "
                    f"{b.peak_mb / peer.peak_mb:.1f}"
                )
                who = f"{kind} | {size:,.0f} | pairmill, {shard:,} a shard"
                print(line(who, b, options.rows, ratio), flush=True)


def line(who: str, figure: Figure, rows: int, ratio: str) -> str:
    """A line of the table."""
    rate = f"{rows / figure.wall_s:,.0f} | {figure.cpu_s:.1f} | {figure.peak_mb:,.0f}"
    return f"| {who} | {rate} | {ratio} |"


if __name__ == "__main__":
    main()
