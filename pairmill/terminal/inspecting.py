"""Looking at what pairmill wrote: packages, shards, column sets, runs, workspaces."""

import tarfile
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pairmill.errors import BadRequest, StrangeFile, first_line
from pairmill.fates.ledger import read_funnel
from pairmill.packages.manifest import MANIFEST, chosen, read_manifest
from pairmill.packages.package import verify
from pairmill.pipeline.run_metrics import FILE as METRICS
from pairmill.pipeline.run_metrics import RunMetrics
from pairmill.safe_output import printable
from pairmill.terminal.display import funnel_table
from pairmill.terminal.thumbnails import can_show, show_pictures
from pairmill.texts.amounts import amount
from pairmill.workspace.contents import contents
from pairmill.workspace.storage import SIGN, Storage
from pairmill.workspace.verify import verify_workspace


def inspect_path(
    path: str, rows: int, check: bool, out: Console, pictures: bool = False
) -> list[str]:
    """Prints what is there; gives the faults that `check` finds.  `pictures`: small ones, where the
    terminal can.

    Files may come from strangers: raises RunError where one is not as pairmill writes it.
    """
    try:
        return inspect_place(path, rows, check, out, pictures)
    except (LookupError, TypeError, ValueError, AttributeError, tarfile.TarError) as error:
        raise StrangeFile(
            f"{path} cannot be shown: a file in it is damaged, or not as pairmill writes it "
            f"({type(error).__name__}: {first_line(error)})"
        ) from None


def inspect_place(path: str, rows: int, check: bool, out: Console, pictures: bool) -> list[str]:
    """What `inspect_path` does, but with the errors of a damaged file as they come."""
    folder, _, name = path.rstrip("/").rpartition("/")
    pictures = pictures and can_show(out)
    if path.endswith((".parquet", ".tar")):
        show_file(Storage(folder or "."), name, rows, out)
        if pictures:
            show_pictures(Storage(folder or "."), name, rows, out)
        return []
    storage = Storage(path)
    if storage.exists(SIGN):
        if check and (faults := verified(storage, out)):
            return faults
        out.print(workspace_table(storage))
    elif storage.exists(METRICS) or storage.exists("plan.json"):
        show_run(storage, out)
    elif storage.exists(MANIFEST) or check:
        return show_package(storage, rows, check, out, pictures)
    elif storage.exists("stage.json"):
        show_columns(storage, rows, out, pictures)
    else:
        raise BadRequest(f"{path} is no package, shard, column set, run or workspace of pairmill")
    return []


def verified(storage: Storage, out: Console) -> list[str]:
    """Checks a workspace whole; gives the faults."""
    checked = verify_workspace(storage)
    if not checked.faults:
        out.print(
            Text(
                f"{checked.files:,} files, {checked.bytes / 1e6:,.1f} MB: every byte is as written"
            )
        )
    return checked.faults


def show_package(
    storage: Storage, rows: int, check: bool, out: Console, pictures: bool
) -> list[str]:
    """A package's manifest and some samples."""
    if storage.exists(MANIFEST):
        manifest = read_manifest(
            storage, ("name", "format", "samples", "shards", "funnel", "files")
        )
        total = sum(f["bytes"] for f in manifest["files"])
        out.print(
            Text(
                f"{manifest['format']} package of {manifest['name']}: "
                f"{amount(manifest['samples'], 'sample')}, {amount(manifest['shards'], 'shard')}, "
                f"{total / 1e6:,.1f} MB"
            )
        )
        out.print(funnel_table(read_funnel(manifest["funnel"], storage.path(MANIFEST))))
        for line in chosen(manifest):
            out.print(Text(printable(line)), soft_wrap=True)
        first = first_file(manifest, storage, ".parquet")
        if first and rows:
            show_file(storage, first, rows, out)
        shard = first_file(manifest, storage, ".tar") or first
        if shard and pictures:
            show_pictures(storage, shard, rows, out)
    if not check:
        return []
    faults = verify(storage.root)
    if not faults:
        out.print("every file is as the manifest says", highlight=False)
    return faults


def first_file(manifest: dict[str, Any], storage: Storage, ending: str) -> str | None:
    """The first file of a package with such an ending that is there."""
    names = (f["name"] for f in manifest["files"])
    return next((n for n in names if n.endswith(ending) and storage.exists(n)), None)


def show_run(storage: Storage, out: Console) -> None:
    """Funnel, seconds, and the essentials of its report."""
    metrics = RunMetrics.read(storage)
    if metrics is None:
        out.print("the run has not finished", highlight=False)
        return
    out.print(funnel_table(metrics.funnel))
    out.print(Text("seconds: " + ", ".join(f"{k} {v:.1f}" for k, v in metrics.seconds.items())))
    if not storage.exists("report/data.json"):
        return
    report = storage.read_json("report/data.json")
    for warning in report["warnings"]:
        out.print(Text(warning, style="yellow"))
    if report["scores"]:
        out.print(score_table(report["scores"]))
    if report["captions"]:
        out.print(caption_table(report["captions"]))
    out.print(Text(f"report: {storage.path('report/index.html')}"), soft_wrap=True)


def score_table(scores: list[dict[str, Any]]) -> Table:
    """Of every score: over how many rows, its quantiles, and the gates that read it."""
    table = Table(title="scores, over all rows that have them", title_justify="left")
    for name, justify in (
        ("score", "left"),
        ("rows", "right"),
        ("5%", "right"),
        ("median", "right"),
        ("95%", "right"),
        ("gate", "left"),
    ):
        table.add_column(name, justify=justify, no_wrap=name != "gate")  # type: ignore[arg-type]
    for s in scores:
        gates = ", ".join(
            dict.fromkeys(f"{g['stage']}: {g['sign']} {g['threshold']:g}" for g in s["gates"])
        )
        table.add_row(
            Text(printable(s["name"])),
            f"{s['rows']:,}",
            *(brief(s["quantiles"][q]) for q in ("5", "50", "95")),
            Text(gates),
        )
    return table


def brief(value: float) -> str:
    """A number in few digits."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def caption_table(columns: list[dict[str, Any]]) -> Table:
    """The report's measures of each caption column."""
    table = Table(title="captions of kept rows", title_justify="left")
    table.add_column("column", overflow="fold")
    measures = {
        "captions": "n",
        "words_median": "words",
        "distinct_2": "distinct-2",
        "duplicate_rate": "repeats",
        "refusal_rate": "refusals",
    }
    for title in measures.values():
        table.add_column(title, justify="right")
    for c in columns:
        table.add_row(
            Text(c["column"]),
            *(f"{c[m]:.1%}" if m.endswith("_rate") else brief(c[m]) for m in measures),
        )
    return table


def show_columns(storage: Storage, rows: int, out: Console, pictures: bool) -> None:
    """The columns of a table: types and meanings."""
    files = [
        name
        for name, _ in storage.files()
        if name.endswith(".parquet") and name.startswith("shard")
    ]
    total = sum(storage.row_count(f) for f in files)
    out.print(
        Text(
            f"{amount(len(files), 'shard')}, {amount(total, 'row')}, "
            f"{sum(s for _, s in storage.files()) / 1e6:,.1f} MB"
        )
    )
    if files:
        show_file(storage, files[0], rows, out)
        if pictures:
            show_pictures(storage, files[0], rows, out)


def show_file(storage: Storage, name: str, rows: int, out: Console) -> None:
    """A file of rows: columns and some rows."""
    if name.endswith(".tar"):
        with (
            storage.fs.open_input_file(storage.path(name)) as stream,
            tarfile.open(fileobj=stream) as tar,
        ):
            members = tar.getmembers()
            out.print(
                Text(
                    f"{name}: {amount(len(members), 'member')}, "
                    f"{sum(m.size for m in members) / 1e6:,.1f} MB"
                )
            )
            for member in members[: rows * 3]:
                handle = tar.extractfile(member)
                data = handle.read() if handle else b""
                shown = (
                    f"{len(data):,} bytes"
                    if not member.name.endswith((".txt", ".json"))
                    else data.decode("utf-8", "replace")[:300]
                )
                out.print(Text(printable(f"  {member.name}: {shown}")))
        return
    with storage.fs.open_input_file(storage.path(name)) as stream:
        file = pq.ParquetFile(stream)
        table = Table(
            title=f"{name}: {amount(file.metadata.num_rows, 'row')}", title_justify="left"
        )
        table.add_column("column", no_wrap=True)  # as it is written in a gate
        table.add_column("type")
        for i in range(min(rows, file.metadata.num_rows)):
            table.add_column(f"row {i}", overflow="fold", max_width=40)
        head = next(file.iter_batches(batch_size=max(rows, 1)), None) if rows else None
        for field in file.schema_arrow:
            values = (
                [shown_value(head.column(field.name)[i]) for i in range(min(rows, head.num_rows))]
                if head is not None
                else []
            )
            table.add_row(
                Text(printable(field.name)), Text(printable(str(field.type))), *map(Text, values)
            )
        out.print(table)


def shown_value(value: pa.Scalar) -> str:
    """A value as a terminal shows it."""
    plain: Any = value.as_py()
    if isinstance(plain, bytes):
        return f"{len(plain):,} bytes"
    if isinstance(plain, float):
        return brief(plain)
    if isinstance(plain, list) and any(isinstance(v, bytes) for v in plain):
        plain = [f"{len(v):,} bytes" if isinstance(v, bytes) else v for v in plain]
    text = "" if plain is None else printable(str(plain))
    return text if len(text) <= 120 else text[:117] + "…"


def workspace_table(storage: Storage) -> Table:
    """What a workspace holds, by folder."""
    folders = contents(storage)
    total = sum(s.bytes for s in folders)
    runs = len(storage.folders("runs"))
    table = Table(
        title=f"{storage.root}: {total / 1e6:,.1f} MB, {amount(runs, 'run')}",
        title_justify="left",
    )
    for name, justify in (
        ("stored", "left"),
        ("MB", "right"),
        ("files", "right"),
        ("runs", "left"),
    ):
        table.add_column(name, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for s in folders:
        table.add_row(
            Text(s.folder),
            f"{s.bytes / 1e6:,.1f}",
            f"{s.files:,}",
            Text(", ".join(s.runs) or "none: `pairmill gc` removes it"),
        )
    return table
