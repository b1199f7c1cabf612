"""A table taken through its stages until no row is undecided, and the tables of its blocks within
it.
"""

from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from pairmill.errors import RunError
from pairmill.fates.ledger import Funnel
from pairmill.fates.survey import Survey
from pairmill.pipeline.failures import check_failures
from pairmill.pipeline.folder import describe
from pairmill.pipeline.phases import Phases
from pairmill.pipeline.settings import StoredSettings, to_try_again
from pairmill.pipeline.stored_tables import child_table
from pairmill.pipeline.totals import StageTotals
from pairmill.pipeline.watcher import Watcher
from pairmill.plan.blocks import EachBlock, child_chain, with_inside
from pairmill.plan.chain import Chain, PlannedStage
from pairmill.plan.plan import Plan
from pairmill.schemas.arrow import is_payload
from pairmill.texts.amounts import amount
from pairmill.work.elements import bytes_read, collected, opened
from pairmill.work.engine import WorkEngine
from pairmill.workspace.lease import Lease, announced
from pairmill.workspace.run_plan import RunPlan
from pairmill.workspace.shards import ShardFacts
from pairmill.workspace.storage import Storage
from pairmill.workspace.tables import Table, open_table, save_table

TRIES = 4
"""Passes over the phases before rows that stay undecided are an error; more than one is needed only
where another run took payload away meanwhile, or failures repeat.
"""


@dataclass(frozen=True)
class DecidedTable:
    """A table of which every row is decided, where its ledger lies, and what its rows add up to."""

    chain: Chain
    ledger: str
    funnel: Funnel


@dataclass
class TableRun:
    """The tables of one run: the source's, and those that blocks open.  `retry`: entries that count
    as not computed yet; `tried`: those that changed settings added.
    """

    plan: Plan
    engine: WorkEngine
    watcher: Watcher
    totals: StageTotals
    timed: Callable[[str, Callable[[], Any]], Any]
    storage: Storage
    folder: str
    lease: Lease
    retry: tuple[str, ...] = ()
    settings: StoredSettings | None = None
    tried: tuple[str, ...] = ()
    tables: dict[str, DecidedTable] = field(default_factory=dict)
    """By block, what was decided of its elements."""
    chains: dict[str | None, Chain] = field(default_factory=dict)
    """By block (None: the source's rows), the stages as far as they are known."""
    described: RunPlan | None = None
    """What plan.json holds."""
    begins: ExitStack = field(default_factory=ExitStack)
    """Has what tells gc that something is in use of which plan.json does not know yet."""

    def decided(self, chain: Chain, ledger: str, unreadable: int = 0) -> DecidedTable:
        """Runs the phases until no row is undecided, and writes the ledger."""
        payload = chain.taken()
        retry = (*self.retry, *self.changed(chain))
        survey = Survey(chain, self.engine.over, payload, ledger, retry)
        phases = Phases(self, retry)
        for attempt in range(TRIES):
            if attempt and any(s.is_alone for s in chain.stages):
                survey.start(chain)  # what they look at may have changed
            phases.run(survey, ledger)
            survey.settle()
            pending = self.timed("ledger", survey.waiting)
            if lost := self.timed("ledger", survey.lost):
                self.refill(survey.chain, lost, payload)
                survey.renew(lost)
            elif not pending:
                funnel = survey.funnel(unreadable)
                inside = {s.name: s.block.name for s in chain.stages if s.block is not None}
                for step in funnel.steps:
                    if step.stage in inside:
                        step.elements = self.tables[inside[step.stage]].funnel
                check_failures(chain.stages, funnel)
                return DecidedTable(survey.chain, ledger, funnel)
            survey.renew(pending)
        raise RunError(
            f"{amount(sum((pending or lost).values()), 'row')} of "
            f"{amount(len(pending or lost), 'shard')} stay undecided; "
            "another run may be removing what this one writes"
        )

    def changed(self, chain: Chain) -> tuple[str, ...]:
        """Entries of `retry` that follow from changed settings, which are told."""
        if self.settings is None:
            return ()
        changes = self.settings.changes(chain)
        for change in changes:
            again = ", ".join(change.classes)
            self.watcher.note(f"{change}; stored failures are tried again ({again})")
        self.settings.begin(chain)
        entries = to_try_again(changes)
        self.tried = (*self.tried, *entries)
        return entries

    def refill(self, chain: Chain, lost: Collection[int], payload: Collection[str]) -> None:
        """Fetches again payload that is wanted and stored no more."""
        for stage in chain.stages:
            if set(stage.payload()) & set(payload):
                self.engine.refetch(chain, stage, sorted(lost))

    def describe(self, chain: Chain) -> None:
        """Writes what is known of the run's plan by now."""
        self.chains[chain.elements.block.name if chain.elements else None] = chain
        self.described = describe(
            self.storage, self.chains, self.folder, self.plan.redact, self.described
        )
        self.begins.close()

    def inside(self, chain: Chain, stage: PlannedStage, ledger: str, known: Any) -> Chain:
        """Takes the elements of a block through its stages; gives the parent's chain, which knows
        then where that lies which comes back.
        """
        block = stage.block
        assert block is not None
        self.begins.enter_context(announced(self.storage, self.watcher.note))
        table = self.timed(f"each {block.name}", partial(self.opened, chain, stage, block))
        child = child_chain(chain, stage.index, table)
        self.watcher.note(
            f"each {block.name}: {amount(table.row_count, 'element')} of {block.column}"
        )
        done = self.decided(child, f"{ledger}/{block.name}")
        self.tables[block.name] = done
        self.chains[block.name] = done.chain
        return with_inside(chain, stage.index, done.chain, known)

    def collect(self, chain: Chain, stage: PlannedStage, shards: Sequence[int]) -> None:
        """Stores what comes back of a block."""
        assert stage.block is not None
        child = self.tables[stage.block.name].chain
        for _ in self.engine.over(partial(collected, chain, stage.index, child), shards):
            self.lease.check()

    def opened(self, chain: Chain, stage: PlannedStage, block: EachBlock) -> Table:
        """The child table of a block, each of its shards stored."""
        facts: dict[int, ShardFacts] = {}
        todo = chain.shards()
        for _ in range(TRIES):
            work = partial(opened, chain, stage.index)
            lost = []
            for shard, found in zip(todo, self.engine.over(work, todo), strict=True):
                if found.facts is None:
                    lost.append(shard)
                else:
                    facts[shard] = found.facts
            self.lease.check()
            if not lost:
                break
            for earlier in payload_of(chain, stage.index, bytes_read(block)):
                self.engine.refetch(chain, earlier, lost, stage.index)
            todo = lost
        else:
            raise RunError(
                f"bytes of {block.column!r} in {amount(len(todo), 'shard')} cannot be made again; "
                "another run may be removing what this one writes"
            )
        table = child_table(chain, stage.index, [facts[shard] for shard in chain.shards()])
        if open_table(self.storage, table.id) is None:
            save_table(self.storage, table, {"each": block.name, "of": chain.pool})
        return table


def payload_of(chain: Chain, upto: int, columns: Collection[str]) -> list[PlannedStage]:
    """The stages before index `upto` that write bytes in some columns, or bytes out of which these
    are made, in order.
    """
    needed, found = set(columns), []
    for stage in reversed(chain.stages[:upto]):
        if needed & set(stage.payload()):
            found.append(stage)
            needed |= {c for c in stage.reads if is_payload(chain.dtype(c))}
    return found[::-1]
