"""The commands, nothing else."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from pairmill import cluster_cli
from pairmill.console import File, Limit, Set, err, fail, out, pipeline
from pairmill.errors import PairmillError

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Web image–text pairs to training shards, from one YAML file.",
)
app.add_typer(cluster_cli.app)


@app.command()
def validate(file: File, set_: Set = None) -> None:
    """Check a pipeline file; exit code 2 and every fault if it is wrong."""
    found = pipeline(file, set_)
    faults = []
    for stage in found.checked.stages:
        try:
            for line in stage.stage.examine():
                out.print(Text(f"stage {stage.name}: {line}"), soft_wrap=True)
        except PairmillError as error:
            faults.append(f"{found.place_of(stage.index)}{error}")
    if faults:
        fail("\n".join([*faults, f"{len(faults)} faults in {file}"]), 2)
    out.print(
        f"{file}: {len(found.checked.stages)} stages, {len(found.checked.writers)} outputs, no faults",
        highlight=False,
    )


@app.command()
def plan(
    file: File,
    set_: Set = None,
    limit: Limit = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Show what would run: the DAG by columns, phases, identities, waiting rows, resources."""
    from pairmill.pipeline.overview import overview_table

    try:
        found = pipeline(file, set_).plan(limit)
    except PairmillError as error:
        fail(str(error), 1)
    if as_json:
        sys.stdout.write(json.dumps(found, indent=2, ensure_ascii=False) + "\n")
    else:
        out.print(overview_table(found))


@app.command()
def run(
    file: File,
    set_: Set = None,
    limit: Limit = None,
    retry: Annotated[
        str, typer.Option(help="Error classes to try again, such as dns,timeout,http_5xx.")
    ] = "",
    local: Annotated[
        bool,
        typer.Option(
            "--local", help="In this process, without Ray: for one machine, or a debugger."
        ),
    ] = False,
    base: Annotated[
        Path | None,
        typer.Option(help="Folder that relative paths of data mean, if not the file's own."),
    ] = None,
) -> None:
    """Run a pipeline; what is stored already is not computed again."""
    from pairmill.terminal.display import funnel_table

    found = pipeline(file, set_, base)
    try:
        result = found.run(
            limit=limit,
            retry=[c.strip() for c in retry.split(",") if c.strip()],
            console=err,
            local=local,
        )
    except KeyboardInterrupt:
        fail(
            f"stopped; what was committed stays in {found.config.workspace}, and the same command goes on from there",
            1,
        )
    except PairmillError as error:
        fail(
            f"{error}\nwhat was committed stays in {found.config.workspace}; the same command goes on from there",
            1,
        )
    except OSError as error:  # a disk or an object store that does not answer
        fail(
            f"{type(error).__name__}: {error}\nwhat was committed stays in {found.config.workspace}; the same command goes on from there",
            1,
        )
    # a defect of a stage or of pairmill: no traceback in the terminal, it stands in the log
    except Exception as error:
        fail(
            f"{type(error).__name__}: {error}\nthe traceback stands in log.jsonl of the newest run in {found.config.workspace}/runs",
            1,
        )
    out.print(funnel_table(result.funnel))
    for path, manifest in result.packages.items():
        out.print(
            Text(
                f"package: {path} ({manifest['samples']:,} samples in {manifest['shards']} shards)"
            ),
            soft_wrap=True,
        )
    out.print(Text(f"report:  {result.report}\nrun:     {result.folder}"), soft_wrap=True)


@app.command()
def inspect(
    path: str,
    verify: Annotated[
        bool, typer.Option("--verify", help="Compare every file with the manifest.")
    ] = False,
    rows: Annotated[int, typer.Option(min=0, help="Rows to show.")] = 3,
    pictures: Annotated[
        bool,
        typer.Option(
            "--pictures/--no-pictures",
            help="Small pictures, in a terminal with 256 colours or more.",
        ),
    ] = True,
) -> None:
    """Look at a package, a shard, a column set, a pool or a run: counts, schema, a few rows and
    their pictures; a run's figures.
    """
    from pairmill.terminal.inspecting import inspect_path

    try:
        faults = inspect_path(path, rows, verify, out, pictures)
    except (PairmillError, OSError) as error:
        fail(str(error), 1)
    if faults:
        fail("\n".join(faults), 1)


@app.command()
def report(
    runs: Annotated[
        list[str],
        typer.Argument(
            help="A run's folder in the workspace, or a package; two of them to compare."
        ),
    ],
    workspace: Annotated[
        str | None,
        typer.Option(help="Where a package's run is looked for, if the two were parted."),
    ] = None,
    show: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
) -> None:
    """Write a finished run's report again, or a page that compares two runs."""
    from pairmill.report.page import rebuild

    if len(runs) > 2:
        fail("one run, or two to compare", 2)
    try:
        path = rebuild(runs, workspace)
    except (PairmillError, OSError) as error:
        fail(str(error), 1)
    out.print(Text(path), soft_wrap=True)
    if show:
        typer.launch(path)


@app.command()
def stages(name: Annotated[str | None, typer.Argument(help="One stage only.")] = None) -> None:
    """Every stage with its parameters, what it reads and writes."""
    from pairmill.plan.documentation import stage_page, stage_pages
    from pairmill.stages.catalogue import UnknownStage

    try:
        out.print(Text(stage_page(name) if name else stage_pages()), soft_wrap=True)
    except UnknownStage as error:
        fail(str(error), 2)


@app.command()
def schema() -> None:
    """The pipeline file's JSON Schema, for editors."""
    from pairmill.plan.documentation import json_schema

    sys.stdout.write(json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n")


@app.command()
def workspace(path: str) -> None:
    """What a workspace stores, how large it is, which runs use it."""
    from pairmill.terminal.inspecting import workspace_table
    from pairmill.workspace.contents import existing_workspace

    try:
        out.print(workspace_table(existing_workspace(path)))
    except PairmillError as error:
        fail(str(error), 1)


@app.command()
def gc(
    path: str, dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell.")] = False
) -> None:
    """Remove pools and column sets that no run refers to (delete a run's folder first to free what
    only it uses).
    """
    from pairmill.workspace.contents import collect, existing_workspace, unused

    try:
        storage = existing_workspace(path)
        found = unused(storage)
        if not dry_run:
            collect(storage, found)
    except PairmillError as error:
        fail(str(error), 1)
    for stored in found:
        out.print(
            f"{'would remove' if dry_run else 'removed'} {stored.folder} ({stored.bytes / 1e6:,.1f} MB)",
            highlight=False,
        )
    out.print(
        f"{sum(s.bytes for s in found) / 1e6:,.1f} MB in {len(found)} folders", highlight=False
    )


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(help="Where the demo's files go.")] = Path("demo"),
    rows: Annotated[
        int, typer.Option(min=50, max=1_000_000, help="Rows of the generated web.")
    ] = 1000,
) -> None:
    """Run the main job on a generated web, offline, and compare the outcome with the truth."""
    from pairmill.demo.show import run_demo

    try:
        run_demo(folder, rows, out, err)
    except KeyboardInterrupt:
        fail("stopped; the same command goes on from there", 1)
    except PairmillError as error:
        fail(str(error), 1)


if __name__ == "__main__":
    app()
