"""One run, from the pool to the packages: everything that is not stored yet is computed, then fates
are read off.
"""

import logging
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from pairmill.errors import RunError, StageBroken, WouldReplace
from pairmill.fates.ledger import Funnel
from pairmill.fates.remembered import keep, recall
from pairmill.packages.manifest import lacking
from pairmill.packages.package import check_owner
from pairmill.packages.publish import publish
from pairmill.pipeline.absent_groups import absent_groups, free_groups
from pairmill.pipeline.failures import failure_classes
from pairmill.pipeline.findings import findings, trusted_code
from pairmill.pipeline.folder import clear_temporary
from pairmill.pipeline.matches import matches
from pairmill.pipeline.news import news
from pairmill.pipeline.odd_uids import check_uids
from pairmill.pipeline.preflight import look_for_memory, preflight, unseen
from pairmill.pipeline.replacing import replaced_packages
from pairmill.pipeline.run_metrics import RunMetrics
from pairmill.pipeline.settings import StoredSettings
from pairmill.pipeline.stored_tables import stored_table
from pairmill.pipeline.table_run import DecidedTable, TableRun
from pairmill.pipeline.totals import StageTotals
from pairmill.pipeline.watcher import Watcher
from pairmill.pipeline.whereabouts import is_ray_there
from pairmill.plan.chain import Chain, PlannedStage
from pairmill.plan.plan import Plan
from pairmill.plan.planned import every_stage
from pairmill.redaction import redact, redact_data
from pairmill.work.engine import WorkEngine
from pairmill.work.local import LocalEngine
from pairmill.workspace.contents import open_workspace
from pairmill.workspace.file_looks import keep_looks
from pairmill.workspace.fingerprints import table_id
from pairmill.workspace.ingest import build_table
from pairmill.workspace.lease import announced, leased
from pairmill.workspace.storage import Storage
from pairmill.workspace.tables import Table, open_table

LOG = logging.getLogger("pairmill")


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
    tables: dict[str, DecidedTable] = field(default_factory=dict)
    """By block, what became of its elements."""
    stages: dict[str, dict[str, float]] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    """What a person has to know of it, and may want to mend."""
    notes: tuple[str, ...] = ()
    """What is worth a word, and no fault."""


def examine(
    storage: Storage, stages: Iterable[PlannedStage], engine: WorkEngine, local: bool
) -> None:
    """Looks at what stages will load, before any work; raises what would fail then.  `local`: the
    workers run on this machine.

    Not at stages of which values are stored: these were loaded before.
    """
    new = unseen(storage, stages)
    for stage in new if local else ():
        if (why := stage.stage.missing_here()) is not None:
            raise StageBroken(f"stage {stage.name!r}: {why}")
    for stage, lines in zip(new, engine.examine(new), strict=True):
        for line in lines:
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
        self.here = self.local or not is_ray_there()
        """Whether work is done on this machine alone."""
        self.engine: WorkEngine
        if self.local:
            self.engine = LocalEngine(disk, self.processes, self.import_paths)
        else:
            from pairmill.cluster.engine import RayEngine

            self.engine = RayEngine(self.import_paths, places, disk)
        self.seconds: dict[str, float] = {}
        self.totals = StageTotals()
        self.passed: dict[str, Any] = {}
        """Manifests of packages that may be replaced, by place."""

    def run(
        self, on_folder: Callable[[Storage, str], None] = lambda storage, folder: None
    ) -> RunOutcome:
        """Raises RunError; whatever it committed by then stays."""
        preflight(self.plan, self.local, self.here)
        storage = open_workspace(self.plan.config.workspace)
        if not storage.keeps_conditions():
            self.watcher.note(
                f"{storage.root}: this store ignores conditions of writes, so no other "
                "run may work in this workspace meanwhile"
            )
        for writer in self.plan.writers:
            if reason := check_owner(writer, self.plan.config.name):
                raise RunError(reason)
        self.ask_to_replace()
        begins = ExitStack()
        try:
            self.engine.expect(unseen(storage, every_stage(self.plan.stages)))
            begins.enter_context(announced(storage, self.watcher.note))
            table = self.timed("table", lambda: self.table(storage))
            keep_looks(storage, self.plan.config.name, self.plan.source.looks)
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
                check_uids(self.plan, chain, self.engine.over, self.watcher.note)
                examine(storage, every_stage(chain.stages), self.engine, self.local)
                if self.here:
                    look_for_memory(self.plan, ask=True)
                settings = StoredSettings(storage, self.plan.redact)
                recall(chain.root, self.plan.config.name)
                run = TableRun(
                    self.plan, self.engine, self.watcher, self.totals, self.timed, storage,
                    folder, lease, self.retry, settings, begins=begins,
                )  # fmt: skip
                # which of the unreadable rows stand before a limit is not known
                unreadable = table.unreadable if chain.rows() == table.row_count else 0
                source = run.decided(chain, f"{folder}/ledger", unreadable)
                chain, funnel = source.chain, source.funnel
                self.ask_to_replace()  # another run may have ended while this one worked
                packages = {
                    w.config.path: self.timed(
                        f"output {i + 1}",
                        partial(self.package, run.tables.get(w.config.rows or "", source), i),
                    )
                    for i, w in enumerate(self.plan.writers)
                }
                tables = [source, *run.tables.values()]
                absent = [line for t in tables for line in absent_groups(t.chain, self.engine.over)]
                free = [line for t in tables for line in free_groups(t.chain, self.engine.over)]
                found = [line for t in tables for line in matches(t.chain, self.engine.over)]
                again, whole = (*self.retry, *run.tried), self.limit is None
                left = [line for t in tables for line in settings.end(t.chain, again, whole)]
                keep(chain.root, self.plan.config.name, [t.chain for t in tables])
                self.totals.settle(self.engine.spent())
        except BaseException:
            self.totals.settle(self.engine.spent())
            for line in self.totals.spent():
                self.watcher.note(f"{line}, by the time when it stopped; that is stored")
            raise
        finally:
            begins.close()
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
            run.tables,
            self.totals.stages,
            warnings=(
                *findings(funnel, [str(told) for told in table.told if not told.ordinary]),
                *absent,
                *free,
                *lacking(packages),
                *left,
            ),
            notes=(
                *([str(fresh)] if fresh else []),
                *(str(told) for told in table.told if told.ordinary),
                *found,
                *trusted_code(every_stage(chain.stages)),
                *self.totals.told(),
            ),
        )

    def ask_to_replace(self) -> None:
        """Raises WouldReplace where other settings made a package that this run would replace."""
        if self.replace:
            return
        if lines := replaced_packages(self.plan, self.text, self.limit, self.passed):
            raise WouldReplace(lines)

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

            def progress(rows: int, files: int, of: int) -> None:
                if rows:
                    self.engine.rows_come(every_stage(self.plan.stages))
                self.watcher.reading(rows, files, of)

            found = build_table(
                storage,
                self.plan.source,
                identity,
                self.plan.pool_schema,
                redact=lambda facts: redact_data(self.plan.redact(facts)),
                hands=self.engine.readers(),
                progress=progress,
            )
        return found

    def look_for_retried(self, chain: Chain) -> None:
        """Says which class of `--retry` no stored failure has: a slip of the pen would else retry
        nothing without a word.
        """
        if not self.retry:
            return
        there: set[str] = set()
        for table in stored_table(chain).every():
            work = partial(failure_classes, table.chain)
            there = there.union(*self.engine.over(work, table.chain.shards()))
        for unknown in sorted(r for r in self.retry if r.rpartition(":")[2] not in there):
            self.watcher.note(
                f"--retry {unknown}: no stored failure is of that class (there are: "
                f"{', '.join(sorted(there)) or 'none'})"
            )

    def package(self, table: DecidedTable, number: int) -> dict[str, Any]:
        """Writes one output, of a table's rows."""
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
            self.engine,
            table.chain,
            writer,
            selection,
            table.ledger,
            facts,
            config.seed,
            table.funnel,
        )
