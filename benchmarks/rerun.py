"""How long a changed threshold takes: the first run of the demo's scoring pipeline against a rerun
with another gate.

    python benchmarks/rerun.py [--rows 1000] [--no-captions] [--folder FOLDER]

The pipeline downloads, scores and captions the demo's world.  The rerun tightens
`stages.clip.keep`: nothing has to be computed, no model is loaded.  A second rerun changes the
caption's prompt: only captions are computed.  `--no-captions` leaves the stages that caption out,
three quarters of the first run, so that 20,000 rows take minutes; the goal is then harder.  With
`--folder` the first run may be done in pieces: what was interrupted goes on.  CPU seconds are told
beside the wall's: on a busy machine their shares are the fairer ones.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from measuring import Cost, compiled, machine, own_cpu_s
from ruamel.yaml import YAML

from pairmill.demo.server import running
from pairmill.demo.show import HERE, MODELS
from pairmill.demo.tables import write_world
from pairmill.demo.world import World

TIGHTER = "stages.clip.keep=clip_score >= 0.35"


def run(file: Path, env: dict[str, str], *overrides: str) -> Cost:
    command = [
        sys.executable,
        "-m",
        "pairmill",
        "run",
        str(file),
        "--replace",
        *(a for o in overrides for a in ("--set", o)),
    ]
    start, cpu = time.monotonic(), own_cpu_s()[1]
    subprocess.run(
        command, env=env, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    return Cost(own_cpu_s()[1] - cpu, time.monotonic() - start, 0)


def without_captions(file: Path) -> None:
    """Takes the stages that caption out of a pipeline file."""
    yaml = YAML()
    data = yaml.load(file)
    data["stages"] = [stage for stage in data["stages"] if stage["stage"] != "caption"]
    for output in data["outputs"]:
        output["caption"] = ["text"]
    yaml.dump(data, file)


def of_first(cost: Cost, first: Cost) -> str:
    shares = f"{cost.wall_s / first.wall_s:.1%}, {cost.cpu_s / first.cpu_s:.1%} of the first run's"
    return f"{cost.wall_s:.1f} s, {cost.cpu_s:.1f} CPU s ({shares}"


def computed(folder: Path) -> dict[str, int]:
    """Stage → rows computed by the newest run."""
    newest = max(folder.glob("workspace/runs/*/metrics.json"), key=lambda p: p.stat().st_mtime)
    return {
        name: int(s["computed"])
        for name, s in json.loads(newest.read_text())["stages"].items()
        if s["computed"]
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--no-captions", action="store_true")
    parser.add_argument("--folder", type=Path, help="Where the world and the workspace stay.")
    args = parser.parse_args()
    compiled()
    goal = 0.04 if args.rows < 20_000 else 0.02
    with contextlib.ExitStack() as ended:
        folder = args.folder or Path(ended.enter_context(tempfile.TemporaryDirectory()))
        resolve = ended.enter_context(running(args.rows))
        file = folder / "pipeline.yaml"
        if not file.exists():
            folder.mkdir(parents=True, exist_ok=True)
            write_world(World(args.rows), folder / "world")
            file.write_text((HERE / "pipeline.yaml").read_text())
            if args.no_captions:
                without_captions(file)
        env = {**os.environ, "DEMO_SERVER": resolve["*.demo.test"], "DEMO_MODELS": str(MODELS)}
        print(machine())
        first = run(file, env)
        print(
            f"first run: {first.wall_s:.1f} s, {first.cpu_s:.1f} CPU s, "
            f"computed {computed(folder)}",
            flush=True,
        )
        tighter = run(file, env, TIGHTER)
        print(
            f"tighter gate: {of_first(tighter, first)}; goal: under {goal:.0%}), "
            f"computed {computed(folder)}",
            flush=True,
        )
        print(f"nothing changed: {of_first(run(file, env, TIGHTER), first)})", flush=True)
        if not args.no_captions:
            prompt = run(
                file, env, "stages.detailed.prompt=Describe the picture in one short sentence."
            )
            print(f"other prompt: {of_first(prompt, first)}), computed {computed(folder)}")


if __name__ == "__main__":
    main()
