"""A table: which shards it has, in the order of its source, and what a person must be told of it.

`tables/<id>.parquet` has a line for each shard, `tables/<id>.json`, written last, all else.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from pairmill.workspace.encoding import corrupt, sealed
from pairmill.workspace.shards import ShardFacts
from pairmill.workspace.storage import Storage
from pairmill.workspace.told import Told

FOLDER = "tables"
DIGEST = "digest of "
"""Before a source column's name, in a table's file."""


@dataclass(frozen=True)
class Table:
    """Rows in shards, wherever they came from.  Arrays, one value a shard, which the workers of a
    million shards share: `names` and `contents` (uint64) tell what is stored, `digests` (uint64, by
    source column) what the columns hold.
    """

    id: str
    names: np.ndarray = field(compare=False)
    contents: np.ndarray = field(compare=False)
    rows: np.ndarray = field(compare=False)
    """int32."""
    bytes: np.ndarray = field(compare=False)
    """int64: of payload."""
    digests: Mapping[str, np.ndarray] = field(compare=False)
    unreadable: int = 0
    """Input rows that could not be read."""
    told: tuple[Told, ...] = ()
    """What else a person must be told of the input."""

    @classmethod
    def of(
        cls, identity: str, shards: Iterable[ShardFacts], unreadable: int, told: tuple[Told, ...]
    ) -> "Table":
        """A table of these shards."""
        shards = list(shards)
        columns = shards[0].digests if shards else {}
        return cls(
            identity,
            np.array([s.name for s in shards], np.uint64),
            np.array([s.content for s in shards], np.uint64),
            np.array([s.rows for s in shards], np.int32),
            np.array([s.bytes for s in shards], np.int64),
            {c: np.array([s.digests[c] for s in shards], np.uint64) for c in columns},
            unreadable,
            told,
        )

    @classmethod
    def unread(cls, identity: str) -> "Table":
        """A table of which no row was read yet."""
        return cls.of(identity, (), 0, ())

    def narrowed(self, columns: Collection[str]) -> "Table":
        """The same with the digests of some columns alone: what workers are sent."""
        kept = {c: d for c, d in self.digests.items() if c in columns}
        return Table(
            self.id, self.names, self.contents, self.rows, self.bytes, kept, self.unreadable,
            self.told,
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def row_count(self) -> int:
        """Rows of all shards."""
        return int(self.rows.sum())


def open_table(storage: Storage, identity: str) -> Table | None:
    """A table that was written whole, or None."""
    name = f"{FOLDER}/{identity}.json"
    if not storage.exists(name):
        return None
    facts = storage.read_json(name)
    try:
        told = tuple(Told(t["kind"], t["count"], tuple(t["examples"])) for t in facts["told"])
        unreadable = int(facts["unreadable"])
        shards = storage.read_table(f"{FOLDER}/{identity}.parquet")
        table = table_of(identity, shards, unreadable, told)
        if table.row_count != facts["rows"]:
            raise ValueError(f"it says {facts['rows']} rows, its shards have {table.row_count}")
    except (LookupError, TypeError, ValueError) as error:
        raise corrupt(storage.path(name), error) from None
    except FileNotFoundError:
        return None
    return table


def table_of(identity: str, lines: pa.Table, unreadable: int, told: tuple[Told, ...]) -> Table:
    """A table from its lines, one a shard."""

    def values(column: str) -> np.ndarray:
        return np.asarray(lines.column(column).combine_chunks())

    digests = {
        c.removeprefix(DIGEST): values(c) for c in lines.schema.names if c.startswith(DIGEST)
    }
    names, contents, rows, sizes = (values(c) for c in ("name", "content", "rows", "bytes"))
    return Table(identity, names, contents, rows, sizes, digests, unreadable, told)


def lines_of(table: Table) -> pa.Table:
    """One line a shard."""
    own = {
        "name": pa.array(table.names),
        "content": pa.array(table.contents),
        "rows": pa.array(table.rows),
        "bytes": pa.array(table.bytes),
    }
    return pa.table(own | {DIGEST + c: pa.array(d) for c, d in table.digests.items()})


def facts_in(lines: pa.Table) -> list[ShardFacts]:
    """The shards of a table's lines."""
    table = table_of("", lines, 0, ())
    return [
        ShardFacts(
            int(table.names[i]),
            int(table.contents[i]),
            int(table.rows[i]),
            int(table.bytes[i]),
            {c: int(d[i]) for c, d in table.digests.items()},
        )
        for i in range(len(table))
    ]


def save_table(storage: Storage, table: Table, facts: dict[str, Any]) -> None:
    """Writes a table; its shards are stored already.  `facts`: what else a person wants to know."""
    storage.write_table(f"{FOLDER}/{table.id}.parquet", lines_of(table))
    own = {
        "rows": table.row_count,
        "shards": len(table),
        "unreadable": table.unreadable,
        "told": [asdict(t) for t in table.told],
    }
    storage.write_json(f"{FOLDER}/{table.id}.json", sealed({**own, **facts}))


def unreadable_file(identity: str) -> str:
    """The list of what could not be read of a table's source."""
    return f"{FOLDER}/{identity}-unreadable.parquet"


def unreadable_rows(storage: Storage, identity: str) -> pa.Table:
    """What could not be read of a table's source: location, column, reason, rows."""
    return storage.read_table(unreadable_file(identity))
