"""What a workspace holds, as tests look at it."""

from pathlib import Path

import polars as pl
import pyarrow.parquet as pq

from pairmill.plan.chain import Chain
from pairmill.plan.plan import Plan, pool_schema_of
from pairmill.sources.base import Source
from pairmill.workspace.fingerprints import table_id
from pairmill.workspace.ingest import build_table
from pairmill.workspace.shards import payload_file, stored_file
from pairmill.workspace.storage import Storage
from pairmill.workspace.tables import Table, open_table


def built(source: Source, folder: Path, identity: str = "0" * 16) -> Table:
    """The table of a source, read into a workspace."""
    storage = Storage(str(folder))
    table = build_table(storage, source, identity, pool_schema_of(source.schema()))
    assert open_table(storage, identity) == table
    return table


def shards_of(folder: Path, table: Table) -> list[pl.DataFrame]:
    """The rows of each shard, bytes beside the narrow columns."""
    found = []
    for shard, name in enumerate(table.names.tolist()):
        narrow = pl.from_arrow(
            pq.read_table(folder / stored_file(name, int(table.contents[shard])))
        )
        assert isinstance(narrow, pl.DataFrame)
        for column, digests in table.digests.items():
            wide = folder / payload_file(name, int(digests[shard]))
            if wide.exists():
                part = pl.from_arrow(pq.read_table(wide, columns=[column]))
                assert isinstance(part, pl.DataFrame)
                narrow = narrow.with_columns(part[column])
        found.append(narrow)
    return found


def stored_chain(plan: Plan, limit: int | None = None) -> Chain:
    """The stages of a pipeline over the table that its workspace has."""
    storage = Storage(plan.config.workspace)
    table = open_table(storage, table_id(storage, plan.source))
    assert table is not None
    return plan.chain(table, limit)


def column_files(workspace: Path, stage: str) -> list[Path]:
    """What a stage has stored, by shard."""
    return sorted(workspace.glob(f"columns/{stage}-*/*.parquet"))


def stored_values(plan: Plan, index: int = 0) -> pl.DataFrame:
    """What a stage stored (none over all rows, or behind one), with each row's place in the table."""
    return values_of(stored_chain(plan), index)


def values_of(chain: Chain, index: int) -> pl.DataFrame:
    """What a stage stored, over all shards, with each row's place in the table as `at`."""
    stage, parts = chain.stages[index], []
    for shard in chain.shards():
        part = chain.columns_of(stage, shard).load(stage.writes.names)
        if part is not None:
            frame = pl.from_arrow(part)
            assert isinstance(frame, pl.DataFrame)
            parts.append(frame.with_columns(at=pl.col("row") + chain.first_row(shard)))
    return pl.concat(parts)
