"""Too many failures of a stage, and the classes that `--retry` names."""

from collections.abc import Sequence

import pyarrow.compute as pc

from pairmill.errors import StageFailed
from pairmill.fates.ledger import Funnel
from pairmill.plan.chain import Chain, PlannedStage
from pairmill.work.attempt import LEAST_FAILURES
from pairmill.work.block import Job


def check_failures(stages: Sequence[PlannedStage], funnel: Funnel) -> None:
    """Stored failures count as well: running again does not make too many of them fewer.  Shares
    are of the rows that had what the stage reads, as they are while it works.
    """
    for stage, step in zip(stages, funnel.steps[1:], strict=True):
        without = step.reasons.get("missing_input", 0)
        without += sum(step.reasons.get(name, 0) for name in stage.reads)
        failed = sum(step.failures.values()) - step.failures.get("missing_input", 0)
        tried = step.rows - without
        if failed >= LEAST_FAILURES and failed > stage.config.max_failures * tried:
            commonest = max(step.failures, key=lambda name: step.failures[name])
            hint = (
                f"{step.failures[commonest]:,} times (once it is mended: --retry {commonest}; or "
                "raise max_failures)"
            )
            raise StageFailed(stage.name, failed, tried, commonest, hint, stage.config.max_failures)


def commonest(job: Job, index: int, shards: list[int]) -> tuple[str, str]:
    """Class and message of a stored failure, to name the cause."""
    stage = job.chain.stages[index]
    for shard in shards:
        stored = job.chain.columns_of(stage, shard).load([])
        for error in stored.column("error").to_pylist() if stored is not None else []:
            if error:
                mending = remedy(error["message"]) or f"once it is mended: --retry {error['class']}"
                return error["class"], f"{error['message']} ({mending})"
    return "failure", "no message"


def remedy(message: str) -> str:
    """What in the pipeline file mends a failure, where that is known."""
    if "no public address" in message:
        return "if it is yours, name it in `allow_private_hosts` of the stage, and run again"
    return ""


def failure_classes(chain: Chain, shard: int) -> set[str]:
    """Classes of the failures that are stored of a shard."""
    found: set[str] = set()
    for stage in chain.stages:
        stored = (
            chain.columns_of(stage, shard).load([]) if stage.computes and stage.identity else None
        )
        if stored is not None:
            found |= {
                c
                for c in pc.struct_field(stored.column("error"), "class").unique().to_pylist()
                if c
            }
    return found
