"""How long a changed threshold takes: the first run of the demo's scoring pipeline against a rerun
with another gate.

    python benchmarks/rerun.py [--rows 1000]

The pipeline downloads, scores and captions the demo's world.  The rerun tightens
`stages.clip.keep`: nothing has to be computed, no model is loaded.  A second rerun changes the
caption's prompt: only captions are computed.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pairmill.demo.server import running
from pairmill.demo.show import HERE, MODELS
from pairmill.demo.tables import write_world
from pairmill.demo.world import World


def run(file: Path, env: dict[str, str], *overrides: str) -> float:
    command = [
        sys.executable,
        "-m",
        "pairmill.cli",
        "run",
        str(file),
        "--replace",
        *(a for o in overrides for a in ("--set", o)),
    ]
    start = time.monotonic()
    subprocess.run(
        command, env=env, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    return time.monotonic() - start


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
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, running(args.rows) as resolve:
        folder = Path(name)
        write_world(World(args.rows), folder / "world")
        file = folder / "pipeline.yaml"
        file.write_text((HERE / "pipeline.yaml").read_text())
        env = {**os.environ, "DEMO_SERVER": resolve["*.demo.test"], "DEMO_MODELS": str(MODELS)}
        first = run(file, env)
        print(f"first run: {first:.1f} s, computed {computed(folder)}")
        tighter = run(file, env, "stages.clip.keep=clip_score >= 0.35")
        print(
            f"tighter gate: {tighter:.1f} s ({tighter / first:.1%} of the first run; "
            f"goal: under 5%), computed {computed(folder)}"
        )
        prompt = run(
            file, env, "stages.detailed.prompt=Describe the picture in one short sentence."
        )
        print(
            f"other prompt: {prompt:.1f} s ({prompt / first:.1%} of the first run), "
            f"computed {computed(folder)}"
        )


if __name__ == "__main__":
    main()
