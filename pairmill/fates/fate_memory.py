"""What a process remembers of the fates that it followed: a run asks for those of a shard several
times, for the survey, stages over all rows, the ledger, packages and the report; and the next run
of the pipeline goes on from there (fates/remembered.py).

Nothing is trusted that was read from a file which is another one now: each step tells the stored
file's number, size and times, so a value that this or another run adds, a failure tried again and
bytes that are forgotten are seen.  An object store is asked anew each time.
"""

import threading
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any

import numpy as np

from pairmill.fates.decide import ALIVE, Trace, Why
from pairmill.plan.chain import Chain, PlannedStage
from pairmill.workspace import disk
from pairmill.workspace.addresses import column_file
from pairmill.workspace.disk import Version
from pairmill.workspace.storage import Storage

MOST_BYTES = 64 * 2**20
"""Memory for what is remembered, some ten bytes a row and one more for each stage."""
MOST_LOOKS = 8
"""Stages over all rows of which it is remembered, for each shard, at which rows they look."""
WORD_BYTES = 500
"""A guess for a reason with its message."""
Step = str
"""A digest of all that decides what becomes of a shard's rows at one stage, those before it
aside.
"""
Place = tuple[str, str, int]
"""Whose rows these are: workspace, file of the shard, number of rows."""


@dataclass(frozen=True)
class WrittenLedger:
    """The file in which the ledger of a shard's rows was written, and its version then."""

    file: str
    version: tuple[int, ...]


@dataclass(frozen=True)
class ShardPopulation:
    """How many rows of a shard a global stage looks at, and a digest of which."""

    count: int
    digest: bytes

    @classmethod
    def at(cls, rows: np.ndarray) -> "ShardPopulation":
        """Of these rows of a shard."""
        return cls(len(rows), blake2b(rows.tobytes(), digest_size=8).digest())


@dataclass(frozen=True)
class KnownFates:
    """What became of a shard's rows.  `steps`: the shard's file, then the stages; `ledger`: of a
    run in which these were all stages.
    """

    steps: tuple[Step, ...]
    fate: np.ndarray
    at: np.ndarray
    why: np.ndarray
    words: tuple[Why, ...]
    ran: dict[int, np.ndarray]
    ledger: WrittenLedger | None = None
    looked: Mapping[Step, ShardPopulation] = field(default_factory=dict)
    """At which rows a stage over all rows looks, by the steps that decide it and the stage."""

    @classmethod
    def of(cls, steps: Sequence[Step], found: Trace) -> "KnownFates":
        """What a look at the rows found."""
        arrays = (found.fate.copy(), found.at.copy(), found.why.copy())
        return cls(tuple(steps), *arrays, tuple(found.words), dict(found.ran))

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

    def __init__(self) -> None:
        self.most_bytes, self.nbytes = MOST_BYTES, 0
        self.lock = threading.Lock()
        self.found: OrderedDict[Place, KnownFates] = OrderedDict()

    def known(self, place: Place, steps: Sequence[Step]) -> tuple[int, Trace | None]:
        """(number of stages, rows after them), as far as what is remembered still holds."""
        if (fates := self.fates(place)) is None:
            return 0, None
        same = common(fates.steps, steps)
        return (same - 1, fates.until(same - 1)) if same else (0, None)

    def fates(self, place: Place) -> KnownFates | None:
        """What is remembered of a shard's rows, whether it holds or not."""
        with self.lock:
            if (fates := self.found.get(place)) is not None:
                self.found.move_to_end(place)
            return fates

    def remember(self, place: Place, steps: Sequence[Step], found: Trace) -> None:
        """Keeps the longest look at a shard."""
        old = self.fates(place)
        if old is None or common(old.steps, steps) < len(steps):
            known = KnownFates.of(steps, found)
            self.put(place, known if old is None else replace(known, looked=old.looked))

    def put(self, place: Place, fates: KnownFates) -> None:
        """Keeps what is known of a shard, and forgets those that were asked for long ago."""
        with self.lock:
            old = self.found.pop(place, None)
            self.nbytes += fates.nbytes - (old.nbytes if old is not None else 0)
            self.found[place] = fates
            while self.nbytes > self.most_bytes:
                self.nbytes -= self.found.popitem(last=False)[1].nbytes

    def ledger(self, place: Place, steps: Sequence[Step]) -> WrittenLedger | None:
        """Where the ledger of a shard's rows, after these stages and no others, was written."""
        fates = self.fates(place)
        return fates.ledger if fates is not None and fates.steps == tuple(steps) else None

    def wrote(self, place: Place, steps: Sequence[Step], ledger: WrittenLedger) -> None:
        """Remembers where a ledger was written."""
        fates = self.fates(place)
        if fates is not None and fates.steps == tuple(steps):
            self.put(place, replace(fates, ledger=ledger))

    def population(self, place: Place, key: Step) -> ShardPopulation | None:
        """The rows that a stage over all rows looks at; `key`: of `looked_at`."""
        fates = self.fates(place)
        return fates.looked.get(key) if fates is not None else None

    def looks(self, place: Place, key: Step, seen: ShardPopulation) -> None:
        """Remembers them, of a shard that is remembered."""
        if (fates := self.fates(place)) is not None:
            last = dict(list(fates.looked.items())[-MOST_LOOKS + 1 :])
            self.put(place, replace(fates, looked={**last, key: seen}))


FOLLOWED = FateMemory()


def looked_at(steps: Sequence[Step], stage: PlannedStage) -> Step:
    """What decides at which rows a stage over all rows looks, of a shard that was followed to
    it.
    """
    return blake2b(" ".join([*steps, stage.asked]).encode(), digest_size=12).hexdigest()


def common(one: Sequence[Step], other: Sequence[Step]) -> int:
    """How many of the first steps are the same."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(one), len(other)))


def place_of(chain: Chain, shard: int) -> Place:
    """What tells the rows of a shard from all others."""
    return chain.root, chain.source_file(shard, "uid"), chain.rows_of(shard)


def steps_of(
    chain: Chain, shard: int, stages: Sequence[PlannedStage], retry: Collection[str]
) -> tuple[Step, ...]:
    """The shard's file and the stages as they are now; none where files have no versions."""
    storage = Storage(chain.root)
    if not storage.local:
        return ()
    again = sorted(retry)
    files = files_of(chain, shard, stages)
    told: list[Any] = [version(storage, files[0] or "")]
    for stage, file in zip(stages, files[1:], strict=True):
        told.append((stage.asked, again, file, version(storage, file) if file else None))
    return tuple(blake2b(repr(t).encode(), digest_size=12).hexdigest() for t in told)


def files_of(chain: Chain, shard: int, stages: Sequence[PlannedStage]) -> list[str | None]:
    """The shard's file, and by stage that of what it stores; None of a gate, and where it is not
    known yet.
    """
    name = int(chain.table.names[shard])
    found: list[str | None] = [chain.source_file(shard, "uid")]
    for stage, address in zip(stages, chain.addresses(shard), strict=False):
        found.append(None if address is None else column_file(stage.column_set, name, address))
    return found


def version(storage: Storage, file: str) -> Version | None:
    """Tells a file from what stood in its place before; None where there is none."""
    return disk.version(f"{storage.base}/{file}")
