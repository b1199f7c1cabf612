"""Writes a package: shards in parallel, then card and closing files, the manifest last."""

import platform
from functools import partial
from importlib.metadata import version
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pairmill.fates.ledger import Funnel
from pairmill.fates.trace import RememberedFates
from pairmill.outputs.base import Writer, bytes_file
from pairmill.outputs.card import dataset_card
from pairmill.outputs.croissant import croissant
from pairmill.packages.package import (
    FORMAT,
    MANIFEST,
    Kept,
    begin,
    finish,
    is_current,
    kept_rows,
    package_id,
    package_order,
    shard_tasks,
    write_file,
    write_shard,
)
from pairmill.plan.chain import Chain
from pairmill.version import __version__
from pairmill.work.engine import Engine
from pairmill.workspace.storage import Storage


def publish(
    engine: Engine,
    chain: Chain,
    writer: Writer,
    ledger: str,
    facts: dict[str, Any],
    seed: int,
    funnel: Funnel,
) -> dict[str, Any]:
    """Writes the package unless it stands there already; gives its manifest."""
    storage = Storage(writer.config.path)
    read = partial(kept_rows, chain, ledger, writer.documents(), seed)
    kept = Kept.joined(engine.over(read, chain.shards()))
    package = package_id(chain, writer, kept, seed)
    if is_current(storage, package):
        return storage.read_json(MANIFEST)
    begin(storage, package)
    tasks = list(
        shard_tasks(kept, package_order(chain, writer, kept, seed), writer.config.samples_per_shard)
    )
    write = partial(write_shard, chain, writer, package=package, look=RememberedFates(chain))
    shards = list(engine.each(write, tasks, len(kept.rows)))
    schema = chain.schema
    manifest = make_manifest(chain, writer, package, shards, facts, funnel)
    card = dataset_card(manifest, schema, writer.quality_columns(schema))
    closing = [
        write_file(storage, f)
        for f in [*writer.closing_files(shards), bytes_file("README.md", card.encode())]
    ]
    written = [f for s in shards for f in s["files"]] + closing
    closing.append(
        write_file(
            storage,
            bytes_file(
                "croissant.json",
                croissant(manifest, written, written_schema(storage, written, schema)),
            ),
        )
    )
    manifest["files"] = sorted(
        [f for s in shards for f in s["files"]] + closing, key=lambda f: f["name"]
    )
    finish(storage, package, manifest)
    return manifest


def written_schema(storage: Storage, files: list[dict[str, Any]], columns: pa.Schema) -> pa.Schema:
    """Columns of the package's Parquet files, with the meaning that the pipeline's columns of the
    same name have.
    """
    first = next((f["name"] for f in files if f["name"].endswith(".parquet")), None)
    found = pq.read_schema(storage.path(first), filesystem=storage.fs) if first else pa.schema([])
    return pa.schema(
        [
            f.with_metadata(columns.field(f.name).metadata) if f.name in columns.names else f
            for f in found
        ]
    )


def make_manifest(
    chain: Chain,
    writer: Writer,
    package: str,
    shards: list[dict[str, Any]],
    facts: dict[str, Any],
    funnel: Funnel,
) -> dict[str, Any]:
    """Everything but the files: the same for the same package on any day and machine of one
    software stack.
    """
    models = {
        f"{s.name}.{k}": v
        for s in chain.stages
        for k, v in s.definition["params"].items()
        if isinstance(v, dict) and {"revision", "content"} & set(v)
    }
    return {
        "format_version": FORMAT, "pairmill": __version__, "name": facts["name"], "package": package,
        "format": writer.config.type, "samples": sum(s["samples"] for s in shards), "shards": len(shards),
        "funnel": funnel.to_json(), "pool": chain.pool, "identities": {s.name: s.identity for s in chain.stages if s.computes},
        "models": {k: " ".join(v.values()) for k, v in models.items()}, "pipeline": facts["pipeline"],
        "versions": versions(), "files": [],
    }  # fmt: skip


def versions() -> dict[str, str]:
    """Of what the values depend on."""
    packages = ("pyarrow", "polars", "torch", "transformers", "ray", "pillow")
    return {"python": platform.python_version(), **{p: version(p) for p in packages}}
