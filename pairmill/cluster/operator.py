"""Neighbouring stages that one worker of Ray runs one after another; what a process has loaded."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import pyarrow as pa

from pairmill.cluster.run_actor import RunLine
from pairmill.cluster.worker_start import safe_errors
from pairmill.work.block import OWN, STATS, Job, RowBlock
from pairmill.work.deadline import ProcessWatchdog, end_with_parent
from pairmill.work.loaded import LoadedStage
from pairmill.work.worker import StageWorker

_LOADED: dict[tuple[str, int, str], LoadedStage] = {}
"""Stages that this worker process has set up, kept for its next shards."""
WATCHDOG = ProcessWatchdog()
"""Ends this worker process when a call outlives its deadline."""
SUMMARY = pa.schema([("stats", STATS)])
"""What is left of a shard at the end of a phase."""


@dataclass(frozen=True)
class Operator:
    """Neighbouring stages of a phase that one worker runs one after another.  `last`: the phase
    ends with them.
    """

    job: Job
    indices: tuple[int, ...]
    line: RunLine
    last: bool

    @safe_errors
    def pass_on(self, block: RowBlock | None, loaded: Sequence[LoadedStage]) -> pa.Table:
        """A block after these stages, as Arrow; the phase's last leaves a summary."""
        if block is None or not len(block.numbers):
            return SUMMARY.empty_table() if self.last else pa.table({OWN[0]: pa.array([], "int32")})
        block = self.through(block, loaded)
        if not self.last:
            return block.to_arrow()
        counts = [asdict(s) for s in block.finish(self.job)]
        return pa.table({"stats": pa.array([counts], STATS)})

    def through(self, block: RowBlock, loaded: Sequence[LoadedStage]) -> RowBlock:
        """A block after these stages."""
        end_with_parent()
        before = len(block.stats)
        for index, one in zip(self.indices, loaded, strict=True):
            block = StageWorker(self.job, index, self.line, WATCHDOG, one)(block)
        # when all is done: where a process dies on the way, another does it all again
        for stats in block.stats[before:]:
            self.line.report(stats)
        return block


def loaded_in_process(job: Job, index: int) -> LoadedStage:
    """What this worker process has loaded of a stage, for a task that lives for one shard only."""
    planned = job.chain.stages[index]
    key = (job.chain.root, index, planned.label)
    return _LOADED.setdefault(key, LoadedStage())
