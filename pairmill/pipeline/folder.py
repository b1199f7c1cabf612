"""What a run's folder tells of its plan."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pairmill.plan.blocks import block_facts
from pairmill.plan.chain import Chain, PlannedStage
from pairmill.plan.planned import every_stage
from pairmill.redaction import redact_data
from pairmill.workspace.lease import COLLECTING, STARTING
from pairmill.workspace.run_plan import BlockOfRun, RunPlan, StageOfRun
from pairmill.workspace.storage import Storage


def clear_temporary(storage: Storage, chain: Chain, folder: str) -> None:
    """Removes what killed writers left in the folders that a run goes on in."""
    sets = [f"columns/{s.column_set}" for s in every_stage(chain.stages) if s.computes]
    for place in (
        "",
        "runs",
        "columns",
        "tables",
        "ingest",
        "shards",
        "payload",
        "elements",
        "answers",
        "fates",
        STARTING,
        COLLECTING,
    ):
        storage.clear_temporary(place, recursive=False)
    for place in (folder, *sets):
        storage.clear_temporary(place)


def describe(
    storage: Storage,
    chains: Mapping[str | None, Chain],
    folder: str,
    redact: Callable[[Any], Any],
    last: RunPlan | None = None,
) -> RunPlan:
    """plan.json of the run, and stage.json of each column set: for people, and for gc.  `chains`:
    of the source's rows (None), and of those blocks that were opened.  `last`: what this run has
    written there; the time of the file tells when the run was planned.

    Names by which gc knows what is in use stay as they are, whatever the secrets are called.
    """

    def shown(facts: dict[str, Any]) -> dict[str, Any]:
        return redact_data(redact(facts))

    chain = chains[None]
    before = RunPlan.read(storage, folder)
    stages = stage_facts(chain.stages, chain, chains, before.stages if before else (), shown)
    plan = RunPlan(chain.pool, chain.rows(), chain.limit, stages)
    if plan == last:
        return plan
    plan.write(storage, folder)
    for stage in (stage for chain in chains.values() for stage in chain.stages):
        if (
            stage.computes
            and stage.identity
            and not storage.exists(f"columns/{stage.column_set}/stage.json")
        ):
            storage.write_json(
                f"columns/{stage.column_set}/stage.json",
                shown(stage.definition),
            )
    return plan


def stage_facts(
    stages: Sequence[PlannedStage],
    chain: Chain | None,
    chains: Mapping[str | None, Chain],
    before: Sequence[StageOfRun],
    shown: Callable[[dict[str, Any]], dict[str, Any]],
) -> tuple[StageOfRun, ...]:
    """The stages as plan.json holds them.  `chain`: None where the rows are not known yet;
    `before`: what it held, since what is not told yet in this pass may be in use: gc must know.
    """
    known = {stage.name: stage for stage in before}
    recipes = chain.recipes if chain else [None] * len(stages)
    found = []
    for s, recipe in zip(stages, recipes, strict=True):
        then = known.get(s.name)
        facts = shown({"keep": s.gate and s.gate.text, **s.definition})
        block = then.block if then else None
        if s.block is not None and (block is None or s.block.name in chains):
            child = chains.get(s.block.name)
            lines = block.stages if block else ()
            inner = stage_facts(s.block.stages, child, chains, lines, shown)
            block = BlockOfRun(**block_facts(s.block, child), stages=inner)
        found.append(
            StageOfRun(
                s.name,
                s.column_set if s.computes else None,
                recipe or (then.recipe if then else None),
                tuple(s.reads),
                facts.pop("keep"),
                facts,
                block if s.block is not None else None,
            )
        )
    return tuple(found)
