"""Hostile bytes by the thousand: `python tools/attack.py --seconds 120` prints the figures of
docs/reliability.md; `--seconds 3600 --seed 7` tries others for an hour.

Every strike is drawn from the seed and its number, so that `--only KIND:NUMBER` repeats one.  A
process of its own strikes, so that a crash, a hang and memory without end are seen from outside.
"""

import argparse
import json
import multiprocessing
import random
import resource
import sys
import tempfile
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))
LIMIT_S = 20.0
"""A strike may take so long before it is a fault."""
LIMIT_BYTES = 4 * 2**30
"""Memory of the process that strikes."""


@dataclass
class Tally:
    """What became of the strikes of one kind."""

    strikes: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    slowest_s: float = 0.0
    faults: list[str] = field(default_factory=list)


def work(pipe: Connection, seed: int) -> None:
    """Strikes as it is told, until it is told nothing more."""
    resource.setrlimit(resource.RLIMIT_AS, (LIMIT_BYTES, LIMIT_BYTES))
    import warnings

    warnings.simplefilter("ignore")
    import attack_kinds

    with tempfile.TemporaryDirectory(prefix="pairmill-attack-") as name:
        place = attack_kinds.Place(Path(name))
        pipe.send("ready")
        while (order := pipe.recv()) is not None:
            kind, number = order
            try:
                answer = attack_kinds.KINDS[kind](place, random.Random(f"{seed} {kind} {number}"))
                place.check_canary()
            except Exception:
                answer = f"fault: {traceback.format_exc(limit=-6)}"
            pipe.send((answer, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024))


class Striker:
    """The process that strikes; started again when it dies."""

    def __init__(self, seed: int) -> None:
        self.seed, self.peak_bytes = seed, 0
        self.start()

    def start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=work, args=(theirs, self.seed), daemon=True)
        self.process.start()
        theirs.close()
        self.pipe.recv()

    def strike(self, kind: str, number: int) -> str:
        self.pipe.send((kind, number))
        if not self.pipe.poll(LIMIT_S):
            self.process.kill()
            self.process.join()
            self.start()
            return f"fault: no answer within {LIMIT_S:.0f} s"
        try:
            answer, peak = self.pipe.recv()
        except EOFError:
            self.process.join()
            code = self.process.exitcode
            self.start()
            return f"fault: the process ended with {code}"
        self.peak_bytes = max(self.peak_bytes, peak)
        return str(answer)

    def end(self) -> None:
        self.pipe.send(None)
        self.process.join(10)


def attack(seed: int, seconds: float, kinds: dict[str, int]) -> tuple[dict[str, Tally], int]:
    """Rounds of all kinds until the time is over; gives what became of them, and the peak of memory."""
    striker, found = Striker(seed), {kind: Tally() for kind in kinds}
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for kind, share in kinds.items():
            tally = found[kind]
            for _ in range(share):
                began = time.monotonic()
                answer = striker.strike(kind, tally.strikes)
                tally.slowest_s = max(tally.slowest_s, time.monotonic() - began)
                if answer.startswith("fault"):
                    tally.faults.append(f"{kind}:{tally.strikes} {answer}")
                tally.answers[answer.partition(":")[0]] += 1
                tally.strikes += 1
    striker.end()
    return found, striker.peak_bytes


def table(found: dict[str, Tally]) -> str:
    lines = ["| what | strikes | refused with a message | taken | faults | slowest, s |", "| --- | --- | --- | --- | --- | --- |"]  # fmt: skip
    for kind, tally in found.items():
        refused, taken = tally.answers["refused with a message"], tally.answers["taken"]
        lines.append(
            f"| {kind} | {tally.strikes:,} | {refused:,} | {taken:,} | {len(tally.faults)} | {tally.slowest_s:.1f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=120, help="for how long")
    parser.add_argument("--seed", type=int, default=0, help="of all strikes")
    parser.add_argument("--kinds", default="", help="some kinds alone, such as images,manifests")
    parser.add_argument("--only", default="", help="one strike again, such as images:17")
    options: Any = parser.parse_args()
    import attack_kinds

    if options.only:
        kind, _, number = options.only.partition(":")
        print(Striker(options.seed).strike(kind, int(number)))
        return
    chosen = options.kinds.split(",") if options.kinds else list(attack_kinds.KINDS)
    found, peak = attack(options.seed, options.seconds, {k: attack_kinds.SHARES[k] for k in chosen})
    print(table(found))
    print(f"\npeak of memory: {peak / 2**20:,.0f} MiB")
    faults = [fault for tally in found.values() for fault in tally.faults]
    for fault in faults[:20]:
        print(f"\n{fault}")
    print(json.dumps({"seed": options.seed, "faults": len(faults)}))
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
