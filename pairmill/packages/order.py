"""The order of a package: its samples, over the kept rows, and what decides its bytes."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from pairmill.outputs.base import Writer
from pairmill.packages.kept import Kept
from pairmill.plan.chain import Chain
from pairmill.plan.planned import PlannedStage
from pairmill.plan.selection import Selection
from pairmill.schemas.hashing import digest, row_chance

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


def package_order(
    chain: Chain, writer: Writer, selection: Selection, kept: Kept, seed: int
) -> np.ndarray:
    """Numbers of the samples in the order of the package.

    Shuffling permutes the pool's shards, then samples within windows of neighbouring shards that
    hold about twice an output shard, so that writing a shard reads few pool shards.
    """
    if selection.order:
        return sorted_samples(kept.keys, [key.descending for key in selection.order])
    if not is_shuffled(chain, writer, selection):
        return np.arange(len(kept.starts))
    window = max(16, 2 * writer.config.samples_per_shard // max(1, int(chain.shard_rows.max())))
    place = np.zeros(len(chain.shard_rows), np.int32)
    place[sorted(chain.shards(), key=lambda s: row_chance(str(s), seed, "shard order"))] = (
        np.arange(len(chain.shards())) // window
    )
    return np.lexsort((kept.chance, place[kept.shards[kept.starts]]))


def is_shuffled(chain: Chain, writer: Writer, selection: Selection) -> bool:
    """Whether the order of the samples is one by chance, and that shows in the package."""
    if selection.order or not writer.config.shuffle:
        return False
    one_file = selection.repeats is None and chain.rows() <= writer.config.samples_per_shard
    return not (writer.sorts and one_file)


def sorted_samples(keys: pl.DataFrame, descending: list[bool]) -> np.ndarray:
    """Numbers of the samples by their keys, the last of which is the uid; null is last in every
    key.
    """
    numbered = keys.with_row_index("#number")
    ordered = numbered.sort(
        keys.columns, descending=[*descending, False], nulls_last=True, maintain_order=True
    )
    return ordered["#number"].to_numpy().astype(np.int64)


def shard_tasks(kept: Kept, order: np.ndarray, per_shard: int) -> Iterator[ShardTask]:
    """The output shards of `per_shard` samples each, the last with what is left; `order`: numbers
    of samples, in `kept`, as the package has them.
    """
    single = len(kept.starts) == len(kept.rows)  # each sample is a row
    ends = np.append(kept.starts[1:], len(kept.rows)) if not single else kept.starts
    for number, first in enumerate(range(0, len(order), per_shard)):
        samples = order[first : first + per_shard]
        if single:
            rows = kept.rows[samples]
            yield ShardTask(number, kept.shards[samples], rows, len(samples), first)
            continue
        lengths = ends[samples] - kept.starts[samples]
        within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        at = np.repeat(kept.starts[samples], lengths) + within
        yield ShardTask(number, kept.shards[at], kept.rows[at], len(samples), first)


def package_id(chain: Chain, writer: Writer, selection: Selection, kept: Kept, seed: int) -> str:
    """What decides a package's bytes: options, the table, columns' identities, kept rows, seed; and
    what its manifest tells of the stages.
    """
    schema = chain.schema
    writers = {c: chain.writer_of(c) for c in (*writer.columns(schema), *selection.columns())}
    rows = hashlib.sha256(kept.shards.tobytes())
    rows.update(kept.rows.tobytes())
    return digest(
        {
            "options": options_of(writer),
            "logic": logic_of(chain.lineage()),
            "table": chain.pool,  # identities do not say of which values
            "columns": {c: stage.identity for c, stage in writers.items() if stage},
            "identities": identities(chain),
            "left": [kept.alive, kept.null],
            "rows": rows.hexdigest(),
            "seed": seed,
            "format": FORMAT,
        }
    )


def identities(chain: Chain) -> dict[str, str | None]:
    """Those of all stages behind the rows, of the tables above them, too."""
    return {s.name: s.identity for s in chain.lineage() if s.computes}


def options_of(writer: Writer) -> dict[str, Any]:
    """The settings of an output that decide its bytes."""
    options: dict[str, Any] = writer.config.model_dump(mode="json", exclude={"path", "overwrite"})
    return options


def logic_of(stages: Sequence[PlannedStage]) -> list[list[str | None]]:
    """Gates, which stand in card and manifest, and `when`, which decides which kept rows have a
    value.
    """
    return [
        [s.gate.text if s.gate else None, s.when.text if s.when else None, s.config.on_missing]
        for s in stages
    ]
