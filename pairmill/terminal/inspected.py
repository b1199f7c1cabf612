"""What `inspect` shows, as plain data for programs: packages, shards, runs, workspaces, rows."""

import json
import tarfile
from typing import Any

import polars as pl
import pyarrow.parquet as pq

from pairmill.errors import BadRequest, StrangeFile, first_line
from pairmill.packages.manifest import MANIFEST, read_manifest
from pairmill.packages.package import verify
from pairmill.pipeline.run_metrics import FILE as METRICS
from pairmill.pipeline.run_metrics import RunMetrics
from pairmill.workspace.contents import contents
from pairmill.workspace.storage import SIGN, Storage
from pairmill.workspace.verify import verify_workspace


def inspected(path: str, check: bool) -> dict[str, Any]:
    """`kind` of a place and its figures; with `check` its `faults`, an empty list where there are
    none.  Raises RunError where it is nothing of pairmill's, or not as pairmill writes it.
    """
    try:
        return figures(path, check)
    except (LookupError, TypeError, ValueError, AttributeError, tarfile.TarError) as error:
        raise StrangeFile(
            f"{path} cannot be read: a file in it is damaged, or not as pairmill writes it "
            f"({type(error).__name__}: {first_line(error)})"
        ) from None


def figures(path: str, check: bool) -> dict[str, Any]:
    """What `inspected` gives, but with the errors of a damaged file as they come."""
    folder, _, name = path.rstrip("/").rpartition("/")
    if path.endswith((".parquet", ".tar")):
        return file_figures(Storage(folder or "."), name)
    storage = Storage(path)
    if storage.exists(SIGN):
        faults = {"faults": verify_workspace(storage).faults} if check else {}
        return {"kind": "workspace", "stored": [vars(s) for s in contents(storage)], **faults}
    if storage.exists(METRICS) or storage.exists("plan.json"):
        finished = RunMetrics.read(storage) is not None
        metrics = storage.read_json(METRICS) if finished else {}
        return {"kind": "run", "finished": finished, **metrics}
    if storage.exists(MANIFEST):
        facts = read_manifest(storage, ("name", "format", "samples", "shards", "funnel", "files"))
        faults = {"faults": verify(storage.root)} if check else {}
        return {"kind": "package", **facts, **faults}
    if storage.exists("stage.json"):
        shards = [n for n, _ in storage.files() if n.startswith("shard") and n.endswith(".parquet")]
        rows = {n: storage.row_count(n) for n in shards}
        return {"kind": "columns", "shards": len(shards), "rows": sum(rows.values())}
    raise BadRequest(f"{path} is no package, shard, column set, run or workspace of pairmill")


def file_figures(storage: Storage, name: str) -> dict[str, Any]:
    """Members of a tar; rows and types of a Parquet file."""
    with storage.fs.open_input_file(storage.path(name)) as stream:
        if name.endswith(".tar"):
            with tarfile.open(fileobj=stream) as tar:
                members = [{"name": m.name, "bytes": m.size} for m in tar.getmembers()]
            return {"kind": "tar", "members": members}
        file = pq.ParquetFile(stream)
        types = {field.name: str(field.type) for field in file.schema_arrow}
        return {"kind": "parquet", "rows": file.metadata.num_rows, "columns": types}


def rows_as_data(rows: pl.DataFrame, count: int) -> dict[str, Any]:
    """How many rows there are, and the first `count` of them; bytes are told by their number."""
    binary = [name for name, kind in rows.schema.items() if kind == pl.Binary]
    head = rows.head(count).with_columns(pl.col(name).bin.size() for name in binary)
    first = [json.loads(line) for line in head.write_ndjson().splitlines()]
    return {"rows": rows.height, "first": first}
