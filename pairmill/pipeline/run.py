"""One run, from the pool to the packages: everything that is not stored yet is computed, then fates
are read off.
"""

import logging
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from pairmill.cluster.engine import RayEngine
from pairmill.errors import RunError, WouldReplace
from pairmill.fates.ledger import Funnel
from pairmill.fates.survey import Survey
from pairmill.packages.package import check_owner
from pairmill.packages.publish import publish
from pairmill.pipeline.failures import check_failures, failure_classes
from pairmill.pipeline.findings import findings, trusted_code
from pairmill.pipeline.folder import clear_temporary
from pairmill.pipeline.matches import matches
from pairmill.pipeline.news import news
from pairmill.pipeline.phases import Phases
from pairmill.pipeline.preflight import preflight
from pairmill.pipeline.replacing import replaced_packages
from pairmill.pipeline.run_metrics import RunMetrics
from pairmill.pipeline.settings import StoredSettings, to_try_again
from pairmill.pipeline.totals import StageTotals
from pairmill.pipeline.watcher import Watcher
from pairmill.plan.chain import Chain
from pairmill.plan.plan import Plan
from pairmill.redaction import redact, redact_data
from pairmill.work.engine import WorkEngine
from pairmill.work.local import LocalEngine
from pairmill.workspace.contents import open_workspace
from pairmill.workspace.fingerprints import table_id
from pairmill.workspace.ingest import build_table
from pairmill.workspace.lease import Lease, leased
from pairmill.workspace.storage import Storage
from pairmill.workspace.tables import Table, open_table

LOG = logging.getLogger("pairmill")
TRIES = 4
"""Passes over the phases before rows that stay undecided are an error; more than one is needed only
where another run took payload away meanwhile, or failures repeat.
"""


@dataclass
class RunOutcome:
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
    warnings: tuple[str, ...] = ()
    """What a person has to know of it, and may want to mend."""
    notes: tuple[str, ...] = ()
    """What is worth a word, and no fault."""


def examine(storage: Storage, chain: Chain) -> None:
    """Looks at what stages will load, before any work; raises what would fail then.

    Not at stages of which values are stored: these were loaded before.
    """
    for stage in chain.stages:
        if stage.identity and storage.exists(f"columns/{stage.column_set}/stage.json"):
            continue
        for line in stage.stage.examine():
            LOG.info("stage %s: %s", stage.name, line)


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
    """Run on this machine, without Ray."""
    replace: bool = False
    """Write over packages that other settings made."""
    processes: int | None = 0
    """Worker processes at most, without Ray: as many as cores if None, 0 for none."""

    def __post_init__(self) -> None:
        places = (self.plan.config.workspace, *(w.config.path for w in self.plan.writers))
        disk = Storage(self.plan.config.workspace).local
        self.engine: WorkEngine = (
            LocalEngine(disk, self.processes, self.import_paths)
            if self.local
            else RayEngine(self.import_paths, places, disk)
        )
        self.seconds: dict[str, float] = {}
        self.again: tuple[str, ...] = ()
        """Entries of `retry` that follow from changed settings."""
        self.totals = StageTotals()

    def run(
        self, on_folder: Callable[[Storage, str], None] = lambda storage, folder: None
    ) -> RunOutcome:
        """Raises RunError; whatever it committed by then stays."""
        preflight(self.plan, self.local)
        storage = open_workspace(self.plan.config.workspace)
        if not storage.keeps_conditions():
            self.watcher.note(
                f"{storage.root}: this store ignores conditions of writes, so no other "
                "run may work in this workspace meanwhile"
            )
        for writer in self.plan.writers:
            if reason := check_owner(writer, self.plan.config.name):
                raise RunError(reason)
        if not self.replace and (lines := replaced_packages(self.plan, self.text, self.limit)):
            raise WouldReplace(lines)
        try:
            table = self.timed("table", lambda: self.table(storage))
            fresh = news(storage, table, self.plan.config.name)
            if fresh:
                self.watcher.note(str(fresh))
            chain = self.plan.chain(table, self.limit)
            run_id = self.plan.run_id(chain)
            folder = f"runs/{run_id}"
            self.engine.run_id = run_id
            with leased(storage, folder) as lease:
                on_folder(storage, folder)
                storage.write_bytes(f"{folder}/pipeline.yaml", redact(self.text).encode())
                clear_temporary(storage, chain, folder)
                self.look_for_retried(chain)
                examine(storage, chain)
                settings = StoredSettings(storage, self.plan.redact)
                changes = settings.changes(chain)
                for change in changes:
                    again = ", ".join(change.classes)
                    self.watcher.note(f"{change}; stored failures are tried again ({again})")
                self.again = to_try_again(changes)
                chain, funnel = self.until_decided(storage, chain, folder, table, lease)
                packages = {
                    w.config.path: self.timed(
                        f"output {i + 1}", partial(self.package, chain, i, folder, funnel)
                    )
                    for i, w in enumerate(self.plan.writers)
                }
                found = matches(chain, self.engine.over)
                left = settings.end(
                    chain, again=(*self.retry, *self.again), whole=self.limit is None
                )
        finally:
            self.engine.close()
            self.watcher.done()
        totals = self.totals
        RunMetrics(self.seconds, totals.stages, totals.notes, funnel).write(storage, folder)
        return RunOutcome(
            run_id,
            f"{storage.root}/{folder}",
            funnel,
            packages,
            self.seconds,
            chain,
            self.totals.stages,
            warnings=(
                *findings(funnel, [str(told) for told in table.told if not told.ordinary]),
                *left,
            ),
            notes=(
                *([str(fresh)] if fresh else []),
                *(str(told) for told in table.told if told.ordinary),
                *found,
                *trusted_code(chain.stages),
                *self.totals.loaded(),
                *self.totals.spent(),
            ),
        )

    def timed(self, part: str, work: Callable[[], Any]) -> Any:
        """Does a part of the run and adds its seconds."""
        start = time.monotonic()
        try:
            return work()
        finally:
            self.seconds[part] = round(self.seconds.get(part, 0) + time.monotonic() - start, 3)

    def table(self, storage: Storage) -> Table:
        """The rows of the source, read unless they are there."""
        identity = table_id(storage, self.plan.source)
        found = open_table(storage, identity)
        if found is None:
            self.watcher.note("reading the source")
            for line in self.plan.source.mapping():
                self.watcher.note(f"columns: {line}")
            found = build_table(
                storage,
                self.plan.source,
                identity,
                self.plan.pool_schema,
                redact=lambda facts: redact_data(self.plan.redact(facts)),
            )
        return found

    def until_decided(
        self, storage: Storage, chain: Chain, folder: str, table: Table, lease: Lease
    ) -> tuple[Chain, Funnel]:
        """Runs the phases until no row is undecided, and writes the ledger."""
        payload = chain.taken()
        retry = (*self.retry, *self.again)
        survey = Survey(chain, self.engine.over, payload, f"{folder}/ledger", retry)
        phases = Phases(
            self.plan,
            self.engine,
            self.watcher,
            lease,
            self.totals,
            self.timed,
            bool(self.retry or self.again),
        )
        for attempt in range(TRIES):
            if attempt and any(s.is_global for s in chain.stages):
                survey.start(chain)  # what they look at may have changed
            phases.run(storage, survey, folder)
            survey.settle()
            pending = self.timed("ledger", survey.waiting)
            if lost := self.timed("ledger", survey.lost):
                self.refill(survey.chain, lost, payload)
                survey.renew(lost)
            elif not pending:
                unreadable = (
                    0 if self.limit is not None else table.unreadable
                )  # which of them stand before the limit is not known
                funnel = survey.funnel(unreadable)
                check_failures(self.plan.stages, funnel)
                return survey.chain, funnel
            survey.renew(pending)
        raise RunError(
            f"{sum((pending or lost).values())} rows of {len(pending or lost)} shards "
            "stay undecided; another run may be removing what this one writes"
        )

    def look_for_retried(self, chain: Chain) -> None:
        """Says which class of `--retry` no stored failure has: a slip of the pen would else retry
        nothing without a word.
        """
        if not self.retry:
            return
        shards = self.engine.over(partial(failure_classes, chain), chain.shards())
        there = set().union(*shards)
        for unknown in sorted(r for r in self.retry if r.rpartition(":")[2] not in there):
            self.watcher.note(
                f"--retry {unknown}: no stored failure is of that class (there are: "
                f"{', '.join(sorted(there)) or 'none'})"
            )

    def refill(self, chain: Chain, lost: dict[int, int], payload: Collection[str]) -> None:
        """Fetches again payload that outputs take and that is stored no more."""
        for stage in chain.stages:
            if set(stage.payload()) & set(payload):
                self.engine.refetch(chain, stage, sorted(lost))

    def package(self, chain: Chain, number: int, folder: str, funnel: Funnel) -> dict[str, Any]:
        """Writes one output."""
        config, writer = self.plan.config, self.plan.writers[number]
        selection = self.plan.selections[number]
        facts = {
            "name": config.name,
            "pipeline": redact(self.text),
            "license": config.license,
            "citation": config.citation,
        }
        self.watcher.note(f"writing {writer.config.type} to {writer.config.path}")
        return publish(
            self.engine, chain, writer, selection, f"{folder}/ledger", facts, config.seed, funnel
        )
