"""What the driver spends on a shard: CPU seconds and memory of the process that plans, by how many
shards there are.

    python benchmarks/driver.py [--shards 1250,2500,5000,10000]

Shards of 16 rows, `text_rules` and a stage of one's own; each size once on worker processes and
once on a Ray of its own, in a workspace of its own, then again with everything stored.  Start-up is
a run of 10 shards, taken off.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
from benchmarks.columnar import write_rows
from benchmarks.measuring import machine

ROWS = 16
FEW = 10
PIPELINE = """
name: driver
source: {{type: pairs, path: {path}, rows_per_shard: {rows}}}
stages:
  - {{stage: text_rules}}
  - {{stage: slow_stage:SlowStage}}
outputs: [{{type: uids, path: {out}}}]
report: none
"""
RUN = """
import json, resource, sys, time
from pathlib import Path
from pairmill import Pipeline
if __name__ == "__main__":
    began, used = time.monotonic(), time.process_time()
    body = {sys.argv[2]: True}
    result = Pipeline.from_yaml(sys.argv[1]).run(progress=False, replace=True, **body)
    shards = len(list(Path(sys.argv[1]).parent.glob("workspace/shards/*.parquet")))
    mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"cpu_s": time.process_time() - used, "wall_s": time.monotonic() - began,
                      "mb": mb, "shards": shards, "rows": result.funnel.rows}))
"""


def run(file: Path, body: str) -> dict[str, float]:
    """One run; what its driver took."""
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(file), body],
        capture_output=True,
        text=True,
        cwd=file.parent,
    )
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shards", default="1250,2500,5000,10000")
    parser.add_argument("--bodies", default="local,ray")
    args = parser.parse_args()
    print(f"{machine()}\n")
    print("| | shards | driver: CPU ms a shard | wall ms a shard | peak MB |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for body in args.bodies.split(","):
        few: dict[str, dict[str, float]] = {}
        for shards in (FEW, *map(int, args.shards.split(","))):
            with tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                write_rows(folder / "rows.parquet", shards * ROWS)
                (folder / "slow_stage.py").write_text(
                    Path(__file__).with_name("slow_stage.py").read_text()
                )
                file = folder / "pipeline.yaml"
                file.write_text(
                    PIPELINE.format(path=folder / "rows.parquet", rows=ROWS, out=folder / "out")
                )
                for what in ("computed", "stored"):
                    found = run(file, body)
                    if shards == FEW:
                        few[what] = found
                        continue
                    cpu, wall = (
                        1000 * (found[k] - few[what][k]) / found["shards"]
                        for k in ("cpu_s", "wall_s")
                    )
                    print(
                        f"| {body}, {what} | {found['shards']:,} | {cpu:.1f} | {wall:.1f} | "
                        f"{found['mb']:.0f} |",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
