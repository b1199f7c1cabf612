"""From checked config models to a plan: which stage reads what, identities, phases, outputs.  Pure
data, no Ray.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from pairmill.errors import PairmillError
from pairmill.names import lies_in, same_place
from pairmill.outputs.base import Writer
from pairmill.outputs.catalogue import open_writer
from pairmill.plan.blocks import EachBlock
from pairmill.plan.chain import Chain, PlannedStage
from pairmill.plan.identity import identified
from pairmill.plan.image_check import settle_image_check
from pairmill.plan.planned import every_stage
from pairmill.plan.remedies import Report, expression
from pairmill.plan.selection import Selection, TableColumns, selection_of, with_takers
from pairmill.plan.shard_rows import settle_rows_per_shard
from pairmill.plan.stage_plans import StagePlanner, narrowed
from pairmill.schemas.arrow import POOL_COLUMNS, is_bytes, is_payload
from pairmill.schemas.expressions import Expression, unknown_column
from pairmill.schemas.hashing import digest
from pairmill.schemas.pipeline import PipelineConfig
from pairmill.sources.base import NoInput, Source
from pairmill.sources.catalogue import open_source
from pairmill.workspace.file_looks import recalled_looks
from pairmill.workspace.tables import Table
from pairmill.workspace.written_before import written_before

OF_IMAGES = ("parquet", "webdataset", "folder")
"""Sources that bring images along."""


@dataclass
class Plan:
    """What a run will do."""

    config: PipelineConfig
    source: Source
    pool_schema: pa.Schema
    stages: tuple[PlannedStage, ...]
    writers: list[Writer]
    selections: list[Selection]
    """Which rows each of the writers takes."""
    redact: Callable[[Any], Any] = lambda value: value
    blur: Expression | None = None
    """Pictures that the report hides until clicked."""

    def phases(self) -> list[tuple[int, int]]:
        """Of the stages over the source's rows: see `phases_of`."""
        return phases_of(self.stages)

    def chain(self, table: Table, limit: int | None) -> Chain:
        """The stages over a table, with identities as far as they can be known before a run."""
        wide = [f.name for f in self.pool_schema if is_payload(f.type)]
        read = {"uid", *wide, *(c for s in self.stages for c in (*s.reads, *s.given))}
        read |= {c for s in self.stages if s.block for c in s.block.needs()}
        own = self.pool_schema
        return identified(
            Chain(self.config.workspace, table.narrowed(read), own, self.stages, limit)
        )

    def run_id(self, chain: Chain) -> str:
        """What is run: the same pipeline over the same input has the same id, so that it goes on
        where it stopped.
        """
        every = list(every_stage(chain.stages))
        gates = [
            [s.gate and s.gate.text, s.when and s.when.text, s.config.on_missing] for s in every
        ]
        blocks = [[s.block.name, s.block.column, s.block.logic()] for s in every if s.block]
        outputs = [w.config.model_dump(mode="json") for w in self.writers]
        parts: dict[str, Any] = {
            "pool": chain.pool,
            "stages": [s.definition for s in every],
            "gates": gates,
            "outputs": outputs,
        }
        if blocks:
            parts["blocks"] = blocks
        parts |= {"limit": chain.limit, "seed": self.config.seed}
        return f"{self.config.name}-{digest(parts)[:10]}"


def phases_of(stages: Sequence[PlannedStage]) -> list[tuple[int, int]]:
    """(first, last) stage indices: maximal runs of map stages, and each stage over all rows, and
    each block, by itself.
    """
    phases: list[tuple[int, int]] = []
    for stage in stages:
        if phases and not stage.is_alone and not stages[phases[-1][0]].is_alone:
            phases[-1] = (phases[-1][0], stage.index + 1)
        else:
            phases.append((stage.index, stage.index + 1))
    return phases


def blocks_of(stages: Sequence[PlannedStage]) -> dict[str, EachBlock]:
    """Every block by its name, those inside others, too."""
    return {s.block.name: s.block for s in every_stage(stages) if s.block is not None}


def make_plan(
    config: PipelineConfig, report: Report, redact: Callable[[Any], Any] = lambda value: value
) -> Plan | None:
    """The plan, or None where problems were reported (all of them)."""
    before = len(seen := [])

    source = open_source(config.source)
    source.leave_out(
        [config.workspace, *(output.path for output in config.outputs)],
        written_before(config.workspace, config.name),
    )
    source.take_looks(recalled_looks(config.workspace, config.name))
    unknown_input = False

    def note(path: tuple[str | int, ...], message: str) -> None:
        seen.append(message)
        if not (unknown_input and "nothing before it writes" in message):
            report(path, message)

    found = input_schema(source, note)
    unknown_input = found is None  # that a column is missing is not known either
    pool_schema = POOL_COLUMNS if found is None else pool_schema_of(found)
    if "image" in pool_schema.names:
        settle_image_check(source, config.stages)
    stages = StagePlanner(config.seed, note, redact).planned(config.stages, pool_schema)
    tables = {name: TableColumns(b.schema, b.stages) for name, b in blocks_of(stages).items()}
    settle_rows_per_shard(source, pool_schema, stages)
    if not seen:
        note_missing_inputs(source, stages, note)
    fields = [*pool_schema, *(f for s in stages for f in s.writes)]
    every = pa.schema(list({f.name: f for f in fields}.values()))  # two of a name are a fault
    blur = expression(
        config.report.blur, every, ("report", "blur"), note, [s.stage for s in config.stages]
    )
    types = {f.name: f.type for f in every}
    for i, group in enumerate(config.report.groups):
        if group not in types:
            note(("report", "groups", i), unknown_column(group, group, types))
        elif not is_plain(types[group]):
            plain = ", ".join(name for name, kind in types.items() if is_plain(kind))
            note(
                ("report", "groups", i),
                f"rows cannot be grouped by {group!r}, which is {types[group]} (they "
                f"can by {plain})",
            )
    writers, selections = [], []
    wants: dict[str | None, list[tuple[int, Sequence[str]]]] = {}
    asked: dict[str, set[str]] = {}
    for i, output in enumerate(config.outputs):
        if output.rows is not None and output.rows not in tables:
            if output.rows in config.block_names():
                continue  # what is wrong with the block is told
            known = f"blocks: {', '.join(tables)}" if tables else "the pipeline has no `each` block"
            note(("outputs", i, "rows"), f"no block is named {output.rows!r} ({known})")
            continue
        writer = open_writer(output)
        table = tables[output.rows] if output.rows else TableColumns(pool_schema, stages)
        selection, schema = selection_of(output, ("outputs", i), table, note)
        faults = list(writer.problems(schema))
        for key, message in faults:
            note(("outputs", i, *key), message)
        payload = () if faults else writer.stored_payload(schema)
        wants.setdefault(output.rows, []).append((selection.upto, payload))
        if output.rows and not faults:
            asked.setdefault(output.rows, set()).update(
                writer.columns(schema), payload, selection.columns()
            )
        if any(same_place(o.path, output.path) for o in config.outputs[:i]):
            note(("outputs", i, "path"), f"two outputs write to {output.path}, links followed")
        if lies_in(output.path, config.workspace):
            note(
                ("outputs", i, "path"),
                f"{output.path} lies in the workspace {config.workspace}, where `gc` removes what "
                "no run refers to; choose a folder outside",
            )
        writers.append(writer)
        selections.append(selection)
    if len(seen) > before:
        return None
    stages = with_takers(narrowed(stages, asked), wants)
    return Plan(
        config, source, pool_schema, tuple(stages), writers, selections, redact=redact, blur=blur
    )


def input_schema(source: Source, note: Report) -> pa.Schema | None:
    """The columns of the input; None where that is wrong, which is noted, of each source for
    itself.
    """
    sound = True
    for keys, part in source.parts().items():
        try:
            images = "image" in part.schema().names
        except NoInput as error:
            for fault in error.faults:
                note(("source", *keys, *fault.key), fault.what)
            sound = False
        except PairmillError as error:
            note(("source", *keys, "path"), str(error))
            sound = False
        else:
            if part.config.type in OF_IMAGES and not images:
                note(("source", *keys), "the source gives no images")
    try:
        return source.schema() if sound else None
    except PairmillError as error:  # sources whose columns do not agree
        note(("source",), str(error))
        return None


def note_missing_inputs(source: Source, stages: Sequence[PlannedStage], note: Report) -> None:
    """Address and text are columns of every pool; a stage that reads one needs it in the input."""
    have = source.schema().names
    for column in ("url", "text"):
        readers = [
            s.name
            for s in readers_of(column, stages)
            if column == "url" or s.config.on_missing != "keep"
        ]
        if readers and column not in have:
            note(("source",), f"stage {readers[0]!r} reads {column!r}, but {source.advice(column)}")


def readers_of(column: str, stages: Sequence[PlannedStage]) -> list[PlannedStage]:
    """The stages that read a column, those of blocks where it is their parents'."""
    found = [s for s in stages if column in s.reads]
    for block in (s.block for s in stages if s.block is not None):
        for here in (here for here, there in block.inherited if there == column):
            found += readers_of(here, block.stages)
    return found


def is_plain(dtype: pa.DataType) -> bool:
    """Whether rows can be grouped by a column of this type."""
    return (
        pa.types.is_string(dtype)
        or pa.types.is_large_string(dtype)
        or pa.types.is_integer(dtype)
        or pa.types.is_boolean(dtype)
    )


def pool_schema_of(source: pa.Schema) -> pa.Schema:
    """The pool's own columns, then what else the source gives; payload as large_binary, its size
    beside it.
    """
    rest = [
        f if not is_bytes(f.type) else pa.field(f.name, pa.large_binary(), metadata=f.metadata)
        for f in source
        if f.name not in POOL_COLUMNS.names
    ]
    return pa.schema([*POOL_COLUMNS, *rest])
