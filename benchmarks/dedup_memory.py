"""Duplicates among keys that exceed the object store: what processes and the store have at most.

`python benchmarks/dedup_memory.py exact --rows 400000 --key-bytes 1000 --store-mb 100
--partitions 4 16 64` writes a table of keys, stores it as a source, and answers `dedup` in so many
partitions on a Ray whose object store is capped; prints for each the most private memory (RssAnon)
of any worker beyond what an idle one has with all libraries loaded, of the driver, which reads no
key, what Ray spilled to disk, and seconds.  The number of repeats is known from how keys are drawn.
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
import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.dedup_data import captions
from pairmill import Pipeline
from pairmill.cluster.engine import RayEngine
from pairmill.cluster.partitions import run_global
from pairmill.fates.survey import Survey
from pairmill.plan.answers import with_new_answers
from pairmill.plan.identity import identified
from pairmill.work.block import Job
from tests.workspaces import stored_chain, values_of

AT_ONCE = 20_000
"""Rows that are written in one go."""
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
    parser.add_argument("--rows", type=int, default=400_000)
    parser.add_argument("--key-bytes", type=int, default=1_000)
    parser.add_argument("--store-mb", type=int, default=100)
    parser.add_argument("--partitions", type=int, nargs="*", default=[4, 16, 64])
    given = parser.parse_args()
    import ray

    ray.init(
        num_cpus=2,
        object_store_memory=given.store_mb * 2**20,
        include_dashboard=False,
        log_to_driver=False,
        runtime_env={"env_vars": {"PYTHONPATH": str(Path(__file__).parent.parent)}},
    )
    idle = idle_mb()
    print(f"an idle worker with all libraries: {idle:,.0f} MB")
    print(
        "| kind | rows, MB of keys | partitions, MB of keys in each | worker beyond idle, MB |"
        " driver, MB | spilled, MB | s |"
    )
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for kind in given.kinds:
        with tempfile.TemporaryDirectory() as folder:
            one_kind(kind, given.rows, given.key_bytes, given.partitions, Path(folder), idle)
    ray.shutdown()


def written(kind: str, rows: int, key_bytes: int, file: Path) -> int | None:
    """Writes keys, some rows at a time; gives the number of repeats, None where only an answer
    tells.  Keys do not compress, or the shuffle would make little of them.
    """
    rng = np.random.default_rng(0)
    chosen = rng.integers(0, rows, rows)
    text = rng.integers(0, 36, 4_000_037)
    noise = bytes(b"0123456789abcdefghijklmnopqrstuvwxyz"[i] for i in text).decode()
    texts = captions(rows) if kind == "text" else []
    writer = None
    for first in range(0, rows, AT_ONCE):
        part = chosen[first : first + AT_ONCE].tolist()
        if kind == "text":
            keys = texts[first : first + AT_ONCE]
        else:
            starts = [7 * c % (len(noise) - key_bytes) for c in part]
            keys = [
                f"{c:012d}{noise[at : at + key_bytes - 12]}"
                for c, at in zip(part, starts, strict=True)
            ]
        table = pa.table({"text": pa.array(keys, pa.large_string())})
        writer = writer or pq.ParquetWriter(file, table.schema)
        writer.write_table(table)
    assert writer is not None
    writer.close()
    return None if kind == "text" else rows - len(np.unique(chosen))


def one_kind(
    kind: str, rows: int, key_bytes: int, partitions: list[int], folder: Path, idle: float
) -> None:
    """Stores the keys and answers for each number of partitions."""
    expected = written(kind, rows, key_bytes, folder / "rows.parquet")
    size_mb = rows * key_bytes / 2**20
    file = folder / "p.yaml"
    file.write_text(FILE.format(shard=rows // 80, options=OPTIONS[kind]))
    checked = Pipeline.from_yaml(file)
    checked.run(progress=False, local=True, limit=1)
    chain, engine = stored_chain(checked.checked), RayEngine([], (), True)
    survey = Survey(chain, engine.driver.over)
    _, seen = survey.population()
    for count in partitions:
        job = Job(identified(survey.chain, {0: f"of{kind}{count}"}), 0, 1)
        before, start = spilled_mb(), time.perf_counter()
        with watched() as most:
            answers = run_global(engine.session, job, seen, count)
        seconds = time.perf_counter() - start
        repeats = (
            values_of(with_new_answers(job.chain, 0, answers, ()), 0)["dup_of"].drop_nulls().len()
        )
        if expected is not None and repeats != expected:
            raise SystemExit(f"{repeats:,} repeats, and {expected:,} were drawn")
        print(
            f"| {kind} | {rows:,}, {size_mb:,.0f} | {count}, {size_mb / count:,.0f} | "
            f"{most['worker'] - idle:,.0f} | {most['driver']:,.0f} | "
            f"{spilled_mb() - before:,.0f} | {seconds:.0f} |",
            flush=True,
        )
    engine.close()


def idle_mb() -> float:
    """What a worker has once it has loaded what partitions need."""
    import ray

    @ray.remote
    def loaded() -> float:
        import pyarrow.dataset
        import ray.data

        import pairmill.cluster.partitions
        import pairmill.stages.dedup.stage

        every = (pyarrow.dataset, ray.data, pairmill.cluster.partitions, pairmill.stages)
        assert all(every)
        pl.DataFrame({"a": [1, 2]}).group_by("a").len()
        return anonymous_mb(Path("/proc/self"))

    return max(ray.get([loaded.remote() for _ in range(4)]))


def anonymous_mb(process: Path) -> float:
    """Private memory of a process."""
    found = re.search(r"RssAnon:\s+(\d+)", (process / "status").read_text())
    return int(found.group(1)) / 1024 if found else 0.0


def spilled_mb() -> float:
    """What Ray has written to disk since it started."""
    import ray
    from ray._private.internal_api import memory_summary

    said = memory_summary(ray.get_runtime_context().gcs_address, stats_only=True)
    found = re.search(r"Spilled (\d+) MiB", said)
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
                    mb = anonymous_mb(folder)
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
