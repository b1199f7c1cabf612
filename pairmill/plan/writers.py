"""Which built-in stage writes a column that a pipeline reads and does not have."""

from functools import cache

from pairmill.errors import PairmillError
from pairmill.plan.documentation import sample
from pairmill.stages.catalogue import BUILT_IN, UnknownStage, stage_class


def advice(column: str, present: list[str]) -> str:
    """What to add before the reader, where a built-in stage writes the column; else nothing.

    `present`: types of the stages before; one that is there already writes other names.
    """
    stage = writers().get(column)
    if stage is None:
        return ""
    if stage in present:
        return f"; the stage {stage!r} before writes under its own `name`"
    return f"; add `- stage: {stage}` before it, which writes {column!r}"


@cache
def writers() -> dict[str, str]:
    """Column → the stage that writes it when it has no name."""
    found: dict[str, str] = {}
    for name in BUILT_IN:
        try:
            stage = sample(stage_class(name), name)
            columns = stage.writes().names if stage is not None else []
        except (UnknownStage, PairmillError, ValueError):
            continue  # a stage that needs a package that is not there
        for column in columns:
            found.setdefault(column, name)
    return found
