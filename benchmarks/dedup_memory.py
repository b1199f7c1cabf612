"""Duplicates among keys that exceed the object store: what processes and the store have at most.

`python benchmarks/dedup_memory.py exact text --rows 1500000 --store-mb 80 --partitions 4 16` makes
a table of keys, stores it as a source, and answers `dedup` in so many partitions on a Ray whose
object store is capped; prints for each the most private memory (RssAnon) of any worker and of the
driver, what Ray spilled to disk, and seconds.  The answer is compared with that of Polars alone.
"""

import argparse
import re
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.dedup_data import captions
from pairmill import Pipeline
from pairmill.cluster.engine import RayEngine
from pairmill.cluster.partitions import run_global
from pairmill.fates.survey import Survey
from pairmill.plan.identity import identified
from pairmill.work.block import Job
from tests.workspaces import stored_chain, values_of

FILE = """
name: memory
source: {{type: pairs, path: rows.parquet, rows_per_shard: {shard}}}
stages:
  - {{stage: dedup, {options}}}
"""
OPTIONS = {
    "exact": "on: [text]",
    "text": "kind: text, on: [text], threshold: 0.7",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kinds", nargs="*", default=[*OPTIONS], choices=[*OPTIONS])
    parser.add_argument("--rows", type=int, default=1_500_000)
    parser.add_argument("--store-mb", type=int, default=80)
    parser.add_argument("--partitions", type=int, nargs="*", default=[4, 16])
    given = parser.parse_args()
    import ray

    ray.init(
        num_cpus=2,
        object_store_memory=given.store_mb * 2**20,
        include_dashboard=False,
        log_to_driver=False,
        runtime_env={"env_vars": {"PYTHONPATH": str(Path(__file__).parent.parent)}},
    )
    print("| kind | rows, MB of keys | partitions | worker, MB | driver, MB | spilled, MB | s |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for kind in given.kinds:
        with tempfile.TemporaryDirectory() as folder:
            one_kind(kind, given.rows, given.partitions, Path(folder))
    ray.shutdown()


def keys_of(kind: str, rows: int) -> pl.Series:
    """Keys of some hundred bytes of which a third or so come several times, or captions."""
    if kind == "text":
        return pl.Series(captions(rows))
    chosen = np.random.default_rng(0).integers(0, rows, rows)
    return pl.Series(chosen).cast(pl.String).str.zfill(12) + "-" + "k" * 100


def one_kind(kind: str, rows: int, partitions: list[int], folder: Path) -> None:
    """Stores the keys and answers for each number of partitions."""
    keys = keys_of(kind, rows)
    size_mb = keys.estimated_size() // 2**20
    pl.DataFrame({"text": keys}).write_parquet(folder / "rows.parquet")
    file = folder / "p.yaml"
    file.write_text(FILE.format(shard=rows // 40, options=OPTIONS[kind]))
    checked = Pipeline.from_yaml(file)
    checked.run(progress=False, local=True, limit=1)
    chain, engine = stored_chain(checked.checked), RayEngine([], (), True, few=0)
    survey = Survey(chain, engine.driver.over)
    _, seen = survey.population()
    expected = rows - keys.n_unique()
    for count in partitions:
        job = Job(identified(survey.chain, {0: f"of{kind}{count}"}), 0, 1)
        before, start = spilled_mb(), time.perf_counter()
        with watched() as most:
            run_global(engine.session, job, seen, count)
        seconds = time.perf_counter() - start
        repeats = values_of(job.chain, 0)["dup_of"].drop_nulls().len()
        if kind == "exact" and repeats != expected:
            raise SystemExit(f"{repeats:,} repeats, and Polars says {expected:,}")
        print(
            f"| {kind} | {rows:,}, {size_mb:,} | {count} | {most['worker']:,.0f} | "
            f"{most['driver']:,.0f} | {spilled_mb() - before:,.0f} | {seconds:.0f} |",
            flush=True,
        )


def spilled_mb() -> float:
    """What Ray has written to disk since it started."""
    from ray._private.internal_api import memory_summary

    found = re.search(r"Spilled (\d+) MiB", memory_summary(stats_only=True))
    return float(found.group(1)) if found else 0.0


@contextmanager
def watched() -> Iterator[dict[str, Any]]:
    """The most private memory of a worker and of this process, MB, while the block runs."""
    most: dict[str, Any] = {"worker": 0.0, "driver": 0.0, "name": ""}
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.2):
            for folder in Path("/proc").glob("[0-9]*"):
                with suppress(OSError):
                    name = (folder / "cmdline").read_bytes().split(b"\0")[0].decode()
                    own = folder.name == str(threading.main_thread().native_id)
                    if not own and not name.startswith("ray::"):
                        continue
                    status = (folder / "status").read_text()
                    found = re.search(r"RssAnon:\s+(\d+)", status)
                    mb = int(found.group(1)) / 1024 if found else 0.0
                    who = "driver" if own else "worker"
                    if mb > most[who]:
                        most[who] = mb
                        most["name"] = name if who == "worker" else most["name"]

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield most
    finally:
        done.set()
        thread.join()
        print(f"largest worker: {most['name']}", file=sys.stderr)


if __name__ == "__main__":
    main()
