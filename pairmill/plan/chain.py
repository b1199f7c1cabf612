"""The planned stages of a run, as workers need them."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pairmill.errors import CorruptWorkspace
from pairmill.redaction import REDACTOR, Redactor
from pairmill.schemas.arrow import SIZE_SUFFIX, is_payload, unit_of
from pairmill.schemas.expressions import Expression
from pairmill.stages.base import GlobalStage, Stage
from pairmill.workspace.columns import ColumnStore, groups_at, shard_file
from pairmill.workspace.storage import Storage


@dataclass(frozen=True)
class PlannedStage:
    """One stage with everything that can be known of it before a row is seen."""

    index: int
    name: str
    stage: Stage
    reads: tuple[str, ...]
    writes: pa.Schema
    gate: Expression | None
    when: Expression | None
    definition: dict[str, Any]
    identity: str | None
    """None for a global stage, and for what reads its columns, until the rows it looks at are
    known.
    """
    taken: tuple[str, ...] = ()
    """Payload that outputs take of the rows that are alive after this stage (`after:`), whatever
    later gates say.
    """

    @property
    def config(self) -> Any:
        """The stage's config."""
        return self.stage.config

    @property
    def is_global(self) -> bool:
        """Whether it looks at all rows."""
        return isinstance(self.stage, GlobalStage)

    @property
    def computes(self) -> bool:
        """Whether it writes columns, and is not only a gate."""
        return len(self.writes) > 0

    @property
    def column_set(self) -> str:
        """Name of the folder of its stored columns."""
        assert self.identity is not None, f"{self.name} has no identity yet"
        return f"{self.name}-{self.identity}"

    def touches(self) -> set[str]:
        """Columns it needs of the rows that come to it: inputs, and those of `when` and of `keep`
        that it does not write.
        """
        named = {
            *self.reads,
            *(self.when.columns if self.when else ()),
            *(self.gate.columns if self.gate else ()),
        }
        return named - set(self.writes.names)

    def payload(self) -> list[str]:
        """Its columns that hold bytes."""
        return [f.name for f in self.writes if is_payload(f.type)]

    def columns_in(self, unit: str) -> list[str]:
        """Its columns that are counted in a unit."""
        return [f.name for f in self.writes if unit_of(f) == unit]


@dataclass(frozen=True)
class Chain:
    """A pool and the stages over it, in order; small, and sent to every worker."""

    root: str
    pool: str
    pool_schema: pa.Schema
    shard_rows: np.ndarray = field(compare=False)
    """int32, one for each shard of the pool; an array, which a million shards' workers share
    instead of unpacking it.
    """
    stages: tuple[PlannedStage, ...]
    limit: int | None = None
    secrets: Redactor = field(default=REDACTOR, compare=False, repr=False)
    """What the driver knows never to write; a worker that gets the chain knows it too."""

    @property
    def store(self) -> ColumnStore:
        """The stored columns of the workspace."""
        return ColumnStore(Storage(self.root))

    def shards(self) -> list[int]:
        """The shards of the run, in order; `limit` leaves out what lies behind it."""
        count = len(self.shard_rows)
        return list(
            range(
                count
                if self.limit is None
                else int(np.searchsorted(self.starts[:count], self.limit))
            )
        )

    def rows_of(self, shard: int) -> int:
        """Rows of a shard that belong to the run."""
        rows = int(self.shard_rows[shard])
        return rows if self.limit is None else min(rows, self.limit - self.first_row(shard))

    def rows(self) -> int:
        """Rows of the run."""
        every = int(self.starts[-1])
        return every if self.limit is None else min(every, self.limit)

    def first_row(self, shard: int) -> int:
        """Place in the pool of a shard's first row."""
        return int(self.starts[shard])

    @cached_property
    def starts(self) -> np.ndarray:
        """Place in the pool of each shard's first row."""
        return np.concatenate([[0], np.cumsum(self.shard_rows, dtype=np.int64)])

    def read_pool(self, shard: int, columns: list[str], rows: np.ndarray | None = None) -> pa.Table:
        """Columns of a shard's rows; of `rows` alone, and in their order, if given."""
        storage, name = Storage(self.root), f"pool/{self.pool}/{shard_file(shard)}"
        sizes: list[int] = []

        def groups(meta: pq.FileMetaData) -> list[int]:
            sizes.extend(meta.row_group(i).num_rows for i in range(meta.num_row_groups))
            return groups_at(sizes, rows)[0] if rows is not None else list(range(len(sizes)))

        try:
            table = storage.read_table(name, columns or ["uid"], groups)
        except FileNotFoundError:
            storage.check_there()
            raise CorruptWorkspace(
                f"{storage.path(name)} is gone; delete "
                f"{storage.path(f'pool/{self.pool}')} and run again"
            ) from None
        table = (
            table.slice(0, self.rows_of(shard))
            if rows is None
            else table.take(pa.array(groups_at(sizes, rows)[1]))
        )
        return table.combine_chunks()

    def until(self, upto: int) -> "Chain":
        """The chain that ends with its first `upto` stages."""
        return replace(self, stages=self.stages[:upto])

    def taken(self) -> dict[str, int]:
        """Payload that outputs take → how many stages count for the first of them: its bytes must
        be there for every row that is alive after those.
        """
        found: dict[str, int] = {}
        for stage in self.stages:
            for name in stage.taken:
                found.setdefault(name, stage.index + 1)
        return found

    def dtype(self, name: str) -> pa.DataType:
        """Type of a column."""
        return self.schema.field(name).type

    @cached_property
    def schema(self) -> pa.Schema:
        """Every column there is after the last stage."""
        return pa.schema([*self.pool_schema, *(f for s in self.stages for f in s.writes)])

    def writer_of(self, name: str) -> PlannedStage | None:
        """The stage that writes a column; None for a column of the pool."""
        return next((s for s in self.stages if name in s.writes.names), None)

    def narrow(self, name: str) -> str:
        """What stands for a column where only its presence matters: payload is never read for
        that.
        """
        return name + SIZE_SUFFIX if is_payload(self.dtype(name)) else name

    def with_identity(self, index: int, identity: str) -> "Chain":
        """The chain with one stage's identity known."""
        stages = list(self.stages)
        stages[index] = replace(stages[index], identity=identity)
        return replace(self, stages=tuple(stages))
