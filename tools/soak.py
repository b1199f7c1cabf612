"""Failure schedules by the hundred: `python tools/soak.py --first 30 --count 200` prints the
figures of docs/reliability.md.

Stops after two runs in a row that came to no end, and prints what the last one did.
"""

import argparse
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
from pairmill.demo.drawing import render
from pairmill.demo.scenes import random_scene, rng_for
from pairmill.demo.texts import short_caption
from tests.chaos import Chaos, Trial
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
    for chaos in prepared(Path(tempfile.mkdtemp(prefix="soak-")), pictures):
        trials = soaked(chaos, seeds)
    print(table(trials))
    sys.exit(any(t.faults for t in trials.values()))


def soaked(chaos: Chaos, seeds: Iterable[int]) -> dict[int, Trial]:
    """Schedule after schedule, up to the first that twice came to no end."""
    trials: dict[int, Trial] = {}
    for seed in seeds:
        trials[seed] = tried(chaos, seed)
        if trials[seed].hung:
            break
    return trials


def tried(chaos: Chaos, seed: int) -> Trial:
    """A schedule's trial; a second one where the first failed as on a slow machine: a wrong package
    is never excused.  If that one came to no end either, something hangs.
    """
    trial = told(seed, chaos.trial(seed))
    if trial.faults and not any("differs" in fault for fault in trial.faults):
        trial = told(seed, chaos.trial(seed, "-again"))
    return trial


def told(seed: int, trial: Trial) -> Trial:
    events = ", ".join(map(str, trial.struck)) or "nothing struck"
    print(
        f"{seed}: {events}: {trial.starts} starts, {trial.seconds:.1f} s "
        f"{trial.messages or ''} {trial.faults or ''}",
        flush=True,
    )
    if trial.hung:
        print(trial.hung, flush=True)
    return trial


def table(trials: dict[int, Trial]) -> str:
    """What a set of schedules found, as lines of Markdown."""
    kinds = Counter(e.kind for t in trials.values() for e in t.struck)
    stops = Counter(m.split(":")[0][:80] for t in trials.values() for m in t.messages)
    bad = {seed: t.faults for seed, t in trials.items() if t.faults}
    lines = [
        f"| schedules | {len(trials)} |",
        "| of them struck by at least one event | "
        f"{sum(bool(t.struck) for t in trials.values())} |",
        f"| events that struck | {sum(kinds.values())}: "
        + ", ".join(f"{n} {k}" for k, n in sorted(kinds.items()))
        + " |",
        "| starts per run, mean and most | "
        f"{sum(t.starts for t in trials.values()) / len(trials):.2f}, "
        f"{max(t.starts for t in trials.values())} |",
        f"| runs that stopped with a message | {sum(bool(t.messages) for t in trials.values())} |",
        f"| packages unlike an undisturbed run's | {len(bad)} |",
    ]
    return "\n".join(lines) + (
        "\n" + json.dumps({"faults": bad, "stops": stops}, indent=1) if bad or stops else ""
    )


if __name__ == "__main__":
    main()
