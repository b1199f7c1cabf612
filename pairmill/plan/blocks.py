"""`each` blocks as planned: the child table that a list column opens, and the chain over it."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pairmill.errors import CorruptWorkspace
from pairmill.plan.chain import Chain, PlannedStage
from pairmill.plan.identity import identified
from pairmill.plan.spelling import RESERVED
from pairmill.schemas.arrow import HASH_OF, PARENTS, POOL_COLUMNS, hash_of, is_bytes, is_payload
from pairmill.schemas.companions import is_companion, size_of
from pairmill.schemas.hashing import digest
from pairmill.workspace.columns import ColumnFile
from pairmill.workspace.elements import PARENT, PLACE, inside_of, insides
from pairmill.workspace.shards import read_rows
from pairmill.workspace.storage import Storage
from pairmill.workspace.tables import Table

PARENT_UID = "parent_uid"
OWN = pa.schema(
    [
        *(POOL_COLUMNS.field(c) for c in ("uid", "doc_id", "position")),
        pa.field(PARENT_UID, pa.string(), metadata={"doc": "uid of the row whose list it is from"}),
        pa.field(PLACE, pa.int32(), metadata={"doc": "place in that list, from 0"}),
    ]
)
"""Columns that every row of a child table has: `doc_id` is the parent's uid, `position` the place,
so that the elements of one parent are a document.
"""


@dataclass(frozen=True)
class EachBlock:
    """An `each` block: stages over the elements of a list column, and what comes back of them."""

    name: str
    column: str
    """The parent's list column."""
    fields: tuple[tuple[str, str | None], ...]
    """The element's own columns: name, and the field of its struct, None of an element that is
    none.
    """
    inherited: tuple[tuple[str, str], ...]
    """Columns that are the parent's: name here, name there."""
    schema: pa.Schema
    """What the child's rows are stored with: own columns, elements' fields, parent's columns."""
    stages: tuple[PlannedStage, ...]
    collect: tuple[str, ...]
    limit: int | None = None
    key: str = ""
    """What the list is, whatever it and its stage are called: part of its elements' uids."""

    def wide(self) -> list[str]:
        """Columns that hold bytes, which stay where they are."""
        return [f.name for f in self.schema if is_payload(f.type)]

    def origins(self) -> dict[str, tuple[str, str | None, bool]]:
        """Column → (column of the parent, field of the element's struct, whether it is an element
        of that column's lists).
        """
        own = {name: (self.column, field, True) for name, field in self.fields}
        return own | {name: (there, None, False) for name, there in self.inherited}

    def needs(self) -> set[str]:
        """Columns of the parent that are read."""
        return {self.column, *(there for _, there in self.inherited)}

    def logic(self) -> str:
        """Digest of what decides which elements are kept, beside their columns, and of what comes
        back.
        """
        gates = [
            [s.gate and s.gate.text, s.when and s.when.text, s.config.on_missing]
            for s in self.stages
        ]
        return digest([gates, list(self.collect), self.limit])

    def used_by(self, asked: Collection[str]) -> set[str]:
        """Columns that somebody reads: its stages, blocks inside, `collect`, and who `asked`."""
        used = {*asked, *self.collect}
        for stage in self.stages:
            gate = stage.gate.columns if stage.gate else ()
            used |= {*stage.touches(), *gate, *(stage.block.needs() if stage.block else ())}
        return used

    def narrowed(self, asked: Collection[str]) -> "EachBlock":
        """The same without those of the parent's columns that nobody reads."""
        used = self.used_by(asked)
        gone = {name for name, _ in self.inherited if name not in used}
        return replace(
            self,
            inherited=tuple(pair for pair in self.inherited if pair[0] not in gone),
            schema=pa.schema([f for f in self.schema if f.name not in gone]),
        )


def child_columns(
    column: str, element: pa.Field, parent: pa.Schema
) -> tuple[tuple[tuple[str, str | None], ...], tuple[tuple[str, str], ...], pa.Schema]:
    """(fields, inherited, schema) of the child table of a list column.

    A column of the parent that the element hides is there as `parent_<name>`, and so is what is
    said of such a one: the size of a whole picture is not that of its tile.
    """
    kind = element.type
    if pa.types.is_struct(kind):
        inside = [kind.field(i) for i in range(kind.num_fields)]
        fields: list[tuple[str, str | None]] = [(field_name(column, p), p.name) for p in inside]
        parts = [p.with_name(here) for p, (here, _) in zip(inside, fields, strict=True)]
    else:
        parts, fields = [element.with_name(column)], [(column, None)]
    own_names = {part.name for part in parts}
    taken = {*OWN.names, *own_names}
    inherited, of_parent = [], []
    for field in parent:
        if field.name == column or is_companion(field.name) or field.name == "uid":
            continue
        hidden = field.name in taken or said_of(field) in own_names
        name = f"parent_{field.name}" if hidden else field.name
        if name not in taken:
            taken.add(name)
            inherited.append((name, field.name))
            of_parent.append(plain(field).with_name(name))
    own = [part.with_type(pa.large_binary()) if is_bytes(part.type) else part for part in parts]
    return tuple(fields), tuple(inherited), pa.schema([*OWN, *own, *of_parent])


def field_name(column: str, field: pa.Field) -> str:
    """How a field of a list's structs is called as a column: by its own name, unless rows have a
    column of that name already, or no column may be called so.
    """
    name = field.name
    own = name in OWN.names or name in RESERVED or is_companion(name) or name.startswith("__")
    return f"{column}_{name}" if own or not name else name


def said_of(field: pa.Field) -> str | None:
    """The column of which another one says something: its size, its hash."""
    named = (field.metadata or {}).get(b"of")
    return named.decode() if named else hash_of(field)


def plain(field: pa.Field) -> pa.Field:
    """A parent's column as its elements have it: a hash of the parent's bytes is none of theirs."""
    facts = {k: v for k, v in (field.metadata or {}).items() if k != HASH_OF}
    return field.with_metadata({**facts, PARENTS: b"true"})


@dataclass(frozen=True)
class Elements:
    """Whose elements the rows of a child table are: of lists of `parent` before its stage
    `index`.
    """

    parent: Chain
    index: int

    @property
    def block(self) -> EachBlock:
        """The block that opened the table."""
        block = self.parent.stages[self.index].block
        assert block is not None
        return block

    def read(
        self,
        storage: Storage,
        file: str,
        shard: int,
        columns: Sequence[str],
        rows: np.ndarray | None,
    ) -> pa.Table:
        """Bytes of some rows of a child's shard, cut out of what the parent stored.  `file`: the
        child's narrow columns.

        Raises CorruptWorkspace where they are stored no more.
        """
        where = read_rows(storage, file, [PARENT, PLACE, *map(size_of, columns)], rows)
        parents = np.asarray(where.column(PARENT).combine_chunks())
        places = np.asarray(where.column(PLACE).combine_chunks())
        wanted, at = np.unique(parents, return_inverse=True)
        origins = self.block.origins()
        found: dict[str, pa.Array] = {}
        for column in columns:
            there, field, in_list = origins[column]
            values = stored_column(self.parent, shard, there, wanted.astype(np.int32))
            taken = elements_at(values, at, places) if in_list else values.take(pa.array(at))
            part = pc.struct_field(taken, field) if field is not None else taken
            part = part.cast(self.block.schema.field(column).type)
            has = where.column(size_of(column)).combine_chunks().is_valid()
            if pc.any(pc.and_(has, pc.is_null(part))).as_py():
                raise CorruptWorkspace(
                    f"bytes of {column!r}, elements of {self.block.column!r} in shard {shard}, are "
                    f"stored no more in {storage.root}; run again"
                )
            found[column] = pc.if_else(has, part, pa.scalar(None, part.type))
        return pa.table({c: found[c] for c in columns})


def stored_column(chain: Chain, shard: int, name: str, rows: np.ndarray) -> pa.Array:
    """A column of some rows as it is stored, whatever gates say; null where nothing is."""
    writer = chain.writer_of(name)
    if writer is None:
        return one_array(chain.read_pool(shard, [name], rows).column(name))
    file: ColumnFile = chain.columns_of(writer, shard)
    stored = file.load([name], rows)
    if stored is None:
        return pa.nulls(len(rows), chain.dtype(name))
    at = pc.index_in(pa.array(rows, pa.int32()), value_set=one_array(stored.column("row")))
    return one_array(stored.column(name)).take(at)


def one_array(values: pa.ChunkedArray) -> pa.Array:
    """The values as one array, of a table that may have no chunk."""
    joined = values.combine_chunks()
    return joined if isinstance(joined, pa.Array) else pa.concat_arrays(joined.chunks)


def elements_at(lists: pa.Array, which: np.ndarray, places: np.ndarray) -> pa.Array:
    """The elements at some places of some lists; null where a list is."""
    lengths = np.asarray(pc.fill_null(pc.list_value_length(lists), 0)).astype(np.int64)
    starts = np.cumsum(lengths) - lengths
    inside = places < lengths[which] if len(which) else np.zeros(0, bool)
    at = np.where(inside, starts[which] + places, 0) if len(which) else np.zeros(0, np.int64)
    return pc.list_flatten(lists).take(pa.array(at, pa.int64(), mask=~inside))


def child_chain(parent: Chain, index: int, table: Table) -> Chain:
    """The stages of a block over the elements of a parent's lists."""
    block = parent.stages[index].block
    assert block is not None
    used = {"uid", *block.wide(), *block.used_by(())}
    return identified(
        replace(
            parent,
            table=table.narrowed(used),
            pool_schema=block.schema,
            stages=block.stages,
            limit=block.limit,
            elements=Elements(parent, index),
        )
    )


def with_inside(parent: Chain, index: int, child: Chain, known: Mapping[int, str]) -> Chain:
    """The parent's chain once its block is done, and known what decides, in each shard, what comes
    back of it.  `known`: digests of rows that stages before it looked at.
    """
    block = parent.stages[index].block
    assert block is not None
    array = np.zeros(len(parent.table), np.uint64)  # a limit may leave shards out
    array[: len(child.table)] = insides(
        block.logic(), child.recipes, child.table.names, child.table.digests
    )
    digests = {**parent.table.digests, inside_of(block.name): array}
    table = replace(parent.table, digests=digests)
    population = digest([block.logic(), array.tobytes()])
    return identified(replace(parent, table=table), {**known, index: population})


def block_facts(block: EachBlock, child: Chain | None) -> dict[str, Any]:
    """What gc has to know of a block: by which table, and by which of its columns, files are
    addressed; no table before it was opened.
    """
    facts: dict[str, Any] = {
        "name": block.name,
        "logic": block.logic(),
        "table": None,
        "digests": (),
    }
    if child is not None:
        facts |= {"table": child.table.id, "digests": tuple(sorted(child.table.digests))}
    return facts
