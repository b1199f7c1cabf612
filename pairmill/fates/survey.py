"""What a run knows of every shard: which rows wait for which stage; and the ledger of the shards
where none does.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from pairmill.fates.decide import PENDING, Trace, inputs
from pairmill.fates.fate_memory import (
    FOLLOWED,
    ShardPopulation,
    Step,
    WrittenLedger,
    looked_at,
    place_of,
    steps_of,
    version,
)
from pairmill.fates.ledger import Funnel, ledger_table, make_funnel
from pairmill.fates.trace import trace, wanted_payload
from pairmill.plan.chain import Chain, PlannedStage
from pairmill.schemas.arrow import LEDGER
from pairmill.workspace import disk
from pairmill.workspace.shards import shard_file
from pairmill.workspace.storage import Storage

Over = Callable[[Callable[[int], "ShardState"], list[int]], Iterator["ShardState"]]
"""FateMemory at shards: `Engine.over`."""

LEDGER_REPEATS = ("shard", "fate", "stage", "reason")
"""Columns of a ledger in which a few values are those of all rows."""


@dataclass
class ShardState:
    """What the stored columns tell of one shard, as far as identities are known."""

    rows: int
    kept: int
    counts: Counter[tuple[int, int, str]]
    """(stage, fate, reason) → rows that are decided."""
    waiting: Counter[int]
    """Stage → rows that it has yet to compute."""
    lost: int = 0
    """Rows whose bytes are stored no more, though an output wants them."""
    looked: ShardPopulation | None = None
    """What the first global stage whose identity is not known looks at."""

    @property
    def decided(self) -> bool:
        """Whether no row waits and nothing is lost."""
        return not self.waiting and not self.lost


def look(
    chain: Chain,
    upto: int,
    retry: tuple[str, ...],
    payload: Mapping[str, int],
    ledger: str | None,
    shard: int,
) -> ShardState:
    """Follows a shard through the stages before index `upto`, which are those with an identity;
    writes its ledger file into the folder `ledger` where that is all stages and no row waits.
    """
    whole = upto == len(chain.stages)
    place, steps = place_of(chain, shard), steps_of(chain, shard, chain.stages[:upto], retry)
    key = looked_at(steps, chain.stages[upto]) if steps and not whole else ""
    seen = FOLLOWED.population(place, key)
    asking = None if whole or seen is not None else chain.stages[upto]
    found = trace(
        chain,
        shard,
        upto,
        retry,
        want=payload if whole else when_columns(asking) if asking else (),
        present=asking.reads if asking else (),
        steps=steps,
    )
    lost = wanted_payload(found, chain, payload) if whole else np.zeros(len(found.fate), bool)
    waits = found.fate == PENDING
    told = ShardState(
        len(found.fate),
        int(found.alive.sum()),
        found.counts(),
        Counter(found.at[waits].tolist()),
        int(lost.sum()),
    )
    if asking is not None:
        seen = ShardPopulation.at(living(chain, upto, found))
        if steps:
            FOLLOWED.looks(place, key, seen)
    told.looked = seen
    if whole and ledger is not None and told.decided:
        # what `retry` names was tried again by now, and says nothing of a ledger
        steps = steps if not retry else steps_of(chain, shard, chain.stages, ())
        write_ledger(chain, shard, found, f"{ledger}/{shard_file(shard)}", steps)
    return told


def write_ledger(chain: Chain, shard: int, found: Trace, file: str, steps: Sequence[Step]) -> None:
    """Writes the ledger of a shard's rows, or takes the file in which an earlier run has written
    the very same: a file of the workspace is replaced, never changed.  `steps`: the files that the
    rows were followed through.
    """
    storage, place = Storage(chain.root), place_of(chain, shard)
    before = FOLLOWED.ledger(place, steps)
    same = before is not None and shard_file(shard) == before.file.rpartition("/")[2]
    if before is None or not same or version_of(storage, before.file) != before.version:
        storage.write_table(
            file,
            ledger_table(chain, shard, found),
            distinct=("row", "uid"),
            repeated=LEDGER_REPEATS,
            seen_as=LEDGER,
        )
    elif before.file != file:
        disk.link(storage.path(before.file), storage.path(file))
    if steps and (told := version_of(storage, file)) is not None:
        FOLLOWED.wrote(place, steps, WrittenLedger(file, told))


def version_of(storage: Storage, file: str) -> tuple[int, ...] | None:
    """Tells a file from what stood in its place before; another name of it makes no difference."""
    found = version(storage, file)
    return found and found[:3]


def when_columns(stage: PlannedStage) -> tuple[str, ...]:
    """Columns whose values tell which rows a stage over all rows looks at, beside its inputs."""
    return stage.when.columns if stage.when else ()


def living(chain: Chain, index: int, found: Trace) -> np.ndarray:
    """Rows that a global stage looks at, of a shard that was followed to it."""
    run, _, _ = inputs(chain.stages[index], found.frame, found.alive, chain)
    return np.flatnonzero(run).astype(np.int32)


def known_stages(chain: Chain) -> int:
    """Number of leading stages whose columns can be told from others'."""
    return next(
        (s.index for s in chain.stages if s.computes and s.identity is None), len(chain.stages)
    )


@dataclass
class Survey:
    """Every shard, looked at once, and again only after something was computed for it."""

    chain: Chain
    over: Over
    payload: Mapping[str, int] = field(default_factory=dict)
    """Columns whose bytes outputs want, and how many stages count for the rows that they take."""
    ledger: str | None = None
    retry: tuple[str, ...] = ()
    """Error classes whose failures count as not computed yet."""
    stale: Iterable[int] = ()
    undecided: dict[int, ShardState] = field(default_factory=dict)
    """Shards that are not decided."""
    rows: int = 0
    kept: int = 0
    counts: Counter[tuple[int, int, str]] = field(default_factory=Counter)
    """Of the decided ones, together."""

    def __post_init__(self) -> None:
        self.start(self.chain)

    def start(self, chain: Chain) -> None:
        """Everything anew: another global stage has its identity."""
        self.chain, self.stale, self.undecided = chain, chain.shards(), {}
        self.rows, self.kept, self.counts = 0, 0, Counter()

    def renew(self, shards: Iterable[int]) -> None:
        """These shards, none of them decided, have changed."""
        self.stale = sorted({*self.stale, *shards})

    def settle(self) -> None:
        """What was to be tried again was: what failed has failed."""
        if self.retry:
            self.retry = ()
            self.renew(self.undecided)

    def refresh(self) -> None:
        """FateMemory at the shards that may have changed."""
        upto, stale = known_stages(self.chain), list(self.stale)
        work = partial(look, self.chain, upto, self.retry, self.payload, self.ledger)
        for shard, told in zip(stale, self.over(work, stale), strict=True):
            if told.decided and upto == len(self.chain.stages):
                self.undecided.pop(shard, None)
                self.rows, self.kept = self.rows + told.rows, self.kept + told.kept
                self.counts.update(told.counts)
            else:
                self.undecided[shard] = told
        self.stale = ()

    def waiting(self, first: int = 0, last: int | None = None) -> dict[int, int]:
        """Shard → rows that wait for stages from index `first` to before `last`; shards without any
        are left out.
        """
        self.refresh()
        last = len(self.chain.stages) if last is None else last
        found = {
            shard: sum(n for at, n in told.waiting.items() if first <= at < last)
            for shard, told in sorted(self.undecided.items())
        }
        return {shard: n for shard, n in found.items() if n}

    def lost(self) -> dict[int, int]:
        """Shard → rows whose bytes are gone, though an output takes them."""
        self.refresh()
        return {shard: told.lost for shard, told in sorted(self.undecided.items()) if told.lost}

    def population(self) -> tuple[str, dict[int, ShardPopulation]]:
        """(digest of which rows the first global stage without identity looks at, the same by
        shard).
        """
        self.refresh()
        h = hashlib.blake2b(digest_size=8)
        found: dict[int, ShardPopulation] = {}
        first = known_stages(self.chain)
        for shard in self.chain.shards():
            found[shard] = looked = self.undecided[shard].looked or ShardPopulation(0, b"")
            if looked.count:
                h.update(looked.digest + self.chain.inputs_digest(first, shard))
        return h.hexdigest(), found

    def stages_waiting(self) -> Counter[int]:
        """Stage → rows that wait for it (later stages will get at most what passes it)."""
        self.refresh()
        return sum((told.waiting for told in self.undecided.values()), Counter())

    def funnel(self, unreadable: int) -> Funnel:
        """The steps of a run in which every row is decided."""
        funnel = make_funnel(self.chain, self.rows, self.kept, self.counts, unreadable)
        funnel.check()
        return funnel
