"""The phases of a run: computes what the survey says is missing."""

import logging
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING

from pairmill.errors import StageFailed
from pairmill.fates.fate_memory import ShardPopulation
from pairmill.fates.survey import Survey
from pairmill.pipeline.failures import commonest
from pairmill.plan.answers import with_new_answers, with_stored_answers
from pairmill.plan.identity import identified
from pairmill.plan.plan import phases_of
from pairmill.work.attempt import LEAST_FAILURES
from pairmill.work.block import Job
from pairmill.work.carry import carry_over
from pairmill.workspace.storage import Storage

if TYPE_CHECKING:
    from pairmill.pipeline.table_run import TableRun

LOG = logging.getLogger("pairmill")
PAYLOAD_BYTES = 10_000
"""A low guess of one stored image, for the look at free space before a phase; every commit looks
again.
"""


@dataclass
class Phases:
    """The phases of one table.  `retry`: failures that are tried again, and then are no reason to
    stop.
    """

    of: "TableRun"
    retry: tuple[str, ...] = ()

    def run(self, survey: Survey, ledger: str) -> None:
        """Computes what the survey says is missing, phase by phase; `survey.chain` has all
        identities then.  `ledger`: the table's, in which those of its blocks lie.
        """
        digests: dict[int, str] = {}
        chain, timed, watcher = survey.chain, self.of.timed, self.of.watcher
        whose = f"{chain.elements.block.name}: " if chain.elements else ""
        self.check_gpus(survey)
        for number, (first, last) in enumerate(phases_of(chain.stages)):
            part, stage = f"{whose}phase {number + 1}", chain.stages[first]
            looked: dict[int, ShardPopulation] = {}
            answered = True
            if stage.is_global:
                digests[first], looked = timed(part, survey.population)
                chain, answered = with_stored_answers(identified(chain, digests), first)
                survey.start(chain)
            elif stage.block is not None:
                self.of.describe(chain)
                chain = self.of.inside(chain, stage, ledger, digests)
                digests[first] = chain.stages[first].population or ""
                survey.start(chain)
            self.of.describe(chain)
            if answered:
                todo = timed(part, partial(survey.waiting, first, last))
            else:
                todo = {shard: seen.count for shard, seen in looked.items() if seen.count}
            if todo and not stage.is_alone:
                todo = timed(part, partial(self.carried, survey, first, last, todo))
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
                watcher.phase(
                    f"{part}: {stage.name}", names, sum(seen.count for seen in looked.values())
                )
                found = timed(part, partial(self.of.engine.answer, Job(chain, first, last), looked))
                chain = with_new_answers(chain, first, found, todo if answered else ())
                survey.start(chain)
                self.of.describe(chain)
                if stage.stage.note:
                    self.of.totals.notes.setdefault(stage.name, []).append(stage.stage.note)
            elif stage.block is not None:
                timed(part, partial(self.of.collect, chain, stage, sorted(todo)))
            else:
                needed = Job(chain, first, last).needed_after(first - 1)
                for earlier in chain.stages[:first]:
                    if set(earlier.payload()) & needed:
                        refetch = self.of.engine.refetch
                        timed(part, partial(refetch, chain, earlier, sorted(todo), last))
                watcher.phase(f"{part}: {', '.join(names)}", names, sum(todo.values()))
                run_folder = f"{self.of.storage.root}/{self.of.folder}"
                job = Job(chain, first, last, survey.retry, run_folder)
                timed(part, partial(self.map_phase, job, sorted(todo)))
            survey.renew(todo)
        self.of.describe(chain)

    def carried(
        self, survey: Survey, first: int, last: int, todo: dict[int, int]
    ) -> dict[int, int]:
        """What is left to do once values of rows that did not change are carried over."""
        chain = survey.chain
        count = carry_over(self.of.engine, chain, chain.stages[first:last], sorted(todo))
        if not count:
            return todo
        LOG.info("values carried over", extra={"facts": {"values": count}})
        survey.renew(todo)
        return survey.waiting(first, last)

    def check_gpus(self, survey: Survey) -> None:
        """Raises RunError where stages ask for GPUs that no node has, before the phases in front of
        them are worked through in vain.
        """
        chain, phases = survey.chain, phases_of(survey.chain.stages)
        asking = [
            Job(chain, first, last)
            for first, last in phases
            if any(s.config.resources.gpus for s in chain.stages[first:last])
        ]
        if asking and self.of.timed("survey", survey.waiting):
            self.of.engine.ready(asking)

    def map_phase(self, job: Job, shards: list[int]) -> None:
        """Takes shards through map stages; raises StageFailed where a stage fails on too many
        rows.
        """
        if any(stage.payload() for stage in job.stages()):
            Storage(job.chain.root).check_space(sum(map(job.chain.rows_of, shards)) * PAYLOAD_BYTES)
        counts: dict[str, list[int]] = {s.name: [0, 0] for s in job.stages()}
        for finished in self.of.engine.phase(job, shards):
            self.of.lease.check()
            for stats in finished:
                self.of.totals.add(stats)
                LOG.info("shard passed", extra={"facts": asdict(stats)})
                counts[stats.stage][0] += stats.computed
                counts[stats.stage][1] += stats.errors
            for planned in job.stages() if not self.retry else ():
                computed, failed = counts[planned.name]
                limit = planned.config.max_failures
                if failed >= LEAST_FAILURES and failed > limit * computed:
                    raise StageFailed(
                        planned.name,
                        failed,
                        computed,
                        *commonest(job, planned.index, shards),
                        limit,
                    )
        self.of.totals.phase_ended()
