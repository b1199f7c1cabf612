"""The order of a package: its samples, over the kept rows, and what decides its bytes."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from pairmill.outputs.base import Writer
from pairmill.plan.chain import Chain
from pairmill.schemas.hashing import digest, row_chance
from pairmill.workspace.shards import shard_file
from pairmill.workspace.storage import Storage

FORMAT = 2
"""Raised where the same rows and options give other bytes than before."""


@dataclass(frozen=True)
class ShardTask:
    """One output shard: number, its rows in order as places in the pool (`shards`, `rows`: int32),
    number of its first sample.
    """

    number: int
    shards: np.ndarray
    rows: np.ndarray
    samples: int
    first_key: int


@dataclass(frozen=True)
class Kept:
    """The kept rows in pool order, as arrays: 24 bytes a row, for hundreds of millions of them in
    one process.

    `shards`, `rows`: int32, one a row.  `starts`: int64, the first row of each sample.  `chance`:
    uint64, one a sample.
    """

    shards: np.ndarray
    rows: np.ndarray
    starts: np.ndarray
    chance: np.ndarray

    @classmethod
    def joined(cls, parts: Iterable["Kept"]) -> "Kept":
        shards, rows, starts, chance, count = [], [], [], [], 0
        for part in parts:
            shards.append(part.shards)
            rows.append(part.rows)
            starts.append(part.starts + count)
            chance.append(part.chance)
            count += len(part.rows)
        return cls(*(np.concatenate(a) for a in (shards, rows, starts, chance)))


def kept_rows(chain: Chain, ledger: str, documents: bool, seed: int, shard: int) -> Kept:
    """The kept rows of one shard.  A sample is a row, or with `documents` the rows of a document
    that are kept.

    A sample's chance is a function of seed and uid (or doc_id) alone.
    """
    table = Storage(chain.root).read_table(f"{ledger}/{shard_file(shard)}", ["row", "uid", "fate"])
    table = table.filter(pc.equal(table.column("fate"), "kept"))
    rows, names = (
        np.asarray(table.column("row").combine_chunks()).astype(np.int32),
        table.column("uid"),
    )
    starts = np.arange(len(rows))
    if documents:
        pool = chain.read_pool(shard, ["doc_id", "position"]).take(pa.array(rows))
        at, starts = documents_in(pool)
        rows, pool = rows[at], pool.take(pa.array(at))
        names = pool.column("doc_id").take(pa.array(starts))
    chance = np.array(
        [row_chance(name, seed, "sample order") for name in names.to_pylist()], np.uint64
    )
    return Kept(np.full(len(rows), shard, np.int32), rows, starts.astype(np.int64), chance)


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


def package_order(chain: Chain, writer: Writer, kept: Kept, seed: int) -> np.ndarray:
    """Numbers of the samples in the order of the package.

    Shuffling permutes the pool's shards, then samples within windows of neighbouring shards that
    hold about twice an output shard, so that writing a shard reads few pool shards.
    """
    if not writer.config.shuffle:
        return np.arange(len(kept.starts))
    window = max(16, 2 * writer.config.samples_per_shard // max(1, int(chain.shard_rows.max())))
    place = np.zeros(len(chain.shard_rows), np.int32)
    place[sorted(chain.shards(), key=lambda s: row_chance(str(s), seed, "shard order"))] = (
        np.arange(len(chain.shards())) // window
    )
    return np.lexsort((kept.chance, place[kept.shards[kept.starts]]))


def shard_tasks(kept: Kept, order: np.ndarray, per_shard: int) -> Iterator[ShardTask]:
    ends = np.append(kept.starts[1:], len(kept.rows))
    for number, first in enumerate(range(0, len(order), per_shard)):
        samples = order[first : first + per_shard]
        lengths = ends[samples] - kept.starts[samples]
        within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        at = np.repeat(kept.starts[samples], lengths) + within
        yield ShardTask(number, kept.shards[at], kept.rows[at], len(samples), first)


def package_id(chain: Chain, writer: Writer, kept: Kept, seed: int) -> str:
    """What decides a package's bytes: options, columns' identities, kept rows, seed."""
    schema = chain.schema
    sources = {
        c: (w.identity if (w := chain.writer_of(c)) else chain.pool) for c in writer.columns(schema)
    }
    rows = hashlib.sha256(kept.shards.tobytes())
    rows.update(kept.rows.tobytes())
    options = writer.config.model_dump(mode="json", exclude={"path", "overwrite"})
    # Gates stand in card and manifest, and `when` decides which kept rows have a value.
    logic = [
        [s.gate and s.gate.text, s.when and s.when.text, s.config.on_missing] for s in chain.stages
    ]
    return digest(
        {
            "options": options,
            "logic": logic,
            "columns": sources,
            "rows": rows.hexdigest(),
            "seed": seed,
            "format": FORMAT,
        }
    )
