"""What a run's folder tells of its plan."""

from collections.abc import Callable
from typing import Any

from pairmill.plan.chain import Chain
from pairmill.redaction import redact_data
from pairmill.workspace.contents import read_plan
from pairmill.workspace.encoding import sealed
from pairmill.workspace.storage import Storage


def clear_temporary(storage: Storage, chain: Chain, folder: str) -> None:
    """Removes what killed writers left in the folders that a run goes on in."""
    sets = [f"columns/{s.column_set}" for s in chain.stages if s.computes and s.identity]
    for place in ("", "runs", "columns", "tables", "ingest", "shards", "payload"):
        storage.clear_temporary(place, recursive=False)
    for place in (folder, *sets):
        storage.clear_temporary(place)


def describe(storage: Storage, chain: Chain, folder: str, redact: Callable[[Any], Any]) -> None:
    """plan.json of the run, and stage.json of each column set: for people, and for gc.

    Names by which gc knows what is in use stay as they are, whatever the secrets are called.
    """

    def shown(facts: dict[str, Any]) -> dict[str, Any]:
        return redact_data(redact(facts))

    before = read_plan(storage, folder)["stages"] if storage.exists(f"{folder}/plan.json") else []
    known = {
        s["name"]: s.get("recipe") for s in before
    }  # not told yet in this pass, but in use: gc must know
    stages = [
        {
            "name": s.name,
            "column_set": s.column_set if s.computes else None,
            "recipe": recipe.to_json() if recipe else known.get(s.name),
            "reads": list(s.reads),
            **shown({"keep": s.gate and s.gate.text, **s.definition}),
        }
        for s, recipe in zip(chain.stages, chain.recipes, strict=True)
    ]
    plan = {"table": chain.pool, "rows": chain.rows(), "limit": chain.limit, "stages": stages}
    storage.write_json(f"{folder}/plan.json", sealed(plan))
    for stage in chain.stages:
        if (
            stage.computes
            and stage.identity
            and not storage.exists(f"columns/{stage.column_set}/stage.json")
        ):
            storage.write_json(
                f"columns/{stage.column_set}/stage.json",
                shown(stage.definition),
            )
