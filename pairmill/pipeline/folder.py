"""What a run's folder tells of its plan."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pairmill.plan.blocks import block_facts
from pairmill.plan.chain import Chain, PlannedStage
from pairmill.plan.planned import every_stage
from pairmill.redaction import redact_data
from pairmill.workspace.encoding import sealed
from pairmill.workspace.storage import Storage
from pairmill.workspace.used import read_plan


def clear_temporary(storage: Storage, chain: Chain, folder: str) -> None:
    """Removes what killed writers left in the folders that a run goes on in."""
    sets = [f"columns/{s.column_set}" for s in every_stage(chain.stages) if s.computes]
    for place in ("", "runs", "columns", "tables", "ingest", "shards", "payload", "elements"):
        storage.clear_temporary(place, recursive=False)
    for place in (folder, *sets):
        storage.clear_temporary(place)


def describe(
    storage: Storage,
    chains: Mapping[str | None, Chain],
    folder: str,
    redact: Callable[[Any], Any],
) -> None:
    """plan.json of the run, and stage.json of each column set: for people, and for gc.  `chains`:
    of the source's rows (None), and of those blocks that were opened.

    Names by which gc knows what is in use stay as they are, whatever the secrets are called.
    """

    def shown(facts: dict[str, Any]) -> dict[str, Any]:
        return redact_data(redact(facts))

    chain = chains[None]
    before = read_plan(storage, folder)["stages"] if storage.exists(f"{folder}/plan.json") else []
    stages = stage_facts(chain.stages, chain, chains, before, shown)
    plan = {"table": chain.pool, "rows": chain.rows(), "limit": chain.limit, "stages": stages}
    storage.write_json(f"{folder}/plan.json", sealed(plan))
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


def stage_facts(
    stages: Sequence[PlannedStage],
    chain: Chain | None,
    chains: Mapping[str | None, Chain],
    before: Sequence[dict[str, Any]],
    shown: Callable[[dict[str, Any]], dict[str, Any]],
) -> list[dict[str, Any]]:
    """The stages as plan.json holds them.  `chain`: None where the rows are not known yet;
    `before`: what it held, since what is not told yet in this pass may be in use: gc must know.
    """
    known = {s["name"]: s for s in before}
    recipes = chain.recipes if chain else [None] * len(stages)
    found = []
    for s, recipe in zip(stages, recipes, strict=True):
        then = known.get(s.name, {})
        facts = {
            "name": s.name,
            "column_set": s.column_set if s.computes else None,
            "recipe": recipe.to_json() if recipe else then.get("recipe"),
            "reads": list(s.reads),
            **shown({"keep": s.gate and s.gate.text, **s.definition}),
        }
        if s.block is not None:
            child, inside = chains.get(s.block.name), then.get("block")
            if child is None and inside:
                facts["block"] = inside
            else:
                lines = inside["stages"] if inside else []
                told = stage_facts(s.block.stages, child, chains, lines, shown)
                facts["block"] = {**block_facts(s.block, child), "stages": told}
        found.append(facts)
    return found
