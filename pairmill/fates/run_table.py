"""The rows of a run as one table: fates, and whatever columns are wanted."""

import difflib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import polars as pl
import pyarrow as pa

from pairmill.errors import BadRequest
from pairmill.fates.decide import FATES
from pairmill.fates.trace import trace
from pairmill.plan.chain import Chain
from pairmill.schemas.arrow import is_payload
from pairmill.schemas.expressions import BadExpression, Expression, compile_gate
from pairmill.workspace.storage import Storage
from pairmill.workspace.tables import unreadable_rows

OWN = {
    "shard": pa.int32(), "row": pa.int32(), "uid": pa.string(), "fate": pa.string(),
    "stage": pa.string(), "reason": pa.string(), "message": pa.string(),
}  # fmt: skip
"""Columns that every table of a run has beside those of its rows."""
UNREADABLE = "unreadable"
"""What could not be read of a source: it is no row, and is asked for like a fate."""


@dataclass(frozen=True)
class Run:
    """The rows of a run as its workspace has them."""

    chain: Chain

    def columns(self) -> list[str]:
        """The narrow columns: all but payload."""
        return [f.name for f in self.chain.schema if not is_payload(f.type)]

    def table(self, columns: Sequence[str] | None = None) -> pl.DataFrame:
        """One line a row, in the input's order: `shard`, `row`, `uid`, `fate` (kept, dropped,
        missing, failed, pending), `stage` that decided it (null of kept rows), `reason`, `message`;
        and columns, all narrow ones if not named: null where this run has no value.  For a payload
        column `c` stand `c#size`, its bytes, and, where a stage wrote it, `c#forgotten`: whether
        they are stored no more.

        The table is in memory; `parts` gives it shard by shard.  `.to_arrow()` of it is a
        pyarrow.Table.
        """
        return pl.concat(self.parts(self.columns() if columns is None else columns))

    def rows(
        self,
        columns: Sequence[str] | None = None,
        where: str | None = None,
        fate: str | None = None,
        limit: int | None = None,
    ) -> pl.DataFrame:
        """The rows for which `where`, a SQL expression over the table's columns, is true, and whose
        fate is `fate`; the first `limit` of them.  Columns as in `table`.  The fate
        `unreadable` gives what could not be read of the source, with columns of its own
        (`Run.unreadable`).

        Raises BadRequest for an expression or a column that does not fit.
        """
        if fate == UNREADABLE:
            return self.unreadable(columns, where, limit)
        wanted = self.columns() if columns is None else list(columns)
        have = {name: self.chain.schema.field(name).type for name in self.columns()} | OWN
        for name in wanted:
            if name not in have and name not in self.chain.schema.names:
                near = difflib.get_close_matches(name, have, 1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                there = ", ".join(have)
                raise BadRequest(f"columns: there is no column {name!r}{hint} (there are: {there})")
        if fate is not None and fate not in FATES:
            fates = (*FATES, UNREADABLE)
            near = difflib.get_close_matches(fate, fates, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise BadRequest(f"fate: {fate!r} is none{hint} (rows are {', '.join(fates)})")
        gate = asked_gate(where, pa.schema(list(have.items())))
        names = list(dict.fromkeys([*OWN, *self.narrow(wanted)]))
        asked = [*wanted, *(gate.columns if gate else ())]
        read = dict.fromkeys(n for n in asked if n not in OWN)
        found: list[pl.DataFrame] = []
        count = 0
        for part in self.parts([*read]):
            if fate is not None:
                part = part.filter(pl.col("fate") == fate)
            if gate is not None:
                part = part.filter(gate.evaluate(part).fill_null(False))
            found.append(part.select(names))
            count += part.height
            if limit is not None and count >= limit:
                break
        rows = pl.concat(found)
        return rows if limit is None else rows.head(limit)

    def unreadable(
        self,
        columns: Sequence[str] | None = None,
        where: str | None = None,
        limit: int | None = None,
    ) -> pl.DataFrame:
        """What of the source could not be read: `location`, `column` (null: all of the row),
        `reason`, and `rows`, how many are lost there.  Raises BadRequest.
        """
        if self.chain.elements is not None:
            raise BadRequest(f"fate: elements of a block are never {UNREADABLE}")
        lost = unreadable_rows(Storage(self.chain.root), self.chain.table.id)
        wanted = list(columns or lost.schema.names)
        if strange := [c for c in wanted if c not in lost.schema.names]:
            raise BadRequest(
                f"columns: what is unreadable has no column {strange[0]!r} (it has: "
                f"{', '.join(lost.schema.names)})"
            )
        gate = asked_gate(where, lost.schema)
        rows = pl.DataFrame(lost)
        if gate is not None:
            rows = rows.filter(gate.evaluate(rows).fill_null(False))
        return rows.select(wanted).head(rows.height if limit is None else limit)

    def narrow(self, columns: Sequence[str]) -> list[str]:
        """What stands for columns, beside those of every row."""
        asked = (name for name in columns if name not in OWN)
        return [narrow for name in asked for narrow in self.chain.narrow_columns(name)]

    def parts(
        self, columns: Sequence[str], shards: Collection[int] | None = None
    ) -> Iterator[pl.DataFrame]:
        """The same of some shards, one after another; of a payload column what is known without
        its bytes.
        """
        wanted = self.narrow(columns)
        names = [stage.name for stage in self.chain.stages]
        for shard in self.chain.shards() if shards is None else shards:
            found = trace(self.chain, shard, want=["uid", *columns])
            why, count = found.why, len(found.fate)
            words = pl.DataFrame(
                found.words, {"reason": pl.String, "message": pl.String}, orient="row"
            )
            stages = pl.Series([*names, None], dtype=pl.String)  # at -1: no stage
            fates = pl.DataFrame(
                {
                    "shard": pl.Series([shard], dtype=pl.Int32).new_from_index(0, count),
                    "row": pl.int_range(count, dtype=pl.Int32, eager=True),
                    "uid": found.frame["uid"],
                    "fate": pl.Series(FATES).gather(found.fate),
                    "stage": stages.gather(found.at % len(stages)),
                    "reason": words["reason"].gather(why),
                    "message": words["message"].gather(why),
                }
            )
            yield fates.hstack([found.frame[name] for name in dict.fromkeys(wanted)])


def asked_gate(where: str | None, schema: pa.Schema) -> Expression | None:
    """The expression over these columns, if there is one; raises BadRequest."""
    try:
        return compile_gate(where, schema) if where else None
    except BadExpression as error:
        raise BadRequest(f"where: {error}") from None
