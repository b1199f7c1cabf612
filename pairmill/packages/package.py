"""Packages: exact output shards over the kept rows, the manifest last."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from pairmill.errors import RunError
from pairmill.fates.decide import Trace
from pairmill.fates.trace import RememberedFates
from pairmill.outputs.base import HashingStream, OutputFile, Writer
from pairmill.plan.chain import Chain
from pairmill.schemas.hashing import digest, row_chance
from pairmill.work.ahead import give_back
from pairmill.work.block import block_columns
from pairmill.workspace.columns import shard_file
from pairmill.workspace.storage import Storage

MANIFEST = "manifest.json"
RECORDS = ".pairmill"
FORMAT = 1


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
        document, place = (
            pl.Series(pool.column(c).combine_chunks()) for c in ("doc_id", "position")
        )
        same = ((document == document.shift(1)) & (place > place.shift(1))).fill_null(False)
        starts = np.flatnonzero(~same.to_numpy())
        names = pool.column("doc_id").take(pa.array(starts))
    chance = np.array(
        [row_chance(name, seed, "sample order") for name in names.to_pylist()], np.uint64
    )
    return Kept(np.full(len(rows), shard, np.int32), rows, starts.astype(np.int64), chance)


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


def read_rows(
    chain: Chain, shards: np.ndarray, rows: np.ndarray, columns: list[str], look: RememberedFates
) -> pa.Table:
    """The wanted columns of rows `rows` of pool shards `shards`, in the given order."""
    parts = [
        read_shard_rows(chain, int(s), rows[shards == s], columns, look(int(s)))
        for s in np.unique(shards)
    ]
    place = np.argsort(np.argsort(shards, kind="stable"))
    return pa.concat_tables(parts).take(pa.array(place)).combine_chunks()


def read_shard_rows(
    chain: Chain, shard: int, rows: np.ndarray, columns: list[str], found: Trace
) -> pa.Table:
    taken = block_columns(chain, shard, rows, columns, found, len(chain.stages))
    schema = chain.schema
    return pa.table(
        [taken.column(c) for c in columns], schema=pa.schema([schema.field(c) for c in columns])
    )


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


def write_shard(
    chain: Chain, writer: Writer, task: ShardTask, package: str, look: RememberedFates
) -> dict[str, Any]:
    """Writes one output shard's files, unless a record says that this very package has them; gives
    name, bytes, SHA-256 of each.
    """
    storage = Storage(writer.config.path)
    record = f"{RECORDS}/{package}/{task.number:08d}.json"
    if storage.exists(record):
        facts = storage.read_json(record)
        if all(storage.size(f["name"]) == f["bytes"] for f in facts["files"]):
            return facts
    rows = read_rows(chain, task.shards, task.rows, writer.columns(chain.schema), look)
    for name in writer.payload():
        if rows.column(name).null_count:
            raise RunError(
                f"output {writer.config.path}: {rows.column(name).null_count} kept rows have no {name!r}; add `keep: {name}_format IS NOT NULL` or the like before the output"
            )
    files = [write_file(storage, f) for f in writer.files(rows, task.number, task.first_key)]
    facts = {"shard": task.number, "samples": task.samples, "files": files}
    storage.write_json(record, facts)
    del rows
    give_back()
    return facts


def write_file(storage: Storage, file: OutputFile) -> dict[str, Any]:
    with storage.writing(file.name) as stream:
        hashing = HashingStream(stream)
        file.write(hashing)  # type: ignore[arg-type]
    return {"name": file.name, "bytes": hashing.count, "sha256": hashing.hash.hexdigest()}


def check_owner(writer: Writer, pipeline: str) -> str | None:
    """Why `path` may not be written to, or None: only an empty folder or this pipeline's own
    package may.
    """
    storage = Storage(writer.config.path)
    if writer.config.overwrite:
        return None
    if storage.exists(MANIFEST):
        owner = storage.read_json(MANIFEST).get("name")
        if owner != pipeline:
            return f"{storage.root} holds a package of the pipeline {owner!r}; choose another path, or set `overwrite: true`"
        return None
    strangers = [name for name, _ in storage.files()]
    if strangers and not storage.exists(RECORDS):
        return f"{storage.root} holds files that are no package ({strangers[0]}, …); choose another path, or set `overwrite: true`"
    return None


def begin(storage: Storage, package: str) -> None:
    """Marks the folder as a package in the making, remembers the old one's files, and takes its
    manifest away.

    A half-replaced package so never looks whole, and the same command may always go on.
    """
    old = (
        {f["name"] for f in storage.read_json(MANIFEST)["files"]}
        if storage.exists(MANIFEST)
        else set()
    )
    for name in storage.folders(RECORDS):
        mark = f"{RECORDS}/{name}/begun.json"
        old |= set(storage.read_json(mark)["replaces"]) if storage.exists(mark) else set()
    storage.write_json(f"{RECORDS}/{package}/begun.json", {"replaces": sorted(old)})
    storage.delete_file(MANIFEST)
    for name in storage.folders(RECORDS):
        if name != package:
            storage.delete_folder(f"{RECORDS}/{name}")


def finish(storage: Storage, package: str, manifest: dict[str, Any]) -> None:
    """Removes the files of an earlier version that this one does not have, writes the manifest,
    then drops the records.
    """
    keep = {f["name"] for f in manifest["files"]}
    for name in storage.read_json(f"{RECORDS}/{package}/begun.json")["replaces"]:
        if name not in keep:
            storage.delete_file(name)
    storage.write_json(MANIFEST, manifest)
    storage.delete_folder(RECORDS)


def is_current(storage: Storage, package: str) -> bool:
    """Whether the very same package stands there already, with all files in their sizes."""
    if not storage.exists(MANIFEST):
        return False
    manifest = storage.read_json(MANIFEST)
    return manifest.get("package") == package and all(
        storage.size(f["name"]) == f["bytes"] for f in manifest["files"]
    )


def verify(path: str) -> list[str]:
    """Every difference between a package's manifest and its files, in words; empty where all is
    well.
    """
    storage = Storage(path)
    if not storage.exists(MANIFEST):
        return [f"{MANIFEST} is missing: the package is incomplete, or none"]
    listed = {f["name"]: f for f in storage.read_json(MANIFEST)["files"]}
    faults = []
    for name, facts in listed.items():
        size = storage.size(name)
        if size is None:
            faults.append(f"{name} is missing")
        elif size != facts["bytes"]:
            faults.append(f"{name} has {size} bytes, the manifest says {facts['bytes']}")
        elif hash_file(storage, name) != facts["sha256"]:
            faults.append(f"{name} has changed: its SHA-256 is not the manifest's")
    extra = [name for name, _ in storage.files() if name not in listed and name != MANIFEST]
    return faults + [f"{name} is not in the manifest" for name in extra]


def hash_file(storage: Storage, name: str) -> str:
    h = hashlib.sha256()
    with storage.fs.open_input_stream(storage.path(name)) as stream:
        while chunk := stream.read(2**20):
            h.update(chunk)
    return h.hexdigest()
