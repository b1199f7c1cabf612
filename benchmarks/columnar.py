"""What a first pass over metadata costs beside columnar engines on the same file.

    python benchmarks/columnar.py [--rows 2000000] [--some 500000] [--times 3] [--work sample,…]

Every figure is a process of its own, start-up included, the median of several: pairmill's default
way of a run (worker processes, no report), and beside it pyarrow that reads and writes the rows,
Polars that counts or compares the same, and fastText in a bare loop on one core.  CPU seconds are
those of the process and all it started; memory is the sum of their proportional sets.
"""

import argparse
import contextlib
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
from benchmarks.measuring import machine

ENV = {
    **{n: v for n, v in os.environ.items() if n != "PYTHONDONTWRITEBYTECODE"},
    "PYTHONPATH": str(Path(__file__).parent.parent),
}
"""As installed: modules are compiled once, in a run that is not counted."""
STAGES = {
    "sample": "{stage: sample, keep: sample < 0.5, batch_size: 65536}",
    "text_rules": "{stage: text_rules, keep: text_words > 2, batch_size: 65536}",
    "language": "{stage: language, keep: \"lang = 'en'\", batch_size: 4096}",
    "dedup": '{stage: dedup, "on": [text], keep: dup_of IS NULL}',
}
PEERS = {
    "sample": "table = pq.read_table(source); pq.write_table(table, target)",
    "text_rules": """
text = pl.col("text")
(pl.scan_parquet(source).with_columns(
    words=text.str.count_matches(r"\\S+"), chars=text.str.len_chars(),
    digits=text.str.count_matches(r"\\d"), signs=text.str.count_matches(r"[\\p{P}\\p{S}]"),
    upper=text.str.count_matches(r"\\p{Lu}"), lower=text.str.count_matches(r"\\p{Ll}"),
    different=text.str.to_lowercase().str.extract_all(r"\\S+").list.n_unique(),
    url=text.str.contains(URL), boilerplate=text.str.strip_chars().str.contains(BOILERPLATE),
).filter(pl.col("words") > 2).sink_parquet(target))
""",
    "language": """
import fasttext
from pairmill.filters.language import bundled_model
model = fasttext.load_model(bundled_model())
for line in pq.read_table(source, columns=["text"])["text"].to_pylist():
    model.predict(" ".join(line.split("\\n")), k=1)
""",
    "dedup": "pl.read_parquet(source).unique('text', maintain_order=True).write_parquet(target)",
}
PRELUDE = """
import sys
import polars as pl
import pyarrow.parquet as pq
source, target = sys.argv[1:]
URL = r"(?i)(?:https?://|www\\.)\\S+|\\w-*\\.(?:com|net|org|info|example)\\b"
"""
BESIDE = {"sample": "pyarrow", "text_rules": "Polars", "language": "fastText", "dedup": "Polars"}
GOALS = {"sample": 0.3, "text_rules": 0.6, "language": 0.9, "dedup": 0.25}


@dataclass(frozen=True)
class Figure:
    """Of one process and all it started."""

    wall_s: float
    cpu_s: float
    peak_mb: float


def write_rows(file: Path, rows: int) -> None:
    """Captions of the demo's eight languages, 95% of them told apart by a number."""
    import numpy as np
    import polars as pl

    from pairmill.demo.world import World

    world, rng = World(20_000), np.random.default_rng(0)
    texts = pl.Series([world.row(i).text for i in range(world.rows)])
    frame = pl.DataFrame(
        {
            "i": np.arange(rows),
            "text": texts.gather(rng.integers(0, len(texts), rows)),
            "number": rng.integers(0, 10**6, rows),
            "alone": rng.random(rows) < 0.05,
        }
    )
    numbered = pl.concat_str(["text", pl.col("number").cast(pl.String)], separator=" ")
    frame.select(
        url=pl.format("http://img{}.pictures.test/i/{}.jpg", pl.col("i") % 97, "i"),
        text=pl.when("alone").then("text").otherwise(numbered),
    ).write_parquet(file)


def measured(command: list[str], folder: Path) -> Figure:
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    process = subprocess.Popen(
        command, cwd=folder, env=ENV, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    most, done = [0.0], threading.Event()

    def watch() -> None:
        while not done.wait(0.2):
            most[0] = max(most[0], sum(map(memory_mb, family(process.pid))))

    watcher = threading.Thread(target=watch)
    watcher.start()
    code = process.wait()
    wall = time.monotonic() - start
    done.set()
    watcher.join()
    if code:
        raise SystemExit(f"{' '.join(command)} ended with {code}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Figure(wall, cpu, most[0])


def family(pid: int) -> list[int]:
    """A process and all that it started."""
    found = [pid]
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                found += family(int(child))
    return found


def memory_mb(pid: int) -> float:
    with contextlib.suppress(OSError, StopIteration):
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("Pss:")).split()[1]) / 1024
    return 0.0


def ours(folder: Path, source: Path, work: str, options: list[str]) -> Figure:
    with tempfile.TemporaryDirectory(dir=folder) as name:
        file = Path(name) / "p.yaml"
        file.write_text(
            f"name: columnar\nsource: {{type: pairs, path: {source}}}\n"
            f"stages:\n  - {STAGES[work]}\n"
        )
        command = [sys.executable, "-m", "pairmill", "run", str(file), "--no-report", *options]
        return measured(command, folder)


def theirs(folder: Path, source: Path, work: str) -> Figure:
    from pairmill.filters.text_rules import BOILERPLATE

    patterns = "|".join(f"(?:{p})" for p in BOILERPLATE)
    script = f"{PRELUDE}BOILERPLATE = {'(?i)' + patterns!r}\n{PEERS[work]}"
    return measured([sys.executable, "-c", script, str(source), str(folder / "peer")], folder)


def compiled(folder: Path, work: str) -> None:
    """A small run of each, so that no module is compiled in those that are counted."""
    source = folder / "few.parquet"
    if not source.exists():
        write_rows(source, 1_000)
    ours(folder, source, work, [])
    theirs(folder, source, work)


def median(figures: list[Figure]) -> Figure:
    return Figure(
        *(statistics.median(getattr(f, n) for f in figures) for n in ("wall_s", "cpu_s", "peak_mb"))
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2_000_000, help="for sample and dedup")
    parser.add_argument("--some", type=int, default=500_000, help="for text_rules and language")
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--work", default=",".join(STAGES))
    parser.add_argument("--option", action="append", default=[], help="of pairmill run")
    options = parser.parse_args()
    print(f"{machine()}; median of {options.times}\n")
    print("| work | rows | | rows/s | CPU-s | peak MB | ratio: rows/s, rows per CPU-s, memory |")
    print("| --- | ---: | --- | ---: | ---: | ---: | --- |")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for work in options.work.split(","):
            rows = options.rows if work in ("sample", "dedup") else options.some
            source = folder / f"rows-{rows}.parquet"
            if not source.exists():
                write_rows(source, rows)
            compiled(folder, work)
            found = {"ours": [], "theirs": []}  # type: dict[str, list[Figure]]
            for _ in range(options.times):  # in turn, so that both see the machine alike
                found["theirs"].append(theirs(folder, source, work))
                found["ours"].append(ours(folder, source, work, options.option))
            peer, own = median(found["theirs"]), median(found["ours"])
            for who, f in ((BESIDE[work], peer), ("pairmill", own)):
                figures = f"{rows / f.wall_s:,.0f} | {f.cpu_s:.1f} | {f.peak_mb:,.0f}"
                ratio = (
                    f"**{peer.wall_s / own.wall_s:.3f}** (goal {GOALS[work]}), "
                    f"{peer.cpu_s / own.cpu_s:.3f}, {own.peak_mb / peer.peak_mb:.1f}"
                )
                told = ratio if who == "pairmill" else ""
                print(f"| {work} | {rows:,} | {who} | {figures} | {told} |", flush=True)


if __name__ == "__main__":
    main()
