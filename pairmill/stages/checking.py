"""The contract of a stage as a test: what every built-in stage passes, and what authors run on
theirs.
"""

import inspect
import pickle
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from pairmill.schemas.arrow import ERROR, doc_of
from pairmill.schemas.companions import is_companion
from pairmill.schemas.config import StageConfig
from pairmill.schemas.field_docs import description_of
from pairmill.stages.asynchronous import AsyncStage
from pairmill.stages.base import GlobalStage, Stage

OWN = ("row", "error")
"""Names that the stored file of a stage has of its own."""


class ContractError(AssertionError):
    """A stage does not do what every stage must; the message says what, and for which rows."""


def check_stage(
    kind: type[Stage], rows: pa.Table, tolerance: float = 1e-3, **options: Any
) -> pa.Table:
    """Runs a stage on rows as the runtime does, and checks its contract; gives the answer.

    `rows`: what the stage reads (with `uid` and `#order` for a stage over all rows); `options`:
    keys of its config.  Checked are the config (every key documented, frozen), the declared
    columns, that the stage travels to a worker as its config, that it answers each row with the
    declared types in order, and that a row's answer does not depend on the rows beside it: numbers
    may differ by `tolerance`, as models' do.  Raises ContractError.
    """
    check_config(kind)
    config = kind.Config.model_validate(
        {"stage": f"{kind.__module__}:{kind.__qualname__}"} | options
        if kind.Config.model_fields["stage"].is_required()
        else options
    )
    stage = pickle.loads(pickle.dumps(kind(config)))
    need(stage.config == config, f"{kind.__name__} travels to a worker with another config")
    if isinstance(stage, AsyncStage):
        fine = inspect.iscoroutinefunction(stage.answer)
        need(fine, f"{kind.__name__}: `answer` must be `async def`")
    stage.bind(rows.schema)
    check_columns(stage, rows)
    whole = isinstance(stage, GlobalStage) or not stage.reads()
    seen = rows if whole else rows.select(stage.reads())
    stage.setup()
    try:
        answer = checked_answer(stage, seen)
        for part in parts(stage, seen):
            alone = checked_answer(stage, seen.take(part))
            compare(stage, answer.take(part), alone, tolerance)
    finally:
        stage.close()
    return answer


def need(fine: bool, message: str) -> None:
    """Raises ContractError where something is not so."""
    if not fine:
        raise ContractError(message)


def check_config(kind: type[Stage]) -> None:
    """The config is a documented StageConfig."""
    need(
        isinstance(kind.Config, type) and issubclass(kind.Config, StageConfig),
        f"{kind.__name__}.Config must be a subclass of StageConfig",
    )
    for name in kind.Config.model_fields:
        need(
            name == "stage" or bool(description_of(kind.Config, name)),
            f"the key {name!r} has no docstring below it",
        )


def check_columns(stage: Stage, rows: pa.Table) -> None:
    """What the stage says of its columns fits together, and the rows have what it reads."""
    reads, writes = stage.reads(), stage.writes()
    need(stage.reads() == reads and stage.writes() == writes, "reads and writes must not change")
    for name in reads:
        need(name in rows.schema.names, f"it reads {name!r}; the rows have {rows.schema.names}")
    for field in writes:
        name = field.name
        bad = not name or name in OWN or name in reads or is_companion(name)
        need(not bad, f"it cannot write a column {name!r}")
        need(bool(doc_of(field)), f"the column {name!r} has no meaning; make it with column(…)")


def written(rows: pa.Table) -> pa.Buffer:
    """A table's bytes: they are the same where it holds NaN, too."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as stream:
        stream.write_table(rows)
    return sink.getvalue()


def checked_answer(stage: Stage, rows: pa.Table) -> pa.Table:
    """The answer for rows: one for each, with the declared columns and types."""
    before = written(rows)
    answer = stage(rows)
    need(written(rows).equals(before), "it changed its input")
    need(isinstance(answer, pa.Table), f"it answers with {type(answer).__name__}, not a pa.Table")
    need(
        answer.num_rows == rows.num_rows,
        f"it answers {rows.num_rows} rows with {answer.num_rows}",
    )
    columns = {}
    for field in stage.writes():
        need(field.name in answer.schema.names, f"it does not give its column {field.name!r}")
        columns[field.name] = answer.column(field.name).combine_chunks().cast(field.type)
    error = pa.nulls(rows.num_rows, ERROR)
    if "error" in answer.schema.names:
        error = answer.column("error").combine_chunks().cast(ERROR)
    return pa.table(columns | {"error": error})


def parts(stage: Stage, rows: pa.Table) -> list[pa.Array]:
    """Rows that are asked for by themselves: of a map stage each half, in other orders; of a stage
    over all rows with keys those with equal keys; without keys, all of them.
    """
    number = np.arange(rows.num_rows)
    if not isinstance(stage, GlobalStage):
        half = rows.num_rows // 2
        return [pa.array(part) for part in (number[:half][::-1], number[half:]) if len(part)]
    keys = stage.keys()
    if not keys:
        return [pa.array(number)]
    frame = pl.DataFrame(rows.select(keys))
    groups = frame.with_columns(pl.Series("__at", number)).partition_by(keys, maintain_order=True)
    return [pa.array(group["__at"].to_numpy()) for group in groups]


def compare(stage: Stage, together: pa.Table, alone: pa.Table, tolerance: float) -> None:
    """Both answers for the same rows are the same."""
    volatile = [f.name for f in stage.writes() if b"volatile" in (f.metadata or {})]
    for name in together.schema.names:
        if name in volatile:
            continue
        both = (together[name].to_pylist(), alone[name].to_pylist())
        if name == "error":
            both = tuple([e and e[("class")] for e in values] for values in both)  # type: ignore[assignment]
        for one, other in zip(*both, strict=True):
            need(
                near(one, other, tolerance),
                f"the column {name!r} depends on the rows of the batch: {one!r:.60} in one, "
                f"{other!r:.60} in another",
            )


def near(one: Any, other: Any, tolerance: float) -> bool:
    """Whether two values are the same, numbers within a tolerance: of those beyond 1 within that
    share of them.
    """
    if isinstance(one, float) and isinstance(other, float):
        if one == other or (one != one and other != other):
            return True
        return abs(one - other) <= tolerance * max(1.0, min(abs(one), abs(other)))
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(near, one, other, [tolerance] * len(one)))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(near(one[k], other[k], tolerance) for k in one)
    return bool(one == other)
