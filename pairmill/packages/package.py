"""A package's folder: its shards, a record for each while it is made, then the manifest; and
whether the files are still what these say.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any

from pairmill.outputs.base import HashingStream, OutputFile, Writer
from pairmill.packages.gather import Place, TraceOf, gathered
from pairmill.packages.manifest import MANIFEST, checked_file, read_manifest, replaced
from pairmill.packages.order import ShardTask
from pairmill.packages.windows import Windows
from pairmill.plan.chain import Chain
from pairmill.schemas.hashing import digest
from pairmill.work.ahead import ahead, give_back
from pairmill.workspace.storage import Storage

RECORDS = ".pairmill"
HASHED_AT_ONCE = 4
"""Files that are read at the same time to compare them with their hash."""
FOREIGN = (".nv-meta/index.sqlite", ".nv-meta/index.uuid")
"""Files that Energon's own preparation adds to a package."""
Facts = dict[str, Any]
"""Of a file: name, bytes, sha256.  Of a shard: shard, made_of, samples, files, told, facts."""
Seen = dict[str, list[int]]
"""File → its state when its hash was last known to be right."""


def write_shard(
    chain: Chain,
    writer: Writer,
    task: ShardTask,
    package: str,
    trace_of: TraceOf,
    made_of: Mapping[int, str],
    windows: Windows,
) -> Facts:
    """Writes one output shard's files, unless a record says that this very package has them; gives
    name, bytes, SHA-256 of each.  `made_of`: by the shard's number, what decides its bytes.
    `windows`: what the process holds of the pool from one output shard to the next.
    """
    storage = Storage(writer.config.path)
    record = record_name(package, task.number)
    if storage.exists(record):
        facts = storage.read_json(record)
        files = [checked_file(storage, file, record) for file in facts["files"]]
        if not damaged(storage, files, facts.pop("seen", {})):
            return facts
    place = Place(chain, task.shards, task.rows, trace_of, windows)
    folder = storage.path("") if storage.local else None
    if folder:
        os.makedirs(folder, exist_ok=True)
    with ExitStack() as open_files:
        rows = gathered(place, writer.columns(chain.schema), folder, open_files)
        files = [write_file(storage, f) for f in writer.files(rows, task.number, task.first_key)]
    facts = {
        "shard": task.number,
        "made_of": made_of[task.number],
        "samples": task.samples,
        "files": files,
        "told": dict(sorted(rows.told.items())),
        "facts": rows.facts,
    }
    storage.write_json(record, {**facts, "seen": states_of(storage, files)})
    del rows
    give_back()
    return facts


def write_file(storage: Storage, file: OutputFile) -> Facts:
    """Writes a file into a package and gives its name, size in bytes and SHA-256."""
    with storage.writing(file.name) as stream:
        hashing = HashingStream(stream)
        file.write(hashing)  # type: ignore[arg-type]
    return {"name": file.name, "bytes": hashing.count, "sha256": hashing.hash.hexdigest()}


def state_of(storage: Storage, name: str) -> list[int] | None:
    """What the file system tells of a file without reading it; other bytes have another state: on
    a disk the kernel notes every change in `ctime`.  None where there is no file.
    """
    if storage.local:
        try:
            facts = os.stat(storage.path(name))
        except FileNotFoundError:
            return None
        return [facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ino]
    info = storage.fs.get_file_info(storage.path(name))
    return [info.size, info.mtime_ns or 0] if info.is_file else None


def states_of(storage: Storage, files: Iterable[Facts]) -> Seen:
    """The states of those files that are there, by name."""
    return {f["name"]: state for f in files if (state := state_of(storage, f["name"]))}


def damaged(storage: Storage, files: list[Facts], seen: Seen) -> set[str]:
    """Names of files that are not what their facts say.  Only those whose state is not the one seen
    are read.
    """
    wrong, unsure = set(), []
    for file in files:
        state = state_of(storage, file["name"])
        if state is None or state[0] != file["bytes"]:
            wrong.add(file["name"])
        elif state != seen.get(file["name"]):
            unsure.append(file)
    hashes = ahead(lambda f: hash_file(storage, f["name"]), unsure, HASHED_AT_ONCE)
    for file, found in zip(unsure, hashes, strict=True):
        if found != file["sha256"]:
            wrong.add(file["name"])
    return wrong


def hash_file(storage: Storage, name: str) -> str:
    """SHA-256 of a package's file, in hex, read one MiB at a time."""
    h = hashlib.sha256()
    with storage.fs.open_input_stream(storage.path(name)) as stream:
        while chunk := stream.read(2**20):
            h.update(chunk)
    return h.hexdigest()


def record_name(package: str, shard: int) -> str:
    """Where, below the package's folder, the record of a finished output shard lies."""
    return f"{RECORDS}/{package}/{shard:08d}.json"


def check_owner(writer: Writer, pipeline: str) -> str | None:
    """Why `path` may not be written to, or None: only an empty folder or this pipeline's own
    package may.
    """
    storage = Storage(writer.config.path)
    if writer.config.overwrite:
        return None
    if storage.exists(MANIFEST):
        owner = read_manifest(storage)["name"]
        if owner != pipeline:
            return (
                f"{storage.root} holds a package of the pipeline {owner!r}; choose another path, "
                "or set `overwrite: true`"
            )
        return None
    strangers = [name for name, _ in storage.files()]
    if strangers and not storage.exists(RECORDS):
        return (
            f"{storage.root} holds files that are no package ({strangers[0]}, …); choose another "
            "path, or set `overwrite: true`"
        )
    return None


def begin(storage: Storage, package: str, sound: Iterable[Facts]) -> None:
    """Marks the folder as a package in the making, remembers the old one's files, and takes its
    manifest away.

    A half-replaced package so never looks whole, and the same command may always go on.  `sound`:
    shards of this very package whose files stand there already, as they were before.
    """
    old = set()
    if storage.exists(MANIFEST):
        old = {f["name"] for f in read_manifest(storage)["files"]}
    for name in storage.folders(RECORDS):
        mark = f"{RECORDS}/{name}/begun.json"
        old |= replaced(storage, mark) if storage.exists(mark) else set()
    storage.write_json(f"{RECORDS}/{package}/begun.json", {"replaces": sorted(old)})
    for facts in sound:
        seen = states_of(storage, facts["files"])
        storage.write_json(record_name(package, facts["shard"]), {**facts, "seen": seen})
    storage.delete_file(MANIFEST)
    for name in storage.folders(RECORDS):
        if name != package:
            storage.delete_folder(f"{RECORDS}/{name}")


def finish(storage: Storage, package: str, manifest: dict[str, Any]) -> None:
    """Removes the files of an earlier version that this one does not have, writes the manifest,
    then drops the records.
    """
    keep = {f["name"] for f in manifest["files"]}
    for name in replaced(storage, f"{RECORDS}/{package}/begun.json"):
        if name not in keep:
            storage.delete_file(name)
    storage.clear_temporary()
    storage.write_json(MANIFEST, manifest)
    storage.delete_folder(RECORDS)


def parts_of(manifest: dict[str, Any]) -> list[Facts]:
    """The shards of a finished package, as their records told them; those that were altered since,
    or are of a version that did not seal them, are left out.
    """
    files = {f["name"]: f for f in manifest.get("files", [])}
    whole = [p for p in manifest.get("parts", []) if p == sealed(p)]
    return [{**p, "files": [files[n] for n in p["files"]]} for p in whole]


def parts_for(shards: list[Facts]) -> list[Facts]:
    """The shards as a manifest tells them: files by name alone, as the manifest has their facts."""
    return [sealed({**s, "files": [f["name"] for f in s["files"]]}) for s in shards]


def sealed(part: Facts) -> Facts:
    """A shard's facts with a digest of them all: what decides what is kept and written anew is
    believed only as it was written.
    """
    plain = {key: value for key, value in part.items() if key != "seal"}
    return {**plain, "seal": digest(plain)[:16]}


def verify(path: str) -> list[str]:
    """Every difference between a package's manifest and its files, in words; empty where all is
    well.
    """
    storage = Storage(path)
    if not storage.exists(MANIFEST):
        return [f"{MANIFEST} is missing: the package is incomplete, or none"]
    return list(faults(storage, read_manifest(storage)["files"]))


def faults(storage: Storage, files: list[Facts]) -> Iterator[str]:
    """What differs between a package's folder and its manifest, a sentence a file; reads and hashes
    every file whose size is right.
    """
    listed = {f["name"]: f for f in files}
    for name, facts in listed.items():
        size = storage.size(name)
        if size is None:
            yield f"{name} is missing"
        elif size != facts["bytes"]:
            yield f"{name} has {size} bytes, the manifest says {facts['bytes']}"
        elif hash_file(storage, name) != facts["sha256"]:
            yield f"{name} has changed: its SHA-256 is not the manifest's"
    for name, _ in storage.files(recursive=True):
        foreign = name in FOREIGN or name.removesuffix(".idx") in listed
        if name not in listed and name != MANIFEST and not foreign:
            yield f"{name} is not in the manifest"
