"""Values of rows that did not change are carried over into new shards, and to new addresses, from
where they stood before: so that what is computed is what is new.

A row is found by its uid.  Its value is taken where every column that the stage reads is equal,
value by value, to what it was made from; a column file says where that lies (`inputs`).
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pairmill.errors import CorruptWorkspace
from pairmill.plan.chain import Chain, PlannedStage
from pairmill.schemas.arrow import is_payload
from pairmill.schemas.companions import forgotten, is_companion
from pairmill.work.ahead import ahead
from pairmill.work.engine import WorkEngine
from pairmill.workspace.addresses import FOLDER as COLUMNS
from pairmill.workspace.columns import FACTS, ColumnFile, groups_near
from pairmill.workspace.digests import uid_hashes, whole
from pairmill.workspace.read_memory import READ
from pairmill.workspace.shards import FOLDER as SHARDS
from pairmill.workspace.shards import read_rows
from pairmill.workspace.storage import Storage

Place = tuple[str, str]
"""(file, name there) of a column."""


@dataclass(frozen=True)
class Earlier:
    """Where values may be carried over from, for some stages of a chain.

    `files`: column set → name of a shard → its files.  `shards`: shard of the table → names of
    other shards that hold some of its rows.  `sources`: name of a shard → a file with its uids.
    """

    files: Mapping[str, Mapping[int, tuple[str, ...]]]
    shards: Mapping[int, tuple[int, ...]]
    sources: Mapping[int, str]


def carry_over(
    engine: WorkEngine, chain: Chain, stages: Sequence[PlannedStage], shards: Sequence[int]
) -> int:
    """Carries what can be carried into some shards; gives the number of values, by row and
    stage.
    """
    stages = [s for s in stages if s.computes and not s.is_global]
    earlier = look_for(chain, stages, shards)
    if earlier is None:
        return 0
    work = Carrier(chain, tuple(s.index for s in stages), earlier)
    return sum(engine.over(work, [s for s in shards if work.has_any(s)]))


def look_for(chain: Chain, stages: Sequence[PlannedStage], shards: Sequence[int]) -> Earlier | None:
    """What is stored of these stages beside the files that the chain itself has; None where there
    is nothing.
    """
    storage = Storage(chain.root)
    own = {int(chain.table.names[s]) for s in shards}
    every = set(chain.table.names.tolist())
    files: dict[str, dict[int, tuple[str, ...]]] = {}
    others: set[int] = set()
    for stage in stages:
        mine = {chain.columns_of(stage, s).name for s in shards}
        there = files.setdefault(stage.column_set, {})
        for file, _ in storage.files(f"{COLUMNS}/{stage.column_set}"):
            name = shard_of(file)
            if name is None or file in mine or (name in every and name not in own):
                continue
            there[name] = (*there.get(name, ()), file)
            if name not in every:
                others.add(name)
    if not any(files.values()):
        return None
    sources: dict[int, str] = {}
    for file, _ in storage.files(SHARDS) if others else ():
        name = shard_of(file)
        if name is not None and name in others:
            sources[name] = file
    return Earlier(files, overlapping(chain, shards, storage, sources), sources)


def shard_of(file: str) -> int | None:
    """The name of the shard that a file is of."""
    base = file.rpartition("/")[2].split(".")
    return int(base[0], 16) if len(base) == 3 and len(base[0]) == 16 else None


def overlapping(
    chain: Chain, shards: Sequence[int], storage: Storage, sources: dict[int, str]
) -> dict[int, tuple[int, ...]]:
    """Shard → names of other shards that hold some of its rows."""
    if not sources:
        return {}
    hashes = [uid_hashes(chain.read_pool(s, ["uid"]).column("uid")) for s in shards]
    of = np.repeat(np.array(shards), [len(h) for h in hashes])
    every = np.concatenate(hashes)
    order = np.argsort(every)
    every, of = every[order], of[order]
    found: dict[int, list[int]] = {}
    names = sorted(sources)
    for name, uids in zip(
        names, ahead(lambda n: uids_in(storage, sources, n), names, 4), strict=True
    ):
        if uids is None:
            continue
        theirs = uid_hashes(uids)
        at = np.minimum(np.searchsorted(every, theirs), len(every) - 1)
        for shard in np.unique(of[at[every[at] == theirs]]).tolist():
            found.setdefault(shard, []).append(name)
    return {shard: tuple(names) for shard, names in found.items()}


def uids_in(storage: Storage, sources: Mapping[int, str], name: int) -> pa.ChunkedArray | None:
    """The uids of a shard; None where it is gone meanwhile."""
    try:
        return storage.read_table(sources[name], ["uid"]).column("uid")
    except (FileNotFoundError, CorruptWorkspace):
        return None


@dataclass(frozen=True)
class Carrier:
    """Carries values into shards; `stages`: indices, in order."""

    chain: Chain
    stages: tuple[int, ...]
    earlier: Earlier

    def has_any(self, shard: int) -> bool:
        """Whether there is anything to look at."""
        own = int(self.chain.table.names[shard])
        return shard in self.earlier.shards or any(own in f for f in self.earlier.files.values())

    def __call__(self, shard: int) -> int:
        """Values carried into a shard."""
        storage, carried = Storage(self.chain.root), 0
        rows = np.arange(self.chain.rows_of(shard), dtype=np.int32)
        uids = self.chain.read_pool(shard, ["uid"]).column("uid")
        places = {int(self.chain.table.names[shard]): rows}
        for name in self.earlier.shards.get(shard, ()):
            theirs = uids_in(storage, self.earlier.sources, name)
            if theirs is not None:
                at = pc.fill_null(pc.index_in(uids, value_set=theirs.combine_chunks()), -1)
                places[name] = np.asarray(at.combine_chunks()).astype(np.int32)
        for stage in (self.chain.stages[i] for i in self.stages):
            files = self.earlier.files.get(stage.column_set, {})
            if not any(files.get(name) for name in places):
                continue
            into = self.chain.columns_of(stage, shard)
            lacking = np.ones(len(rows), bool)
            lacking[stored_rows(into, len(rows))] = False
            parts = []
            for name, file in ((n, f) for n in places for f in files.get(n, ())):
                here = rows[lacking & (places[name] >= 0)]
                part = values_from(storage, into, file, here, places[name][here])
                if part is not None:
                    lacking[np.asarray(part.column("row"))] = False
                    parts.append(part)
            if parts:
                taken = pa.concat_tables(parts)
                into.store(taken.take(pc.sort_indices(taken.column("row"))).combine_chunks())
                carried += taken.num_rows
        return carried


def stored_rows(file: ColumnFile, count: int) -> np.ndarray:
    """Rows that a file holds, of the first `count`."""
    stored = file.load([])
    rows = np.asarray(stored.column("row")) if stored is not None else np.empty(0, np.int32)
    return rows[rows < count]


def values_from(
    storage: Storage, into: ColumnFile, file: str, here: np.ndarray, there: np.ndarray
) -> pa.Table | None:
    """What an earlier file has of rows `there`, as values of the rows `here`, where the inputs are
    equal; None where it has nothing.
    """
    if not len(here):
        return None
    schema = into.schema()
    wide = any(is_payload(f.type) for f in schema)
    try:
        stored = storage.read_table(file, ["row"] if wide else schema.names)
        inputs = json.loads((stored.schema.metadata or {})[FACTS])["inputs"]
        found = np.isin(there, np.asarray(stored.column("row")))
        for old, new in zip(inputs, into.facts["inputs"], strict=True):
            if tuple(old) != tuple(new) and found.any():
                found[found] = equal(storage, tuple(old), there[found], new, here[found])
        if not found.any():
            return None
        table = storage.read_table(file, schema.names) if wide else stored
        rows = pa.array(there[found])
        table = table.take(pc.index_in(rows, value_set=table.column("row").combine_chunks()))
    except (FileNotFoundError, CorruptWorkspace, LookupError, TypeError, ValueError):
        return None  # not as pairmill writes it now, or removed meanwhile: it is computed
    return table.set_column(0, "row", pa.array(here[found])).cast(schema)


def equal(
    storage: Storage, old: Place, there: np.ndarray, new: Place, here: np.ndarray
) -> np.ndarray:
    """Which rows have the same value in both places."""
    before, now = values_at(storage, old, there), values_at(storage, new, here)
    same = before.there & now.there & same_values(before.values, now.values)
    both = before.forgotten & now.forgotten
    if both.any():  # the bytes are gone on purpose: what was stored with them stays
        for a, b in zip(before.beside, now.beside, strict=True):
            both &= same_values(a, b)
        same |= both if before.beside else False
    return same


@dataclass(frozen=True)
class Values:
    """Values of some rows at a place.  `there`: which have one; `forgotten`: whose bytes were
    forgotten, `beside`: what else the file has of them.
    """

    values: pa.Array
    there: np.ndarray
    forgotten: np.ndarray
    beside: tuple[pa.Array, ...] = ()


def values_at(storage: Storage, place: Place, rows: np.ndarray) -> Values:
    """A column's values at a place.  Raises FileNotFoundError and CorruptWorkspace."""
    file, column = place
    none = np.zeros(len(rows), bool)
    if file.startswith(f"{SHARDS}/"):
        part = remembered(storage, file, [column], partial(read_rows, storage, file, [column]))
        return Values(part.column(column).take(pa.array(rows)).combine_chunks(), ~none, none)
    if not file.startswith(f"{COLUMNS}/"):
        values = read_rows(storage, file, [column], rows).column(column).combine_chunks()
        return Values(values, ~none, none)
    schema = storage.schema_of(file)
    wide = is_payload(schema.field(column).type)
    beside = [f.name for f in schema if not is_payload(f.type) and f.name != "row"] if wide else []
    near = np.unique(rows)
    table = storage.read_table(file, ["row", column, *beside], lambda m: groups_near(m, near))
    at = pc.index_in(pa.array(rows), value_set=table.column("row").combine_chunks())
    part = table.take(at).combine_chunks()
    there = np.asarray(pc.is_valid(at))
    if not wide:
        return Values(whole(part.column(column)), there, none)
    gone = there & forgotten(part, column)
    facts = any(c != "error" and not is_companion(c) for c in beside)
    told = tuple(whole(part.column(c)) for c in beside) if facts else ()
    return Values(whole(part.column(column)), there & ~gone, gone, told)


def remembered(
    storage: Storage, file: str, columns: Sequence[str], read: Callable[[], pa.Table]
) -> pa.Table:
    """Narrow columns of a shard: each stage that reads them compares them anew."""
    return READ.read(storage.path(file), columns, read) if storage.local else read()


def same_values(one: pa.Array, other: pa.Array) -> np.ndarray:
    """Row by row; null equals null, NaN equals NaN."""
    kind = one.type
    if kind != other.type:
        return np.zeros(len(one), bool)
    if pa.types.is_nested(kind) or pa.types.is_dictionary(kind) or pa.types.is_null(kind):
        pairs = zip(one.to_pylist(), other.to_pylist(), strict=True)
        return np.array([a == b for a, b in pairs], bool)
    equals = pc.equal(one, other)
    if pa.types.is_floating(kind):
        equals = pc.or_kleene(equals, pc.and_(pc.is_nan(one), pc.is_nan(other)))
    nulls = pc.and_(pc.is_null(one), pc.is_null(other))
    return np.asarray(pc.or_(pc.fill_null(equals, False), nulls))
