"""The plan as plain data: what would run, what is stored, what it needs."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import pyarrow as pa

from pairmill.cluster.memory import in_flight, shard_bytes, worker_bytes
from pairmill.cluster.worker_shares import cpus_needed, cpus_of
from pairmill.errors import BadRequest, RunError
from pairmill.fates.run_table import Run
from pairmill.pipeline.news import news
from pairmill.pipeline.stored_tables import StoredTable, stored_table
from pairmill.pipeline.whereabouts import wanted_processes
from pairmill.plan.blocks import EachBlock
from pairmill.plan.chain import Chain, PlannedStage
from pairmill.plan.notes import notes_of
from pairmill.plan.plan import Plan, blocks_of, phases_of
from pairmill.texts.amounts import amount
from pairmill.work.crew_size import cores, crew_of, pooled
from pairmill.workspace.fingerprints import table_id
from pairmill.workspace.ingest import foreseen
from pairmill.workspace.storage import Storage
from pairmill.workspace.tables import Table, open_table


def overview(plan: Plan, limit: int | None) -> dict[str, Any]:
    """Reads the workspace, writes nothing but remembered hashes of the input files."""
    storage = Storage(plan.config.workspace)
    identity = table_id(storage, plan.source)
    pool = open_table(storage, identity)
    chain = plan.chain(pool or Table.unread(identity), limit)
    stored = stored_table(chain)
    chain = stored.chain
    stages = stage_lines(storage, chain.stages, chain, stored if pool else None)
    every = [(t.chain, *p) for t in stored.every() for p in phases_of(t.chain.stages)]
    rows = chain.rows() if pool else None
    blocks = blocks_of(plan.stages)
    return {
        "name": plan.config.name,
        "workspace": storage.root,
        "pool": identity,
        "pool_rows": rows,
        "news": whats_new(storage, plan, pool),
        "stages": stages,
        "columns": plan.source.mapping(),
        "input": [f"{r.kind}: {r.location} ({r.what})" for r in plan.source.remarks()],
        "outputs": [
            {
                "type": w.config.type,
                "path": w.config.path,
                "columns": w.columns(schema_of(chain, blocks, w.config.rows, chosen.upto)),
                "rows": w.config.rows,
                "after": w.config.after,
                "where": chosen.where.text if chosen.where else None,
                "order": [str(key) for key in chosen.order],
            }
            for w, chosen in zip(plan.writers, plan.selections, strict=True)
        ],
        "shard_bytes": max((shard_bytes(*phase) for phase in every), default=0),
        "bytes_in_flight": max((in_flight(*phase) for phase in every), default=0),
        "cpus_at_once": max((cpus_needed(c.stages[a:b]) for c, a, b in every), default=0),
    }


def schema_of(chain: Chain, blocks: dict[str, EachBlock], rows: str | None, upto: int) -> pa.Schema:
    """The columns of the rows that an output takes."""
    if rows is None:
        return chain.until(upto).schema
    block = blocks[rows]
    return pa.schema([*block.schema, *(f for s in block.stages[:upto] for f in s.writes)])


def stage_lines(
    storage: Storage, stages: Sequence[PlannedStage], chain: Chain, stored: StoredTable | None
) -> list[dict[str, Any]]:
    """The stages of one table, each with what is stored of it, and of a block those within.
    `chain`: theirs, or that of the nearest table that is known; `stored`: None where the table is
    not known yet.
    """
    phases = phases_of(stages)
    found = []
    for stage in stages:
        resources = stage.config.resources
        number, (first, last) = next((i, p) for i, p in enumerate(phases) if stage.index < p[1])
        block_bytes = shard_bytes(chain, first, last) if stored else 0
        line = {
            "name": stage.name,
            "type": stage.config.stage,
            "reads": list(stage.reads),
            "writes": stage.writes.names,
            "keep": stage.gate.text if stage.gate else None,
            "when": stage.when.text if stage.when else None,
            "notes": notes_of(stages, stage),
            "phase": number + 1,
            "global": stage.is_global,
            "identity": stage.identity,
            "rows_stored": stored_rows(storage, chain, stage) if stored else None,
            "rows_waiting": stored.waiting.get(stage.index, 0) if stored else None,
            "cpus": cpus_of(stage),
            "gpus": resources.gpus,
            "replicas": resources.bounds(),
            "memory_bytes": worker_bytes(stage, block_bytes),
            "on_this_machine": size_here(stages[first:last], stage, chain if stored else None),
        }
        if (block := stage.block) is not None:
            child = stored.tables.get(block.name) if stored else None
            line["each"] = block.column
            line["elements"] = child.chain.rows() if child else None
            line["stages"] = (
                stage_lines(storage, child.chain.stages, child.chain, child)
                if child
                else stage_lines(storage, block.stages, chain, None)
            )
        found.append(line)
    return found


def size_here(
    phase: Sequence[PlannedStage], stage: PlannedStage, chain: Chain | None
) -> dict[str, Any] | None:
    """Processes of a phase without Ray, for a stage that loads something in each; `chain`: where
    its rows are known.
    """
    most = wanted_processes()
    if not pooled(stage) or stage.stage.waits() or most == 0:
        return None
    rows = None if chain is None else chain.rows()
    return asdict(crew_of(phase, cores() if most is None else most, rows))


def whats_new(storage: Storage, plan: Plan, table: Table | None) -> str | None:
    """What a run would find new, in words; None where there was none before, or nothing is new."""
    if table is not None:
        found = news(storage, table, plan.config.name)
        return str(found) if found else None
    rows, unread = foreseen(storage, plan.source, plan.pool_schema)
    return (
        f"{amount(rows, 'row')} known, {unread:,} parts of the input to be read" if rows else None
    )


def stored_rows(storage: Storage, chain: Chain, stage: PlannedStage) -> int | None:
    """Rows of this table for which the stage has values, of this run or any other; None for a gate,
    or an identity not known yet.
    """
    if not stage.computes or stage.identity is None:
        return None
    there = {name for name, _ in storage.files(f"columns/{stage.column_set}")}
    mine = (chain.columns_of(stage, shard).name for shard in chain.shards())
    return sum(storage.row_count(name) for name in mine if name in there)


def stored_run(plan: Plan, limit: int | None, rows: str | None = None) -> Run:
    """The rows as the workspace has them now, or with `rows` those of a block's elements.  Raises
    RunError where the source was not read yet, or the block not reached.
    """
    storage = Storage(plan.config.workspace)
    blocks = blocks_of(plan.stages)
    if rows is not None and rows not in blocks:
        known = f"blocks: {', '.join(blocks)}" if blocks else "the pipeline has no `each` block"
        raise BadRequest(f"each: no block is named {rows!r} ({known})")
    table = open_table(storage, table_id(storage, plan.source))
    if table is None:
        raise RunError(f"{storage.root} does not hold this pipeline's source; run it first")
    stored = stored_table(plan.chain(table, limit))
    found = stored if rows is None else stored.named(rows)
    if found is None:
        raise RunError(f"no run has come to the block {rows!r} yet")
    return Run(found.chain)
