"""The rows of a run as one table: fates, and whatever columns are wanted."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import polars as pl

from pairmill.fates.decide import FATES
from pairmill.fates.trace import trace
from pairmill.plan.chain import Chain
from pairmill.schemas.arrow import is_payload


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
        and columns, all narrow ones if not named: null where this run has no value.

        The table is in memory; `parts` gives it shard by shard.  `.to_arrow()` of it is a
        pyarrow.Table.
        """
        return pl.concat(self.parts(self.columns() if columns is None else columns))

    def parts(
        self, columns: Sequence[str], shards: Collection[int] | None = None
    ) -> Iterator[pl.DataFrame]:
        """The same of some shards, one after another; of a payload column its size."""
        own = ("shard", "row", "uid", "fate", "stage", "reason", "message")
        wanted = [self.chain.narrow(name) for name in columns if name not in own]
        names = [stage.name for stage in self.chain.stages]
        for shard in self.chain.shards() if shards is None else shards:
            found = trace(self.chain, shard, want=["uid", *columns])
            reasons = [found.reasons.get(row, (None, None)) for row in range(len(found.fate))]
            fates = pl.DataFrame(
                {
                    "shard": pl.Series([shard], dtype=pl.Int32).new_from_index(0, len(reasons)),
                    "row": pl.int_range(len(reasons), dtype=pl.Int32, eager=True),
                    "uid": found.frame["uid"],
                    "fate": pl.Series([FATES[fate] for fate in found.fate], dtype=pl.String),
                    "stage": pl.Series(
                        [names[at] if at >= 0 else None for at in found.at], dtype=pl.String
                    ),
                    "reason": pl.Series([reason for reason, _ in reasons], dtype=pl.String),
                    "message": pl.Series([text for _, text in reasons], dtype=pl.String),
                }
            )
            yield fates.with_columns(found.frame[name] for name in dict.fromkeys(wanted))
