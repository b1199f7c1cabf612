"""One run, from the pool to the packages: everything that is not stored yet is computed, then fates
are read off.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pyarrow.compute as pc

from pairmill.cluster.executor import run_phase
from pairmill.cluster.over_shards import over_shards
from pairmill.cluster.partitions import run_global
from pairmill.cluster.session import RaySession
from pairmill.errors import RunError, StageFailed
from pairmill.fates.ledger import Funnel
from pairmill.fates.survey import ShardPopulation, Survey
from pairmill.packages.package import check_owner
from pairmill.packages.publish import publish
from pairmill.pipeline.totals import StageTotals
from pairmill.plan.chain import Chain
from pairmill.plan.plan import Plan, identified
from pairmill.work.attempt import LEAST_FAILURES
from pairmill.work.block import Job
from pairmill.work.here import run_phase_here
from pairmill.work.refill import refetch
from pairmill.workspace.contents import open_workspace
from pairmill.workspace.lease import Lease, leased
from pairmill.workspace.pool import Pool, build_pool, open_pool, pool_id
from pairmill.workspace.storage import Storage

LOG = logging.getLogger("pairmill")
TRIES = 4
"""Passes over the phases before rows that stay undecided are an error; more than one is needed only
where another run took payload away meanwhile, or failures repeat.
"""

PAYLOAD_BYTES = 10_000
"""A low guess of one stored image, for the look at free space before a phase; every commit looks
again.
"""


class Watcher:
    """What a run tells while it works; the display overrides what it shows."""

    def phase(self, title: str, stages: list[str], rows: int) -> None: ...
    def told(self, stats: dict[str, Any]) -> None: ...
    def note(self, text: str) -> None: ...
    def done(self) -> None: ...


@dataclass
class Outcome:
    """A finished run: its folder in the workspace, the funnel, the packages' manifests by path,
    seconds by part.
    """

    run_id: str
    folder: str
    funnel: Funnel
    packages: dict[str, dict[str, Any]]
    seconds: dict[str, float]
    chain: Chain
    stages: dict[str, dict[str, float]] = field(default_factory=dict)


@dataclass
class Runner:
    """The state of one run."""

    plan: Plan
    text: str
    watcher: Watcher
    import_paths: list[str]
    limit: int | None = None
    retry: tuple[str, ...] = ()
    local: bool = False
    """Run phases in this process, without Ray."""

    def __post_init__(self) -> None:
        places = (self.plan.config.workspace, *(w.config.path for w in self.plan.writers))
        self.session = RaySession(self.import_paths, places=places)
        self.lease: Lease | None = None
        self.seconds: dict[str, float] = {}
        self.totals = StageTotals()

    def run(
        self, on_folder: Callable[[Storage, str], None] = lambda storage, folder: None
    ) -> Outcome:
        """Raises RunError; whatever it committed by then stays."""
        storage = open_workspace(self.plan.config.workspace)
        if not storage.keeps_conditions():
            self.watcher.note(
                f"{storage.root}: this store ignores conditions of writes, so no other run may work in this workspace meanwhile"
            )
        for writer in self.plan.writers:
            if reason := check_owner(writer, self.plan.config.name):
                raise RunError(reason)
        try:
            pool = self.timed("pool", lambda: self.pool(storage))
            chain = self.plan.chain(pool.id, pool.shard_rows, self.limit)
            run_id = self.plan.run_id(chain)
            folder = f"runs/{run_id}"
            self.session.run_id = run_id
            with leased(storage, folder) as self.lease:
                on_folder(storage, folder)
                storage.write_bytes(f"{folder}/pipeline.yaml", self.text.encode())
                self.look_for_retried(chain)
                chain, funnel = self.until_decided(storage, chain, folder, pool)
                packages = {
                    w.config.path: self.timed(
                        f"output {i + 1}", partial(self.package, chain, w, folder, funnel)
                    )
                    for i, w in enumerate(self.plan.writers)
                }
        finally:
            self.session.close()
            self.watcher.done()
        storage.write_json(
            f"{folder}/metrics.json",
            {"seconds": self.seconds, "stages": self.totals.stages, "funnel": funnel.to_json()},
        )
        return Outcome(
            run_id,
            f"{storage.root}/{folder}",
            funnel,
            packages,
            self.seconds,
            chain,
            self.totals.stages,
        )

    def timed(self, part: str, work: Callable[[], Any]) -> Any:
        start = time.monotonic()
        try:
            return work()
        finally:
            self.seconds[part] = round(self.seconds.get(part, 0) + time.monotonic() - start, 3)

    def pool(self, storage: Storage) -> Pool:
        identity = pool_id(storage, self.plan.source)
        found = open_pool(storage, identity)
        if found is None:
            self.watcher.note("reading the source")
            found = build_pool(
                storage, self.plan.source, identity, self.plan.pool_schema, redact=self.plan.redact
            )
        return found

    def until_decided(
        self, storage: Storage, chain: Chain, folder: str, pool: Pool
    ) -> tuple[Chain, Funnel]:
        """Runs the phases until no row is undecided, and writes the ledger."""
        payload = tuple(dict.fromkeys(p for w in self.plan.writers for p in w.payload()))
        over = partial(over_shards, None if self.local else self.session, local=storage.local)
        survey = Survey(chain, over, payload, f"{folder}/ledger", self.retry)
        for attempt in range(TRIES):
            if attempt and any(s.is_global for s in chain.stages):
                survey.start(chain)  # what they look at may have changed
            self.phases(storage, survey, folder)
            survey.settle()
            pending = self.timed("ledger", survey.waiting)
            if lost := self.timed("ledger", survey.lost):
                self.refill(survey.chain, lost, payload)
                survey.renew(lost)
            elif not pending:
                unreadable = (
                    0 if self.limit is not None else pool.unreadable
                )  # which of them stand before the limit is not known
                funnel = survey.funnel(unreadable)
                self.check_failures(funnel)
                return survey.chain, funnel
            survey.renew(pending)
        raise RunError(
            f"{sum((pending or lost).values())} rows of {len(pending or lost)} shards stay undecided; another run may be removing what this one writes"
        )

    def look_for_retried(self, chain: Chain) -> None:
        """Says which class of `--retry` no stored failure has: a slip of the pen would else retry
        nothing without a word.
        """
        if not self.retry:
            return
        over = partial(
            over_shards, None if self.local else self.session, local=Storage(chain.root).local
        )
        there = set().union(*over(partial(failure_classes, chain), chain.shards()))
        for unknown in sorted(set(self.retry) - there):
            self.watcher.note(
                f"--retry {unknown}: no stored failure is of that class (there are: {', '.join(sorted(there)) or 'none'})"
            )

    def check_failures(self, funnel: Funnel) -> None:
        """Stored failures count as well: running again does not make too many of them fewer."""
        for stage, step in zip(self.plan.stages, funnel.steps[1:], strict=True):
            failed = step.failed - step.reasons.get("missing_input", 0)
            if failed >= LEAST_FAILURES and failed > stage.config.max_failures * step.rows:
                commonest = max(step.reasons, key=lambda r: step.reasons[r])
                hint = f"{step.reasons[commonest]:,} times; after mending the cause: --retry {commonest}, or raise max_failures"
                raise StageFailed(
                    stage.name, failed, step.rows, commonest, hint, stage.config.max_failures
                )

    def refill(self, chain: Chain, lost: dict[int, int], payload: tuple[str, ...]) -> None:
        """Fetches again payload that kept rows need and that is stored no more."""
        for stage in chain.stages:
            if set(stage.payload()) & set(payload):
                refetch(chain, stage, sorted(lost))

    def phases(self, storage: Storage, survey: Survey, folder: str) -> None:
        """Computes what the survey says is missing, phase by phase; `survey.chain` has all
        identities then.
        """
        digests: dict[int, str] = {}
        chain = survey.chain
        for number, (first, last) in enumerate(self.plan.phases()):
            part, stage = f"phase {number + 1}", chain.stages[first]
            looked: dict[int, ShardPopulation] = {}
            if stage.is_global:
                digests[first], looked = self.timed(part, survey.population)
                chain = identified(chain, digests)
                survey.start(chain)
            self.describe(storage, chain, folder)
            todo = self.timed(part, partial(survey.waiting, first, last))
            if not todo:
                continue
            names = [s.name for s in chain.stages[first:last]]
            LOG.info(
                "phase starts",
                extra={
                    "facts": {
                        "phase": number + 1,
                        "stages": names,
                        "shards": len(todo),
                        "rows": sum(todo.values()),
                    }
                },
            )
            if stage.is_global:
                self.watcher.phase(
                    f"{part}: {stage.name}", names, sum(seen.count for seen in looked.values())
                )
                self.timed(
                    part,
                    partial(
                        run_global,
                        None if self.local else self.session,
                        Job(chain, first, last),
                        looked,
                    ),
                )
            else:
                needed = Job(chain, first, last).needed_after(first - 1)
                for earlier in chain.stages[:first]:
                    if set(earlier.payload()) & needed:
                        self.timed(part, partial(refetch, chain, earlier, sorted(todo), last))
                self.watcher.phase(f"{part}: {', '.join(names)}", names, sum(todo.values()))
                self.timed(
                    part,
                    partial(self.map_phase, Job(chain, first, last, survey.retry), sorted(todo)),
                )
            survey.renew(todo)
        self.describe(storage, chain, folder)

    def map_phase(self, job: Job, shards: list[int]) -> None:
        if any(stage.payload() for stage in job.stages()):
            Storage(job.chain.root).check_space(sum(map(job.chain.rows_of, shards)) * PAYLOAD_BYTES)
        counts: dict[str, list[int]] = {s.name: [0, 0] for s in job.stages()}
        finished = (
            run_phase_here(job, shards) if self.local else run_phase(self.session, job, shards)
        )
        for stats in finished:
            if self.lease:
                self.lease.check()
            for stage in stats:
                self.totals.add(stage)
                LOG.info("shard passed", extra={"facts": stage})
                if (
                    self.local
                ):  # on Ray the workers tell by themselves, before their shard leaves the phase
                    self.watcher.told(stage)
                counts[stage["stage"]][0] += stage["computed"]
                counts[stage["stage"]][1] += stage["errors"]
            for planned in job.stages() if not self.retry else ():
                computed, failed = counts[planned.name]
                limit = planned.config.max_failures
                if failed >= LEAST_FAILURES and failed > limit * computed:
                    raise StageFailed(
                        planned.name,
                        failed,
                        computed,
                        *self.commonest(job, planned.index, shards),
                        limit,
                    )
        self.totals.phase_ended()

    def commonest(self, job: Job, index: int, shards: list[int]) -> tuple[str, str]:
        """Class and message of a stored failure, to name the cause."""
        stage = job.chain.stages[index]
        for shard in shards:
            stored = job.chain.store.load(stage.column_set, shard, [])
            for error in stored.column("error").to_pylist() if stored is not None else []:
                if error:
                    return error[
                        "class"
                    ], f"{error['message']} (after mending it: --retry {error['class']})"
        return "failure", "no message"

    def describe(self, storage: Storage, chain: Chain, folder: str) -> None:
        """plan.json of the run, and stage.json of each column set: for people, and for gc."""
        redact = self.plan.redact
        before = (
            storage.read_json(f"{folder}/plan.json")["stages"]
            if storage.exists(f"{folder}/plan.json")
            else []
        )
        known = {
            s["name"]: s["column_set"] for s in before
        }  # not told yet in this pass, but in use: gc must know
        stages = [
            {
                "name": s.name,
                "column_set": s.column_set if s.computes and s.identity else known.get(s.name),
                "keep": s.gate and s.gate.text,
                **s.definition,
            }
            for s in chain.stages
        ]
        plan = {"pool": chain.pool, "rows": chain.rows(), "limit": self.limit, "stages": stages}
        storage.write_json(f"{folder}/plan.json", redact(plan))
        for stage in chain.stages:
            if (
                stage.computes
                and stage.identity
                and not storage.exists(f"columns/{stage.column_set}/stage.json")
            ):
                storage.write_json(
                    f"columns/{stage.column_set}/stage.json",
                    redact({**stage.definition, "pool": chain.pool}),
                )

    def package(self, chain: Chain, writer: Any, folder: str, funnel: Funnel) -> dict[str, Any]:
        facts = {"name": self.plan.config.name, "pipeline": self.text}
        self.watcher.note(f"writing {writer.config.type} to {writer.config.path}")
        return publish(
            None if self.local else self.session,
            chain,
            writer,
            f"{folder}/ledger",
            facts,
            self.plan.config.seed,
            funnel,
            lambda done, total: None,
        )


def failure_classes(chain: Chain, shard: int) -> set[str]:
    """Classes of the failures that are stored of a shard."""
    found: set[str] = set()
    for stage in chain.stages:
        stored = (
            chain.store.load(stage.column_set, shard, [])
            if stage.computes and stage.identity
            else None
        )
        if stored is not None:
            found |= {
                c
                for c in pc.struct_field(stored.column("error"), "class").unique().to_pylist()
                if c
            }
    return found
