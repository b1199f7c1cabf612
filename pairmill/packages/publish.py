"""Writes a package: shards in parallel, then card and closing files, the manifest last."""

import platform
from collections import Counter
from functools import cache, partial
from importlib.metadata import version
from typing import Any

from pyarrow.types import is_fixed_size_list

from pairmill.fates.ledger import Funnel
from pairmill.fates.trace import RememberedFates
from pairmill.outputs.base import Writer, bytes_file
from pairmill.outputs.card import dataset_card
from pairmill.outputs.croissant import croissant
from pairmill.packages.gather import Place, embedding_length, first_bytes
from pairmill.packages.kept import Kept, kept_rows
from pairmill.packages.made_of import Ingredients
from pairmill.packages.manifest import MANIFEST, read_manifest
from pairmill.packages.order import (
    FORMAT,
    identities,
    is_shuffled,
    package_id,
    package_order,
    shard_tasks,
)
from pairmill.packages.package import (
    Facts,
    Seen,
    begin,
    damaged,
    finish,
    parts_for,
    parts_of,
    states_of,
    write_file,
    write_shard,
)
from pairmill.packages.windows import Windows
from pairmill.plan.chain import Chain
from pairmill.plan.references import NO_FILES
from pairmill.plan.selection import Selection
from pairmill.version import __version__
from pairmill.work.ahead import give_back
from pairmill.work.engine import WorkEngine
from pairmill.workspace.storage import Storage
from pairmill.workspace.written_before import remembered_as

DESCRIBED = ("license", "citation")
"""Keys of the pipeline file that stand in manifest, card and Croissant, and change no shard."""


def publish(
    engine: WorkEngine,
    chain: Chain,
    writer: Writer,
    selection: Selection,
    ledger: str,
    facts: dict[str, Any],
    seed: int,
    funnel: Funnel,
) -> dict[str, Any]:
    """Writes the package unless it stands there already; gives its manifest.

    Where the output ends before the last stage (`after:`), it is the package of a pipeline that
    ends there.  `ledger`, `funnel`: of the whole run.
    """
    storage = Storage(writer.config.path)
    chain, funnel = chain.until(selection.upto), funnel.until(selection.upto)
    chances = seed if is_shuffled(chain, writer, selection) else None
    read = partial(kept_rows, chain, selection, ledger, writer.documents(), chances)
    kept = Kept.joined(engine.over(read, chain.shards()))
    give_back()
    package = package_id(chain, writer, selection, kept, seed)
    memory = PackageMemory(Storage(chain.root), f"{run_folder(ledger)}/packages", storage.root)
    shown_facts = {key: facts.get(key) for key in DESCRIBED}
    before = read_manifest(storage) if storage.exists(MANIFEST) else {}
    seen = memory.recalled()
    alike = before.get("package") == package
    alike &= all(before.get(key) == shown_facts[key] for key in DESCRIBED)
    alike &= before.get("pipeline") == facts["pipeline"]
    if alike and not damaged(storage, before["files"], seen):
        storage.clear_temporary()
        memory.keep(storage, before)
        return before
    payload = writer.stored_payload(chain.schema)
    fates = RememberedFates(chain, payload)
    first: list[bytes] = []
    every = Place(chain, kept.shards, kept.rows, fates)
    if column := writer.looked_at():
        first = first_bytes(every, column)
        writer.settle(first)
    writer.lengths = {name: embedding_length(every, name) for name in writer.measured(chain.schema)}
    found = [
        name for name in writer.lengths if not is_fixed_size_list(chain.schema.field(name).type)
    ]
    order = package_order(chain, writer, selection, kept, seed)
    tasks = list(shard_tasks(kept, order, writer.config.samples_per_shard))
    settled = [
        *(data.hex() for data in first),
        *(f"{k} {v}" for k, v in versions().items()),
        *(f"{name} {writer.lengths[name]}" for name in found),
    ]
    made_of = Ingredients(chain, writer, settled).of(tasks)
    same = [p for p in parts_of(before) if made_of.get(p.get("shard", -1)) == p.get("made_of", "")]
    wrong = damaged(storage, [f for part in same for f in part["files"]], seen)
    begin(storage, package, [p for p in same if not wrong & {f["name"] for f in p["files"]}])
    write = partial(
        write_shard,
        chain,
        writer,
        package=package,
        trace_of=fates,
        made_of=made_of,
        windows=Windows(),
    )
    facts = {
        **facts,
        **shown_facts,
        "selection": kept.described(selection, writer.config.after, chain.schema),
    }
    count = len(kept.rows)
    del kept, order, every  # the tasks have what they need, and there may be a hundred million rows
    give_back()
    shards = list(engine.each(write, tasks, count))
    manifest = make_manifest(chain, writer, package, shards, facts, funnel)
    closing = close(storage, chain, writer, shards, manifest)
    files = [*(f for s in shards for f in s["files"]), *closing]
    manifest["files"] = sorted(files, key=lambda f: f["name"])
    finish(storage, package, manifest)
    memory.keep(storage, manifest)
    return manifest


def run_folder(ledger: str) -> str:
    """The folder of the run that a ledger is of: `runs/<run id>`."""
    return "/".join(ledger.split("/")[:2])


def close(
    storage: Storage, chain: Chain, writer: Writer, shards: list[Facts], manifest: dict[str, Any]
) -> list[Facts]:
    """Writes the files that need to know all shards, then card and Croissant."""
    schema, loading = chain.schema, writer.loading(shards, chain.schema)
    writer.written = storage.read_bytes  # type: ignore[method-assign]
    made = writer.closing_files(shards)
    manifest.update(writer.described())
    card = dataset_card(manifest, writer.leaving(schema), loading)
    last = [*made, bytes_file("README.md", card.encode("utf-8", "replace"))]
    written = [write_file(storage, f) for f in last]
    every = [*(f for s in shards for f in s["files"]), *written]
    described = bytes_file("croissant.json", croissant(manifest, every, loading, schema))
    return [*written, write_file(storage, described)]


class PackageMemory:
    """What the workspace remembers of a package's files: their state when they were written or
    last compared with their hashes, so that a rerun reads none that is untouched.
    """

    def __init__(self, workspace: Storage, folder: str, package: str) -> None:
        self.workspace, self.name = workspace, f"{folder}/{remembered_as(package)}"

    def recalled(self) -> Seen:
        """The states of files as this run remembered them, or the one before that wrote to the same
        place; empty where nothing is remembered.
        """
        if self.workspace.exists(self.name):
            return self.workspace.read_json(self.name)
        return self.last() or {}

    def last(self) -> Seen | None:
        """What the run remembered that was the last to remember anything of the place."""
        file = self.name.rpartition("/packages/")[2]
        written: list[tuple[int, str]] = []
        for run in self.workspace.folders("runs"):
            name = f"runs/{run}/packages/{file}"
            if self.workspace.exists(name):
                info = self.workspace.fs.get_file_info(self.workspace.path(name))
                written.append((info.mtime_ns or 0, name))
        return self.workspace.read_json(max(written)[1]) if written else None

    def keep(self, storage: Storage, manifest: dict[str, Any]) -> None:
        """Remembers the present states of the manifest's files."""
        states = states_of(storage, manifest["files"])
        if not self.workspace.exists(self.name) or states != self.recalled():
            self.workspace.write_json(self.name, states)


def make_manifest(
    chain: Chain,
    writer: Writer,
    package: str,
    shards: list[Facts],
    facts: dict[str, Any],
    funnel: Funnel,
) -> dict[str, Any]:
    """Everything but the files: the same for the same package on any day and machine of one
    software stack.
    """
    models = {
        f"{stage.name}.{key}": name
        for stage in chain.lineage()
        for key, value in stage.definition["params"].items()
        if (name := stands_for(value))
    }
    return {
        "format_version": FORMAT,
        "pairmill": __version__,
        "name": facts["name"],
        "package": package,
        "format": writer.config.type,
        "samples": sum(s["samples"] for s in shards),
        "shards": len(shards),
        "funnel": funnel.to_json(),
        "selection": facts["selection"],
        "pool": chain.pool,
        "identities": identities(chain),
        "models": models,
        "made_by": made_by(chain),
        "pipeline": facts["pipeline"],
        "versions": versions(),
        **{key: facts[key] for key in DESCRIBED},
        "told": dict(sum((Counter(s["told"]) for s in shards), Counter())),
        "left_out": writer.left_out(chain.schema),
        "parts": parts_for(shards),
        "files": [],
    }


def stands_for(value: Any) -> str:
    """What stands for a model or files in a stage's definition, in a line; nothing where they are
    none.
    """
    if not (isinstance(value, dict) and {"revision", "content"} & set(value)):
        return ""
    if value.get("content") == NO_FILES:
        return ""
    parts: list[str] = []
    for part in value.values():
        parts += part.values() if isinstance(part, dict) else [str(part)]
    return " ".join(map(str, parts))


def made_by(chain: Chain) -> dict[str, Any]:
    """How the stages that say so made their values: model, prompt, decoding, engine."""
    recipes = {s.name: s.stage.made_by(s.definition["params"]) for s in chain.lineage()}
    return {name: facts for name, facts in recipes.items() if facts}


@cache
def versions() -> dict[str, str]:
    """Of what the values depend on."""
    packages = ("pyarrow", "polars", "torch", "transformers", "ray", "pillow")
    return {"python": platform.python_version(), **{p: version(p) for p in packages}}
