"""What a stage says of itself: made from its config, asked for its columns, and checked."""

import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from pairmill.errors import PairmillError, author_line, first_line
from pairmill.plan.references import BadReference, resolve_references
from pairmill.schemas.companions import is_companion
from pairmill.schemas.config import StageConfig
from pairmill.stages.base import GlobalStage, Stage
from pairmill.stages.catalogue import UnknownStage, stage_class

RESERVED = ("row", "error")
"""Columns that a stage's stored file has of its own."""
STAGES = Stage.reads.__code__.co_filename
"""The file whose methods a stage has to have itself."""


class BadStage(PairmillError):
    """A stage that cannot be made, or says of its columns what cannot be; the message says
    where.

    `field`: the key that is at fault, if it is one.
    """

    field: str | None = None


@dataclass(frozen=True)
class Declared:
    """A stage, what stands for its models and files, and the columns it reads and writes."""

    stage: Stage
    facts: dict[str, Any]
    reads: list[str]
    writes: pa.Schema


def declared(config: StageConfig, seed: int, schema: pa.Schema) -> Declared:
    """The stage, with the pipeline's seed where it has none of its own, over the columns `schema`.

    Raises BadStage, with file and line of code that is not pairmill's.
    """
    try:
        kind = stage_class(config.stage)
        if "seed" in type(config).model_fields and getattr(config, "seed", None) is None:
            config = config.model_copy(update={"seed": kind.own_seed(config, seed)})
        pinned, facts = resolve_references(config)
    except (UnknownStage, BadReference, PairmillError, OSError, ValueError) as error:
        bad = BadStage(str(error))
        bad.field = error.field if isinstance(error, BadReference) else None
        raise bad from None
    try:
        stage = kind(pinned)
        stage.bind(schema)
        reads, writes = stage.reads(), stage.writes()
    except Exception as error:  # code of others may raise anything
        place = author_line(error)
        if not place and isinstance(error, PairmillError | OSError | ValueError):
            raise BadStage(str(error)) from None
        if method := unwritten(error):
            raise BadStage(
                f"stage {config.stage!r}: its class has no method `{method}`; docs/own-stages.md "
                "shows what a stage has"
            ) from None
        raise BadStage(
            f"stage {config.stage!r} cannot be made: {type(error).__name__}: "
            f"{first_line(error)}{place}"
        ) from None
    for fault in faults(stage, reads, writes):
        raise BadStage(f"stage {stage.name!r} {fault}")
    return Declared(stage, facts, list(dict.fromkeys(reads)), writes)


def unwritten(error: BaseException) -> str:
    """The method of a stage that its class leaves to the one above it, which has none; else an
    empty text.
    """
    frames = [frame.f_code for frame, _ in traceback.walk_tb(error.__traceback__)]
    if not isinstance(error, NotImplementedError) or frames[-1].co_filename != STAGES:
        return ""
    return frames[-1].co_name


def faults(stage: Stage, reads: Any, writes: Any) -> Iterator[str]:
    """What is wrong with the columns that a stage names, whatever columns there are."""
    if type(stage).__call__ is Stage.__call__ and not isinstance(stage, GlobalStage):
        yield "has no method `__call__`; docs/own-stages.md shows what a stage has"
    if not isinstance(reads, list | tuple) or not all(isinstance(name, str) for name in reads):
        yield f"must give the names of the columns it reads as a list, and gives {reads!r:.80}"
        return
    if not isinstance(writes, pa.Schema):
        yield f"must give the columns it writes as a pyarrow.Schema, and gives {writes!r:.80}"
        return
    for name in (*reads, *writes.names):
        if not name or name != name.strip():
            yield f"names a column {name!r}; set the class's `prefix`, or give the stage a `name:`"
    for name in writes.names:
        if name in RESERVED or name.startswith("__") or is_companion(name):
            yield f"writes a column {name!r}, a name that pairmill uses itself; choose another"
        if writes.names.count(name) > 1:
            yield f"writes the column {name!r} twice"
        if name in reads:
            yield f"writes the column {name!r} that it reads; rows are never edited: choose another"
