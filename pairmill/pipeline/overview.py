"""The plan as plain data: what would run, what is stored, what it needs."""

from typing import Any

from pairmill.cluster.memory import in_flight, shard_bytes, worker_bytes
from pairmill.cluster.room import cpus_needed, cpus_of
from pairmill.errors import RunError
from pairmill.fates.run_table import Run
from pairmill.fates.survey import Survey, known_stages
from pairmill.pipeline.news import news
from pairmill.plan.chain import Chain, PlannedStage
from pairmill.plan.identity import identified
from pairmill.plan.notes import notes_of
from pairmill.plan.plan import Plan
from pairmill.work.local import LocalEngine
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
    chain, waiting = undecided(plan, chain)
    stages = []
    blocks = {
        i: shard_bytes(chain, first, last)
        for first, last in plan.phases()
        for i in range(first, last)
    }
    for stage in chain.stages:
        resources = stage.config.resources
        stages.append(
            {
                "name": stage.name,
                "type": stage.config.stage,
                "reads": list(stage.reads),
                "writes": stage.writes.names,
                "keep": stage.gate.text if stage.gate else None,
                "when": stage.when.text if stage.when else None,
                "notes": notes_of(chain.stages, stage),
                "phase": next(
                    i + 1 for i, (a, b) in enumerate(plan.phases()) if a <= stage.index < b
                ),
                "global": stage.is_global,
                "identity": stage.identity,
                "rows_stored": stored_rows(storage, chain, stage),
                "rows_waiting": waiting.get(stage.index, 0) if pool else None,
                "cpus": cpus_of(stage),
                "gpus": resources.gpus,
                "replicas": resources.bounds(),
                "memory_bytes": worker_bytes(stage, blocks[stage.index]),
            }
        )
    rows = chain.rows() if pool else None
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
                "columns": w.columns(chain.until(chosen.upto).schema),
                "after": w.config.after,
                "where": chosen.where.text if chosen.where else None,
                "order": [str(key) for key in chosen.order],
            }
            for w, chosen in zip(plan.writers, plan.selections, strict=True)
        ],
        "shard_bytes": max(blocks.values(), default=0),
        "bytes_in_flight": max((in_flight(chain, *p) for p in plan.phases()), default=0),
        "cpus_at_once": max((cpus_needed(chain.stages[a:b]) for a, b in plan.phases()), default=0),
    }


def whats_new(storage: Storage, plan: Plan, table: Table | None) -> str | None:
    """What a run would find new, in words; None where there was none before, or nothing is new."""
    if table is not None:
        found = news(storage, table, plan.config.name)
        return str(found) if found else None
    rows, unread = foreseen(storage, plan.source, plan.pool_schema)
    return f"{rows:,} rows known, {unread:,} parts of the input to be read" if rows else None


def stored_rows(storage: Storage, chain: Chain, stage: PlannedStage) -> int | None:
    """Rows of this table for which the stage has values, of this run or any other; None for a gate,
    or an identity not known yet.
    """
    if not stage.computes or stage.identity is None:
        return None
    there = {name for name, _ in storage.files(f"columns/{stage.column_set}")}
    mine = (chain.columns_of(stage, shard).name for shard in chain.shards())
    return sum(storage.row_count(name) for name in mine if name in there)


def undecided(plan: Plan, chain: Chain) -> tuple[Chain, dict[int, int]]:
    """Stage index → rows that wait for it (later stages will get at most what passes it)."""
    survey = Survey(chain, LocalEngine(Storage(chain.root).local).over)
    digests: dict[int, str] = {}
    while (
        len(chain.shard_rows)
        and (first := known_stages(survey.chain)) < len(chain.stages)
        and not survey.waiting()
    ):
        digests[first] = survey.population()[0]
        survey.start(identified(chain, digests))
    return survey.chain, dict(survey.stages_waiting())


def stored_run(plan: Plan, limit: int | None) -> Run:
    """The rows as the workspace has them now.  Raises RunError where the source was not read
    yet.
    """
    storage = Storage(plan.config.workspace)
    table = open_table(storage, table_id(storage, plan.source))
    if table is None:
        raise RunError(f"{storage.root} does not hold this pipeline's source; run it first")
    return Run(undecided(plan, plan.chain(table, limit))[0])
