"""Faults of expressions and columns: the key they are about, and what to write instead."""

from collections.abc import Callable
from functools import cache

import pyarrow as pa

from pairmill.errors import PairmillError
from pairmill.plan.documentation import sample
from pairmill.schemas.arrow import is_payload
from pairmill.schemas.config import StageConfig
from pairmill.schemas.expressions import (
    BadExpression,
    Expression,
    UnknownColumn,
    advised,
    compile_gate,
)
from pairmill.stages.catalogue import BUILT_IN, UnknownStage, stage_class

Report = Callable[[tuple[str | int, ...], str], None]
"""Notes a problem at a path of the pipeline file."""


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


def key_about(config: StageConfig, column: str) -> tuple[str | int, ...]:
    """The key of a stage that names a column, if one does."""
    for key in sorted(config.model_fields_set - set(StageConfig.model_fields)):
        value = getattr(config, key)
        if value == column:
            return (key,)
        if isinstance(value, list) and column in value:
            return (key, value.index(column))
    return ()


def expression(
    text: str | None,
    schema: pa.Schema,
    path: tuple[str | int, ...],
    note: Report,
    before: list[str],
) -> Expression | None:
    """`before`: types of the stages before it, for advice."""
    if text is None:
        return None
    comparable = pa.schema([f for f in schema if not is_payload(f.type)])
    try:
        return compile_gate(text, comparable)
    except BadExpression as error:
        remedy = advice(error.column, before) if isinstance(error, UnknownColumn) else ""
        note(path, advised(str(error), remedy))
        return None
