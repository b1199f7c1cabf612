"""The planned stages of a run over a table, as workers need them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from pairmill.plan.planned import PlannedStage as PlannedStage
from pairmill.redaction import REDACTOR, Redactor
from pairmill.schemas.arrow import is_payload
from pairmill.schemas.companions import mark_of, size_of
from pairmill.workspace.addresses import Recipe, addresses, column_file, input_of
from pairmill.workspace.answers import answers_of, is_answers
from pairmill.workspace.columns import ColumnFile
from pairmill.workspace.digests import digest_of
from pairmill.workspace.elements import hash_of_element, inside_of
from pairmill.workspace.shards import payload_file, read_rows, stored_file
from pairmill.workspace.storage import Storage
from pairmill.workspace.tables import Table

if TYPE_CHECKING:
    from pairmill.plan.blocks import Elements

REMEMBERED = 4_096
"""Shards whose addresses are remembered."""


@dataclass(frozen=True)
class Chain:
    """A table and the stages over it, in order; small, and sent to every worker.

    The table's shards are stored rows, wherever they came from; of a child table only the bytes of
    its elements lie elsewhere: in the lists that they are elements of.
    """

    root: str
    table: Table
    """With the digests of the columns that stages read; of others nobody asks for an address."""
    pool_schema: pa.Schema
    """The columns that the table's rows are stored with."""
    stages: tuple[PlannedStage, ...]
    limit: int | None = None
    elements: "Elements | None" = None
    """Of a child table: whose elements its rows are."""
    secrets: Redactor = field(default=REDACTOR, compare=False, repr=False)
    """What the driver knows never to write; a worker that gets the chain knows it too."""

    @property
    def pool(self) -> str:
        """The table's name."""
        return self.table.id

    @property
    def shard_rows(self) -> np.ndarray:
        """int32: rows of each shard of the table."""
        return self.table.rows

    def shards(self) -> list[int]:
        """The shards of the run, in order; `limit` leaves out what lies behind it."""
        count = len(self.table)
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
        """Place in the table of a shard's first row."""
        return int(self.starts[shard])

    @cached_property
    def starts(self) -> np.ndarray:
        """Place in the table of each shard's first row."""
        return np.concatenate([[0], np.cumsum(self.shard_rows, dtype=np.int64)])

    def read_pool(
        self,
        shard: int,
        columns: list[str],
        rows: np.ndarray | None = None,
        present: Collection[str] = (),
    ) -> pa.Table:
        """Stored columns of a shard's rows; of `rows` alone, and in their order, if given.  Of
        columns `present` it is enough to know whether there is a value.
        """
        storage, wide = Storage(self.root), [c for c in columns if self.is_wide(c)]
        narrow = [c for c in columns if c not in wide]
        found: dict[str, pa.ChunkedArray] = {}
        if narrow or not wide:
            file = self.source_file(shard, "uid")
            part = read_rows(storage, file, narrow or ["uid"], rows, present)
            found |= {c: part.column(c) for c in part.schema.names}
        if wide and self.elements:
            file = self.source_file(shard, "uid")
            cut = self.elements.read(storage, file, shard, wide, rows)
            found |= {c: cut.column(c) for c in wide}
        for column in wide if not self.elements else ():
            part = read_rows(storage, self.source_file(shard, column), [column], rows)
            found[column] = part.column(column)
        table = pa.table({c: found[c] for c in columns or ["uid"]})
        return (table.slice(0, self.rows_of(shard)) if rows is None else table).combine_chunks()

    def is_wide(self, column: str) -> bool:
        """Whether a stored column holds bytes, which have a file of their own."""
        return column in self.wide

    @cached_property
    def wide(self) -> frozenset[str]:
        """Those that the rows are stored with."""
        return frozenset(f.name for f in self.pool_schema if is_payload(f.type))

    def source_file(self, shard: int, column: str) -> str:
        """Where a column that the rows are stored with lies."""
        name = int(self.table.names[shard])
        if self.is_wide(column) and not self.elements:
            return payload_file(name, int(self.table.digests[column][shard]))
        return stored_file(name, int(self.table.contents[shard]))

    @cached_property
    def recipes(self) -> tuple[Recipe | None, ...]:
        """By stage: what decides its values beside the rows; None of a gate, and where that is not
        known yet.
        """
        made: list[Recipe | None] = []
        for stage in self.stages:
            recipe = None
            if stage.computes and stage.identity:
                recipe = Recipe(stage.definition_id, None, self.decided_by(stage))
                if not all(self.is_known(*i, made) for i in recipe.inputs):
                    recipe = None
            made.append(recipe)
        return tuple(made)

    def is_known(self, writer: int | None, name: str | int, made: Sequence[Recipe | None]) -> bool:
        """Whether an input has an address, by the recipes of the stages before."""
        if writer is not None:
            return made[writer] is not None
        return not is_answers(str(name)) or name in self.table.digests

    def decided_by(self, stage: PlannedStage) -> tuple[tuple[int | None, str | int], ...]:
        """What decides a stage's values, shard by shard: its inputs; of a stage over all rows its
        answers; of what comes back from a block all that is stored of its elements.
        """
        if stage.block is not None:
            return ((None, inside_of(stage.block.name)),)
        if stage.is_global:
            return ((None, answers_of(stage.definition_id, stage.population or "")),)
        return tuple(map(self.input_of, (*stage.reads, *stage.given)))

    def input_of(self, column: str) -> tuple[int | None, str | int]:
        """(None, name) of a source column, (stage, place among its columns) of others."""
        writer = self.writer_of(column)
        if writer is None:
            return None, column
        return writer.index, writer.writes.get_field_index(column)

    def addresses(self, shard: int) -> tuple[int | None, ...]:
        """By stage: the address of what it stores of a shard."""
        if (found := self.remembered.get(shard)) is not None:
            return found
        made = addresses(self.recipes, int(self.table.names[shard]), self.digests_of(shard))
        if len(self.remembered) >= REMEMBERED:
            self.remembered.clear()
        return self.remembered.setdefault(shard, made)

    def digests_of(self, shard: int) -> dict[str, int]:
        """Of the source columns of a shard that stages read."""
        return {c: int(d[shard]) for c, d in self.table.digests.items()}

    def inputs_digest(self, index: int, shard: int) -> bytes:
        """Stands for what a stage over all rows reads of a shard, whichever rows it looks at."""
        made, digests = self.addresses(shard), self.digests_of(shard)
        stage = self.stages[index]
        names = dict.fromkeys(["uid", *stage.reads, *stage.given])
        inputs = (input_of(self.input_of(c), digests, made) for c in names)
        return digest_of(*inputs).to_bytes(8, "little")

    @cached_property
    def remembered(self) -> dict[int, tuple[int | None, ...]]:
        """Addresses of the last shards that were asked for."""
        return {}

    def __getstate__(self) -> dict[str, Any]:
        """What is remembered stays behind."""
        return {k: v for k, v in vars(self).items() if k != "remembered"}

    def columns_of(self, stage: PlannedStage, shard: int) -> ColumnFile:
        """Where what a stage wrote of a shard is stored."""
        address = self.addresses(shard)[stage.index]
        assert address is not None, f"{stage.name} has no address yet"
        return self.file_at(stage, shard, address)

    def answers_at(self, stage: PlannedStage, shard: int, answers: int) -> ColumnFile:
        """Where a stage over all rows stores answers of a shard that have a digest."""
        own = Recipe(stage.definition_id, None, ((None, "answers"),))
        name = int(self.table.names[shard])
        (address,) = addresses([own], name, {"answers": answers})
        assert address is not None
        return self.file_at(stage, shard, address)

    def file_at(self, stage: PlannedStage, shard: int, address: int) -> ColumnFile:
        """What is stored of a stage and a shard; a stage over all rows may have read anywhere."""
        reads = () if stage.is_global else (*stage.reads, *stage.given)
        return ColumnFile(
            Storage(self.root),
            column_file(stage.column_set, int(self.table.names[shard]), address),
            stage.writes,
            stage.stored_names,
            {"inputs": [self.place_of(c, shard) for c in reads]},
        )

    def place_of(self, column: str, shard: int) -> tuple[str, str]:
        """(file, name there) of a column of a shard."""
        writer = self.writer_of(column)
        if writer is None:
            hashed = self.elements is not None and self.is_wide(column)
            return self.source_file(shard, column), hash_of_element(column) if hashed else column
        return self.columns_of(writer, shard).name, writer.stored_names[column]

    def with_answers(self, index: int, answers: np.ndarray) -> "Chain":
        """The chain that knows what a stage over all rows answered.  `answers`: uint64, the digest
        in each shard.
        """
        stage = self.stages[index]
        key = answers_of(stage.definition_id, stage.population or "")
        digests = {**self.table.digests, key: answers}
        return replace(self, table=replace(self.table, digests=digests))

    def lineage(self) -> tuple[PlannedStage, ...]:
        """The stages that made what a row has: its own, and those that its parents went through."""
        if self.elements is None:
            return self.stages
        before = self.elements.parent.until(self.elements.index)
        return (*before.lineage(), *self.stages)

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
        return self.writers.get(name)

    @cached_property
    def writers(self) -> dict[str, PlannedStage]:
        """Column → the stage that writes it."""
        return {name: s for s in reversed(self.stages) for name in s.writes.names}

    @cached_property
    def payload(self) -> frozenset[str]:
        """Columns that hold bytes."""
        return frozenset(f.name for f in self.schema if is_payload(f.type))

    def narrow(self, name: str) -> str:
        """What stands for a column where only its presence matters: no payload."""
        return size_of(name) if name in self.payload else name

    def narrow_columns(self, name: str) -> list[str]:
        """All that is known of a column without reading bytes: of payload that a stage wrote also
        whether it was forgotten.
        """
        narrow = self.narrow(name)
        return [narrow, mark_of(name)] if narrow != name and self.writer_of(name) else [narrow]
