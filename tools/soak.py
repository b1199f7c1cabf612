"""Failure schedules by the hundred: `python tools/soak.py --first 30 --count 200` prints the
figures of docs/reliability.md.
"""

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
from pairmill.demo.drawing import render
from pairmill.demo.scenes import random_scene, rng_for
from pairmill.demo.texts import short_caption
from tests.chaos import table
from tests.conftest import jpeg
from tests.test_chaos import prepared


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--count", type=int, default=100, help="schedules to run")
    parser.add_argument("--skip", default="", help="seeds to leave out, such as 5,6")
    options = parser.parse_args()
    seeds = [
        s
        for s in range(options.first, options.first + options.count)
        if str(s) not in options.skip.split(",")
    ]
    scenes = [(random_scene(rng_for("test", i)), i) for i in range(40)]
    pictures = [
        (jpeg(render(scene, 240 + i, 200, rng_for("draw", i))), short_caption(scene))
        for scene, i in scenes
    ]
    trials = {}
    for chaos in prepared(Path(tempfile.mkdtemp(prefix="soak-")), pictures):
        for seed in seeds:
            trials[seed] = trial = chaos.trial(seed)
            if trial.faults and not any(
                "differs" in fault for fault in trial.faults
            ):  # a slow machine; a wrong package is never excused
                print(f"{seed}: {trial.faults}; once more", flush=True)
                trials[seed] = trial = chaos.trial(seed, "-again")
            events = ", ".join(map(str, trial.struck)) or "nothing struck"
            print(
                f"{seed}: {events}: {trial.starts} starts, {trial.seconds:.1f} s "
                f"{trial.messages or ''} {trial.faults or ''}",
                flush=True,
            )
    print(table(trials))
    sys.exit(any(t.faults for t in trials.values()))


if __name__ == "__main__":
    main()
