"""The configs of `stages:`, those of `each` blocks with them."""

from pathlib import Path
from typing import Any

from pairmill.plan.checked import listed, resolved, validate
from pairmill.plan.document import Document, Path_
from pairmill.plan.named_modules import name_module
from pairmill.schemas.config import StageConfig
from pairmill.stages.catalogue import UnknownStage, known_stages, stage_class
from pairmill.stages.each import EachConfig


def stage_configs(
    items: Any, path: Path_, document: Document, folder: Path
) -> list[StageConfig | None]:
    """Configs of a list of stages in order, None for a stage with a fault."""
    return [
        stage_config(item, (*path, i), document, folder)
        for i, item in enumerate(listed(items or [], path, document))
    ]


def stage_config(item: Any, path: Path_, document: Document, folder: Path) -> StageConfig | None:
    """The config of one stage, its paths resolved; None, with faults noted, where it is wrong."""
    if isinstance(item, dict) and item.get("stage", "each" if "each" in item else "") == "each":
        return block_config(item, path, document, folder)
    if not isinstance(item, dict) or not isinstance(item.get("stage"), str):
        document.problem(path, beginning(item))
        return None
    name_module(item["stage"], folder)
    try:
        kind = stage_class(item["stage"])
    except UnknownStage as error:
        name = item["stage"]
        is_module = name.isidentifier() and (folder / f"{name}.py").is_file()
        own = f"{name}.py is a module; name its class, too: `stage: {name}:MyStage`"
        document.problem((*path, "stage"), own if is_module else str(error))
        return None
    found = validate(kind.Config, item, path, document)
    return found and resolved(found, folder)


def beginning(item: Any) -> str:
    """How a stage begins, for an item that does not begin so; a stage that it names is taken up."""
    known = known_stages()
    named = [item] if isinstance(item, str) else list(item) if isinstance(item, dict) else []
    if name := next((n for n in named if n in known), None):
        return f"write `- stage: {name}`, the stage's other keys in lines below it"
    return (
        "a stage begins with `stage: NAME`, a block of stages over the elements of a list with "
        f"`each: COLUMN` (my_module:MyStage; {', '.join(known)})"
    )


def block_config(item: Any, path: Path_, document: Document, folder: Path) -> EachConfig | None:
    """The config of an `each` block; None, with faults noted, where it or a stage in it is
    wrong.
    """
    if "each" not in item:
        what = "write `- each: COLUMN` alone; a block is no stage, it has some in `stages:`"
        document.problem((*path, "stage"), what)
        return None
    stages = stage_configs(item.get("stages"), (*path, "stages"), document, folder)
    sound = [stage for stage in stages if stage is not None]
    found: EachConfig | None = validate(EachConfig, {**item, "stages": sound}, path, document)
    return found if len(sound) == len(stages) else None
