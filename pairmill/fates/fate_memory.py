"""What a process remembers of the fates that it followed: a run asks for those of a shard several
times, for the survey, stages over all rows, the ledger, packages and the report.

Nothing is trusted that was read from a file which is another one now: each step tells the stored
file's number, size and times, so a value that this or another run adds, a failure tried again and
bytes that are forgotten are seen.  An object store is asked anew each time.
"""

import os
import threading
from collections import OrderedDict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pairmill.fates.decide import ALIVE, Trace, Why
from pairmill.plan.chain import Chain, PlannedStage
from pairmill.workspace.addresses import column_file
from pairmill.workspace.storage import Storage

MOST_BYTES = 64 * 2**20
"""Memory for what is remembered, some ten bytes a row and one more for each stage."""
WORD_BYTES = 500
"""A guess for a reason with its message."""
Step = tuple[Any, ...]
"""All that decides what becomes of a shard's rows at one stage, those before it aside."""


@dataclass(frozen=True)
class KnownFates:
    """What became of a shard's rows.  `steps`: the shard's file, then the stages."""

    steps: tuple[Step, ...]
    fate: np.ndarray
    at: np.ndarray
    why: np.ndarray
    words: tuple[Why, ...]
    ran: dict[int, np.ndarray]

    @property
    def nbytes(self) -> int:
        """Memory that it takes."""
        arrays = (self.fate, self.at, self.why, *self.ran.values())
        return sum(a.nbytes for a in arrays) + WORD_BYTES * len(self.words)

    def until(self, upto: int) -> Trace:
        """The rows as they were after the first `upto` stages."""
        later = self.at >= upto
        found = Trace(np.where(later, ALIVE, self.fate).astype(np.int8), self.at.copy())
        found.at[later] = -1
        found.why = np.where(later, 0, self.why).astype(np.int32)
        found.words = list(self.words)
        found.known = {word: i for i, word in enumerate(found.words)}
        found.ran = {index: rows for index, rows in self.ran.items() if index < upto}
        return found


class FateMemory:
    """The fates of the shards that were followed last; threads may share it."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self.most_bytes, self.nbytes = most_bytes, 0
        self.lock = threading.Lock()
        self.found: OrderedDict[tuple[Any, ...], KnownFates] = OrderedDict()

    def known(self, place: tuple[Any, ...], steps: Sequence[Step]) -> tuple[int, Trace | None]:
        """(number of stages, rows after them), as far as what is remembered still holds."""
        with self.lock:
            if (fates := self.found.get(place)) is None:
                return 0, None
            self.found.move_to_end(place)
        same = common(fates.steps, steps)
        return (same - 1, fates.until(same - 1)) if same else (0, None)

    def remember(self, place: tuple[Any, ...], steps: Sequence[Step], found: Trace) -> None:
        """Keeps the longest look at a shard, and forgets those that were asked for long ago."""
        fates = KnownFates(
            tuple(steps),
            found.fate.copy(),
            found.at.copy(),
            found.why.copy(),
            tuple(found.words),
            dict(found.ran),
        )
        with self.lock:
            old = self.found.get(place)
            if old is not None:
                if common(old.steps, steps) == len(steps):
                    return
                self.nbytes -= old.nbytes
            self.found[place] = fates
            self.found.move_to_end(place)
            self.nbytes += fates.nbytes
            while self.nbytes > self.most_bytes:
                self.nbytes -= self.found.popitem(last=False)[1].nbytes


FOLLOWED = FateMemory()


def common(one: Sequence[Step], other: Sequence[Step]) -> int:
    """How many of the first steps are the same."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(one), len(other)))


def place_of(chain: Chain, shard: int) -> tuple[Any, ...]:
    """What tells the rows of a shard from all others."""
    return chain.root, chain.source_file(shard, "uid"), chain.rows_of(shard)


def steps_of(
    chain: Chain, shard: int, stages: Sequence[PlannedStage], retry: Collection[str]
) -> tuple[Step, ...]:
    """The shard's file and the stages as they are now; none where files have no versions."""
    storage = Storage(chain.root)
    if not storage.local:
        return ()
    name, again = int(chain.table.names[shard]), tuple(sorted(retry))
    steps: list[Step] = [(version(storage, chain.source_file(shard, "uid")),)]
    for stage, address in zip(stages, chain.addresses(shard), strict=False):
        file = None if address is None else column_file(stage.column_set, name, address)
        told = None if file is None else version(storage, file)
        steps.append((*asked(stage), again, file, told))
    return tuple(steps)


def asked(stage: PlannedStage) -> Step:
    """What of a stage decides fates beside what it stores."""
    return (
        stage.name,
        tuple(stage.writes.names),
        stage.reads,
        tuple(sorted(stage.stage.may_lack())),
        stage.config.on_missing,
        stage.when.text if stage.when else None,
        stage.gate.text if stage.gate else None,
    )


def version(storage: Storage, file: str) -> tuple[int, ...] | None:
    """Tells a file from what stood in its place before; None where there is none."""
    try:
        told = os.stat(f"{storage.base}/{file}")
    except OSError:
        return None
    return told.st_ino, told.st_size, told.st_mtime_ns, told.st_ctime_ns
