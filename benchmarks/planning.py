"""Whether the driver's time and memory per shard stay flat: the same tiny shard, many times over.

    python benchmarks/planning.py [--shards 4000,20000] [--looked 20000] [--executed 300,1200]

First a run over shards whose columns are all stored, without Ray: the driver reads every shard's
fates, writes the ledger and the report.  Then the same where tasks on Ray look at the shards and
the driver counts.  Then a phase on Ray: stages that do next to nothing, over shards that are not
stored yet; and the plan of a package.  Every figure is a process of its own; a run over fewer
shards, which is start-up, is taken off.  Shards of one row are hard links to a few files, so that a
million of them fit on a disk.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
LINKS = 30_000
"""Hard links to one file; file systems allow about 65,000."""
FEW = {"local": 2_000, "looked": 5_000, "executed": 50}
"""Shards of the run that is start-up: with a full report, and looked at on Ray where the others
are.
"""
ENV = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
FILE = """
name: planning
source: {type: pairs, path: rows.parquet, rows_per_shard: 1}
stages:
  - {stage: text_rules, keep: text_words > 2}
  - {stage: "tests.stages_for_tests:DeadlyStage", name: idle}
"""


def prepared(folder: Path, shards: int, stored: bool) -> None:
    """A workspace with `shards` shards of one row each; `stored`: with all columns as well."""
    import polars as pl

    from pairmill.api import Pipeline

    pl.DataFrame(
        {"text": ["a plain text of one row"], "url": ["http://x.test/1"], "number": [1]}
    ).write_parquet(folder / "rows.parquet")
    (folder / "p.yaml").write_text(FILE)
    Pipeline.from_yaml(folder / "p.yaml").run(progress=False, local=True)
    for file in [
        *folder.glob("workspace/pool/*/shard-000000.parquet"),
        *folder.glob("workspace/columns/*/shard-000000.parquet"),
    ]:
        if file.parent.parent.name == "columns" and not stored:
            file.unlink()
            continue
        source = file
        for shard in range(1, shards):
            target = file.parent / f"shard-{shard:06d}.parquet"
            if shard % LINKS == 0:
                source = Path(shutil.copyfile(file, target))
            else:
                os.link(source, target)
    pool = next(folder.glob("workspace/pool/*/pool.json"))
    facts = json.loads(pool.read_text())
    pool.write_text(json.dumps({**facts, "rows": shards, "shard_rows": [1] * shards}))
    shutil.rmtree(folder / "workspace/runs")


def measure(folder: Path, local: bool) -> None:
    """In a process of its own: the run, and what it cost this process."""
    from pairmill.api import Pipeline

    pipeline = Pipeline.from_yaml(folder / "p.yaml")
    before, start = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
    result = pipeline.run(progress=False, local=local)
    used = resource.getrusage(resource.RUSAGE_SELF)
    cpu = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
    print(
        json.dumps(
            {
                "cpu_s": cpu,
                "wall_s": time.monotonic() - start,
                "peak_mb": used.ru_maxrss / 1024,
                "parts": result.seconds,
            }
        )
    )


def figures(shards: int, kind: str) -> dict[str, float]:
    folder = Path(tempfile.mkdtemp(prefix="planning-"))
    try:
        prepared(folder, shards, stored=kind != "executed")
        mode = "local" if kind == "local" else "ray"
        told = subprocess.run(
            [sys.executable, __file__, "--measure", str(folder), "--mode", mode],
            capture_output=True,
            text=True,
            check=True,
            env=ENV,
        )
        return dict(json.loads(told.stdout.splitlines()[-1]))
    finally:
        shutil.rmtree(folder)


def package_plan(samples: int) -> None:
    """What the driver does to a package's kept rows: order and output shards, from arrays."""
    import numpy as np

    from pairmill.outputs.catalogue import OUTPUTS, open_writer
    from pairmill.packages.order import Kept, package_order, shard_tasks
    from pairmill.plan.chain import Chain

    config = {"type": "webdataset", "path": "out", "samples_per_shard": 10_000, "shuffle": True}
    writer = open_writer(OUTPUTS["webdataset"].model_validate(config))
    rows, count = 1_000, samples // 1_000
    chance = np.random.default_rng(0).integers(0, 2**63, count * rows).astype(np.uint64)
    shards = np.repeat(np.arange(count, dtype=np.int32), rows)
    kept = Kept(
        shards, np.tile(np.arange(rows, dtype=np.int32), count), np.arange(count * rows), chance
    )
    chain = Chain("", "", None, np.full(count, rows, np.int32), ())  # type: ignore[arg-type]
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    tasks = sum(1 for _ in shard_tasks(kept, package_order(chain, writer, kept, 0), 10_000))
    taken = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    held = sum(a.nbytes for a in (kept.shards, kept.rows, kept.starts, kept.chance)) / len(
        kept.rows
    )
    print(
        f"\npackage of {len(kept.rows):,} samples planned as {tasks:,} shards in "
        f"{time.monotonic() - start:.2f} s; "
        f"{held:.0f} bytes a sample are held, {1024 * taken / len(kept.rows):.0f} more at the peak"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--shards", default="4000,20000", help="stored shards that the driver looks at"
    )
    parser.add_argument("--looked", default="20000", help="stored shards that tasks look at")
    parser.add_argument("--executed", default="300,1200", help="shards of a phase on Ray")
    parser.add_argument(
        "--package", type=int, default=3_000_000, help="samples of a package that is planned"
    )
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--mode", default="local", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(options.measure, options.mode == "local")
        return
    if options.package:
        package_plan(options.package)
    for title, counts, kind in (
        ("stored shards, without Ray", options.shards, "local"),
        ("stored shards, looked at on Ray", options.looked, "looked"),
        ("shards of a phase on Ray", options.executed, "executed"),
    ):
        print(
            f"\n| {title} | driver: CPU ms per shard | wall ms per shard | KB per "
            "shard | peak MB |\n| ---: | ---: | ---: | ---: | ---: |"
        )
        base = FEW[kind]
        few = figures(base, kind) if counts else {}
        for shards in map(int, filter(None, counts.split(","))):
            found = figures(shards, kind)
            cpu, wall = (
                1000 * (found[key] - few[key]) / (shards - base) for key in ("cpu_s", "wall_s")
            )
            memory = 1024 * (found["peak_mb"] - few["peak_mb"]) / (shards - base)
            peak = f"{found['peak_mb']:.0f} (with {base:,}: {few['peak_mb']:.0f})"
            print(f"| {shards:,} | {cpu:.2f} | {wall:.2f} | {memory:.1f} | {peak} |", flush=True)


if __name__ == "__main__":
    main()
