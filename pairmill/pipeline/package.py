"""Packages: exact output shards over the kept rows, the manifest last."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from pairmill.errors import RunError
from pairmill.outputs.base import HashingStream, OutputFile, Writer
from pairmill.pipeline.chain import Chain
from pairmill.pipeline.job import block_columns
from pairmill.pipeline.memory import give_back
from pairmill.pipeline.storage import Storage
from pairmill.pipeline.store import shard_file
from pairmill.pipeline.trace import Trace, trace
from pairmill.schemas.expressions import frame_of
from pairmill.schemas.hashing import digest, row_chance

MANIFEST = "manifest.json"
RECORDS = ".pairmill"
FORMAT = 1


@dataclass(frozen=True)
class ShardTask:
    """One output shard: number, the rows (pool shard, row) in order, number of its first sample."""

    number: int
    rows: tuple[tuple[int, int], ...]
    samples: int
    first_key: int


def kept_rows(chain: Chain, ledger: str) -> pl.DataFrame:
    """shard, row, uid of the kept rows, in pool order."""
    storage = Storage(chain.root)
    parts = [storage.read_table(f"{ledger}/{shard_file(s)}", ["shard", "row", "uid", "fate"]) for s in chain.shards()]
    return frame_of(pa.concat_tables(parts)).filter(pl.col("fate") == "kept").drop("fate")


def package_order(chain: Chain, writer: Writer, kept: pl.DataFrame, seed: int) -> list[list[tuple[int, int]]]:
    """The samples in the order of the package; each is a list of (shard, row).

    Shuffling is a function of seed and uid alone.  It permutes the pool's shards, then samples within windows of
    neighbouring shards that hold about twice an output shard, so that writing a shard reads few pool shards.
    """
    key = kept["uid"].to_list()
    group = key
    places = [0] * len(key)
    if writer.documents():
        docs = pa.concat_tables([numbered(chain, s) for s in chain.shards()])
        told = kept.join(frame_of(docs), on=["shard", "row"], how="left", maintain_order="left")
        group, places = told["doc_id"].to_list(), told["position"].to_list()
    samples: list[list[tuple[int, int]]] = []
    names: list[str] = []
    for i, (shard, row, name) in enumerate(zip(kept["shard"].to_list(), kept["row"].to_list(), group, strict=True)):
        if samples and writer.documents() and names[-1] == name and places[i] > places[i - 1]:
            samples[-1].append((shard, row))
        else:
            samples.append([(shard, row)])
            names.append(name)
    if not writer.config.shuffle:
        return samples
    window = max(16, 2 * writer.config.samples_per_shard // max(1, int(chain.shard_rows.max())))
    shards = sorted(chain.shards(), key=lambda s: row_chance(str(s), seed, "shard order"))
    place = {shard: i // window for i, shard in enumerate(shards)}
    order = sorted(range(len(samples)), key=lambda i: (place[samples[i][0][0]], row_chance(names[i], seed, "sample order"), i))
    return [samples[i] for i in order]


def numbered(chain: Chain, shard: int) -> pa.Table:
    """doc_id, position, shard and row of a shard's rows."""
    n = chain.rows_of(shard)
    where = {"shard": pa.array([shard] * n, pa.int32()), "row": pa.array(range(n), pa.int32())}
    table = chain.read_pool(shard, ["doc_id", "position"])
    return pa.table({"doc_id": table.column("doc_id"), "position": table.column("position"), **where})


def shard_tasks(samples: list[list[tuple[int, int]]], per_shard: int) -> list[ShardTask]:
    tasks = []
    for number, first in enumerate(range(0, len(samples), per_shard)):
        part = samples[first : first + per_shard]
        tasks.append(ShardTask(number, tuple(row for sample in part for row in sample), len(part), first))
    return tasks


Look = Callable[[int], Trace]
"""Shard → its fates."""


def read_rows(chain: Chain, rows: tuple[tuple[int, int], ...], columns: list[str], look: Look) -> pa.Table:
    """The wanted columns of some rows, in the given order."""
    by_shard: dict[int, list[int]] = {}
    for shard, row in rows:
        by_shard.setdefault(shard, []).append(row)
    parts: list[pa.Table] = []
    place: dict[tuple[int, int], int] = {}
    for shard, numbers in by_shard.items():
        parts.append(read_shard_rows(chain, shard, np.array(numbers), columns, look(shard)))
        for row in numbers:
            place[(shard, row)] = len(place)
    table = pa.concat_tables(parts)
    return table.take(pa.array([place[r] for r in rows])).combine_chunks()


def read_shard_rows(chain: Chain, shard: int, rows: np.ndarray, columns: list[str], found: Trace) -> pa.Table:
    taken = block_columns(chain, shard, rows, columns, found, len(chain.stages))
    schema = chain.schema
    return pa.table([taken.column(c) for c in columns], schema=pa.schema([schema.field(c) for c in columns]))


def package_id(chain: Chain, writer: Writer, kept: pl.DataFrame, seed: int) -> str:
    """What decides a package's bytes: options, columns' identities, kept rows, seed."""
    schema = chain.schema
    sources = {c: (w.identity if (w := chain.writer_of(c)) else chain.pool) for c in writer.columns(schema)}
    rows = hashlib.sha256(kept["shard"].to_numpy().tobytes() + kept["row"].to_numpy().tobytes()).hexdigest()
    options = writer.config.model_dump(mode="json", exclude={"path", "overwrite"})
    # Gates stand in card and manifest, and `when` decides which kept rows have a value.
    logic = [[s.gate and s.gate.text, s.when and s.when.text, s.config.on_missing] for s in chain.stages]
    return digest({"options": options, "logic": logic, "columns": sources, "rows": rows, "seed": seed, "format": FORMAT})


def write_shard(chain: Chain, writer: Writer, task: ShardTask, package: str, look: Look | None = None) -> dict[str, Any]:
    """Writes one output shard's files, unless a record says that this very package has them; gives name, bytes, SHA-256 of each.

    `look` remembers fates between output shards: each takes rows of several shards of the pool.
    """
    storage = Storage(writer.config.path)
    record = f"{RECORDS}/{package}/{task.number:08d}.json"
    if storage.exists(record):
        facts = storage.read_json(record)
        if all(storage.size(f["name"]) == f["bytes"] for f in facts["files"]):
            return facts
    rows = read_rows(chain, task.rows, writer.columns(chain.schema), look or partial(trace, chain))
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
    """Why `path` may not be written to, or None: only an empty folder or this pipeline's own package may."""
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
    """Marks the folder as a package in the making, remembers the old one's files, and takes its manifest away.

    A half-replaced package so never looks whole, and the same command may always go on.
    """
    old = {f["name"] for f in storage.read_json(MANIFEST)["files"]} if storage.exists(MANIFEST) else set()
    for name in storage.folders(RECORDS):
        mark = f"{RECORDS}/{name}/begun.json"
        old |= set(storage.read_json(mark)["replaces"]) if storage.exists(mark) else set()
    storage.write_json(f"{RECORDS}/{package}/begun.json", {"replaces": sorted(old)})
    storage.delete_file(MANIFEST)
    for name in storage.folders(RECORDS):
        if name != package:
            storage.delete_folder(f"{RECORDS}/{name}")


def finish(storage: Storage, package: str, manifest: dict[str, Any]) -> None:
    """Removes the files of an earlier version that this one does not have, writes the manifest, then drops the records."""
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
    return manifest.get("package") == package and all(storage.size(f["name"]) == f["bytes"] for f in manifest["files"])


def verify(path: str) -> list[str]:
    """Every difference between a package's manifest and its files, in words; empty where all is well."""
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
