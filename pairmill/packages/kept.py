"""The rows that an output takes, shard by shard: alive where its gates end, and chosen by
`where`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from pairmill.fates.decide import flags
from pairmill.fates.fate_memory import FOLLOWED, place_of, steps_of
from pairmill.fates.trace import trace
from pairmill.packages.mixture import SPREAD, Mixture, copies, mixture_columns, mixture_of
from pairmill.plan.chain import Chain
from pairmill.plan.selection import Key, Selection
from pairmill.redaction import redact
from pairmill.schemas.hash_columns import row_chances
from pairmill.workspace.shards import shard_file
from pairmill.workspace.storage import Storage


@dataclass(frozen=True)
class Kept:
    """The rows of a package in pool order, as arrays: 24 bytes a row, for hundreds of millions of
    them in one process, and what `order` sorts by.

    `shards`, `rows`: int32, one a row.  `starts`: int64, the first row of each sample.  `chance`:
    uint64, one a sample.  `keys`: one line a sample, its uid (or doc_id) last; no column where
    nothing is sorted.  `alive`: rows that came to `where`; `null`: those for which it is null.
    """

    shards: np.ndarray
    rows: np.ndarray
    starts: np.ndarray
    chance: np.ndarray
    keys: pl.DataFrame = field(default_factory=pl.DataFrame)
    alive: int = 0
    null: int = 0
    taken: int = 0
    """Rows that came through `where`, each once."""
    mixture: Mixture = field(default_factory=Mixture)

    @classmethod
    def joined(cls, parts: Iterable["Kept"]) -> "Kept":
        """The rows of parts that follow one another in the pool as one; `starts` count over all of
        them.
        """
        shards, rows, starts, chance, keys = [], [], [], [], []
        count = alive = null = taken = 0
        mixtures = []
        for part in parts:
            shards.append(part.shards)
            rows.append(part.rows)
            starts.append(part.starts + count)
            chance.append(part.chance)
            keys.append(part.keys)
            count += len(part.rows)
            alive, null, taken = alive + part.alive, null + part.null, taken + part.taken
            mixtures.append(part.mixture)
        arrays = [np.concatenate(a) for a in (shards, rows, starts, chance)]
        every = Mixture.joined(mixtures)
        return cls(
            arrays[0], arrays[1], arrays[2], arrays[3], pl.concat(keys), alive, null, taken, every
        )

    def repeated(self, repeats: pl.Series) -> "Kept":
        """Each sample as often as it is written; its copies have chances of their own."""
        sample, copy = copies(repeats)
        lengths = np.diff(np.append(self.starts, len(self.rows)))[sample]
        starts = np.cumsum(lengths) - lengths
        at = np.repeat(self.starts[sample] - starts, lengths) + np.arange(lengths.sum())
        chance = self.chance[sample] + copy.astype(np.uint64) * SPREAD
        keys = self.keys[sample] if self.keys.width else self.keys
        rows = {"shards": self.shards[at], "rows": self.rows[at], "starts": starts}
        return replace(self, **rows, chance=chance, keys=keys)

    def described(
        self, selection: Selection, after: str | None, schema: pa.Schema | None = None
    ) -> dict[str, Any]:
        """As the manifest holds it: what was asked for, and how many rows it left out; of a mixture
        what was requested and what was achieved.
        """
        where = selection.where
        mixed = {}
        if schema is not None and selection.repeats is not None:
            mixed = {"mixture": self.mixture.described(schema.field(selection.repeats))}
        return {
            **mixed,
            "after": after,
            "where": redact(where.text) if where else None,
            "order": [redact(str(key)) for key in selection.order],
            "rows": self.alive,
            "left_out": self.alive - self.taken,
            "left_out_null": self.null,
        }


def kept_rows(
    chain: Chain,
    selection: Selection,
    ledger: str,
    documents: bool,
    seed: int | None,
    shard: int,
) -> Kept:
    """The rows of one shard that an output takes.  A sample is a row, or with `documents` the rows
    of a document that are taken.  `chain`: ends with the stages that count.

    A sample's chance is a function of seed and uid (or doc_id) alone; 0 without a seed.
    """
    table = alive_in(chain, ledger, shard)
    rows, names = np.asarray(table.column("row")).astype(np.int32), table.column("uid")
    alive, null = len(rows), 0
    frame = pl.DataFrame()
    mixed = mixture_columns(chain.schema, selection.repeats) if selection.repeats else []
    if selection.columns() or selection.where or selection.order:
        wanted = dict.fromkeys(["uid", *selection.columns(), *mixed])
        frame = trace(chain, shard, want=list(wanted)).frame[rows]
    if selection.where:
        answers = flags(selection.where, frame)
        null = int((answers == -1).sum())
        chosen = np.flatnonzero(answers == 1)
        rows, frame, names = rows[chosen], frame[chosen], names.take(pa.array(chosen))
    taken, starts = len(rows), np.arange(len(rows))
    if documents:
        pool = chain.read_pool(shard, ["doc_id", "position"]).take(pa.array(rows))
        at, starts = documents_in(pool)
        rows, pool = rows[at], pool.take(pa.array(at))
        frame = frame[at] if frame.width else frame
        names = pool.column("doc_id").take(pa.array(starts))
    if seed is None:
        chance = np.zeros(len(starts), np.uint64)
    else:
        chance = row_chances(names, seed, "sample order")
    keys = pl.DataFrame()
    if selection.order:
        values = [
            key_values(key, frame[starts]).alias(f"{i}") for i, key in enumerate(selection.order)
        ]
        keys = pl.DataFrame([*values, pl.Series("uid", names.to_pylist(), pl.String)])
    shards = np.full(len(rows), shard, np.int32)
    found = Kept(shards, rows, starts.astype(np.int64), chance, keys, alive, null, taken)
    if selection.repeats is None:
        return found
    samples = frame[starts]
    mixture = mixture_of(samples, chain.schema.field(selection.repeats))
    return replace(found.repeated(samples[selection.repeats]), mixture=mixture)


def alive_in(chain: Chain, ledger: str, shard: int) -> pa.Table:
    """`row` and `uid` of the rows of a shard that the stages of `chain` let live: as this process
    knows their fates, or off the ledger of a run of these and maybe more stages.
    """
    known, found = FOLLOWED.known(place_of(chain, shard), steps_of(chain, shard, chain.stages, ()))
    if found is not None and known == len(chain.stages):
        rows = pa.array(np.flatnonzero(found.alive).astype(np.int32))
        uids = chain.read_pool(shard, ["uid"]).column("uid")
        whole = len(rows) == len(uids)
        return pa.table({"row": rows, "uid": uids if whole else uids.take(rows)})
    wanted = ["row", "uid", "fate", "stage"]
    table = Storage(chain.root).read_table(f"{ledger}/{shard_file(shard)}", wanted)
    stopped = pc.is_in(
        table.column("stage"), value_set=pa.array([s.name for s in chain.stages], pa.string())
    )
    kept = pc.equal(table.column("fate"), "kept")
    alive = table.filter(pc.or_(kept, pc.invert(stopped)))
    return alive.select(["row", "uid"]).combine_chunks()


def key_values(key: Key, frame: pl.DataFrame) -> pl.Series:
    """What a key sorts by: the expression's values, or the places of its groups."""
    values = key.value.evaluate(frame)
    if values.dtype.is_float():
        values = values.fill_nan(None)
    if key.groups is None:
        return values
    place = {group: i for i, group in enumerate(key.groups)}
    ranks = [None if v is None else place.get(v, len(place)) for v in values.to_list()]
    return pl.Series(ranks, dtype=pl.Int32)


def documents_in(pool: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    """(rows with each document in order of `position`, places at which documents begin).

    A document is neighbouring rows of one `doc_id`; where a position comes twice among them, they
    are several documents, one behind the other.
    """
    frame = pl.DataFrame({c: pl.Series(pool.column(c).combine_chunks()) for c in pool.schema.names})
    document, place = frame["doc_id"], frame["position"]
    run = (document != document.shift(1)).fill_null(True).cum_sum()
    twice = pl.struct("run", "position").is_duplicated().any().over("run")
    frame = frame.with_columns(run=run, row=pl.int_range(pl.len())).with_columns(twice=twice)
    again = (run == run.shift(1)) & (place <= place.shift(1)) & frame["twice"]
    frame = frame.with_columns(number=again.fill_null(False).cum_sum())
    frame = frame.sort("run", "number", "position", "row")
    first = (frame["run"] != frame["run"].shift(1)) | (frame["number"] != frame["number"].shift(1))
    starts = np.flatnonzero(first.fill_null(True).to_numpy())
    return frame["row"].to_numpy(), starts
