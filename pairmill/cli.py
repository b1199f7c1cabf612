"""The commands, nothing else."""

import gc
import os
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from pairmill import cluster_cli, inspect_cli, workspace_cli
from pairmill.console import (
    COMMITTED,
    TRACEBACK,
    Address,
    Commands,
    File,
    Json,
    Limit,
    Replace,
    Set,
    err,
    fail,
    fail_of_file,
    fail_with,
    goes_on,
    may_replace,
    out,
    overrides,
    pipeline,
    print_json,
    stopping_by_signals,
)
from pairmill.errors import PairmillError, PipelineFileError
from pairmill.texts.amounts import amount
from pairmill.version import __version__

gc.set_threshold(50_000)
"""Objects by which garbage is looked for, 700 as a rule: modules make a hundred thousand of them,
all of which stay; an eighth of what loading them takes went into the search.
"""
app = Commands(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Web image–text pairs to training shards, from one YAML file.",
)
app.add_typer(inspect_cli.app)
app.add_typer(workspace_cli.app)
app.add_typer(cluster_cli.app)


AS_NAMED = "pairmill init --from INPUT NAME.yaml"


def show_version(wanted: bool) -> None:
    """Prints the version and ends."""
    if wanted:
        out.print(__version__, highlight=False)
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool,
        typer.Option("--version", callback=show_version, is_eager=True, help="Which pairmill."),
    ] = False,
) -> None:
    """The command line."""
    pass


@app.command()
def init(
    source: Annotated[
        str | None,
        typer.Option("--from", help="The input: a table, a folder, tars; asked for if absent."),
    ] = None,
    file: Annotated[Path, typer.Argument(help="The file to write.")] = Path("pipeline.yaml"),
) -> None:
    """Look at an input and write a first pipeline file for it, which runs as it is."""
    from pairmill.plan.first_pipeline import first_pipeline, pipeline_name
    from pairmill.plan.proposal import propose

    if source is None and file.suffix not in (".yaml", ".yml"):
        fail(f"{file} is no name of a pipeline file; for an input: pairmill init --from {file}", 2)
    if file.exists():
        fail(f"{file} is there already; name another file: {AS_NAMED}", 2)
    given = source or typer.prompt("input (file, folder, glob)")
    try:
        proposal = propose(given)
    except PairmillError as error:
        fail_with(error)
    if "://" not in given and not os.path.isabs(given):
        own = {"path", "images"} & proposal.keys.keys()
        for key in (k for k in own if not os.path.isabs(proposal.keys[k])):
            proposal.keys[key] = os.path.relpath(proposal.keys[key], file.absolute().parent)
    try:
        file.write_text(first_pipeline(pipeline_name(given), proposal, str(file)), "utf-8")
    except OSError as error:
        fail(f"{file} cannot be written: {error.strerror}; name another file: {AS_NAMED}", 2)
    for line in proposal.mapping:
        out.print(Text(f"columns: {line}"), soft_wrap=True)
    for line in proposal.left_out:
        out.print(Text(line, style="yellow"), soft_wrap=True)
    out.print(Text(f"{file} written; next: pairmill run {file} --limit 100"), soft_wrap=True)


@app.command()
def validate(file: File, set_: Set = None) -> None:
    """Check a pipeline file; exit code 2 and every fault if it is wrong."""
    found = pipeline(file, set_)
    try:
        for line in found.examine():
            out.print(Text(line), soft_wrap=True)
        print_obstacles(found.obstacles())
    except PipelineFileError as error:
        fail_of_file(error, file)
    if not found.checked.writers:
        out.print("no outputs: a run tells what becomes of each row, and writes no package")
    stages, outputs = len(found.checked.stages), len(found.checked.writers)
    counts = f"{amount(stages, 'stage')}, {amount(outputs, 'output')}"
    out.print(Text(f"{file}: {counts}, no faults"), soft_wrap=True)


def print_obstacles(lines: list[str]) -> None:
    """What would stop a run that began now, a line each."""
    where = f"on the Ray at {ray}" if (ray := os.environ.get("RAY_ADDRESS")) else "on this machine"
    for line in lines:
        out.print(Text(f"a run {where} would stop: {line}", style="yellow"), soft_wrap=True)


@app.command()
def plan(
    file: File,
    set_: Set = None,
    limit: Limit = None,
    address: Address = "",
    columns: Annotated[
        bool, typer.Option("--columns", help="All columns by name, and who writes them.")
    ] = False,
    sample: Annotated[
        int | None,
        typer.Option(
            "--sample",
            min=1,
            help="Take so many drawn rows through the stages, and tell what the run will cost.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show what would run: the DAG by columns, phases, identities, waiting rows, resources."""
    from pairmill.terminal.plan_view import plan_view

    if address:
        os.environ["RAY_ADDRESS"] = address
    described = pipeline(file, set_)
    try:
        described.check_places()
        stopping = described.obstacles()
        cost = described.estimate(sample, limit) if sample is not None else None
        found = described.plan(limit)
    except PipelineFileError as error:
        fail_of_file(error, file)
    except PairmillError as error:
        fail(str(error), 1)
    if as_json:
        more = {"cost": cost.to_json()} if cost else {}
        print_json({**found, "obstacles": stopping, **more})
        return
    out.print(plan_view(found, columns))
    print_obstacles(stopping)
    if cost is not None:
        from pairmill.terminal.estimate_view import estimate_view

        out.print(estimate_view(cost))


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
        typer.Option("--local", help="On this machine, though RAY_ADDRESS names a Ray."),
    ] = False,
    ray: Annotated[bool, typer.Option("--ray", help="On Ray, started here if none runs.")] = False,
    address: Address = "",
    processes: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Worker processes at most, without Ray; as many as cores if absent, 0: none.",
        ),
    ] = None,
    base: Annotated[
        Path | None,
        typer.Option(help="Folder that relative paths of data mean, if not the file's own."),
    ] = None,
    no_report: Annotated[
        bool, typer.Option("--no-report", help="Write no report (`report: none` in the file).")
    ] = False,
    profile: Annotated[
        bool, typer.Option("--profile", help="Say where the time went, by part and stage.")
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit code 1 where the run ends with a warning.")
    ] = False,
    replace: Replace = False,
) -> None:
    """Run a pipeline; what is stored already is not computed again."""
    from pairmill.allocators import choose_allocators

    choose_allocators()  # before what follows loads pyarrow
    if local and (ray or address):
        fail("--local and --ray or --address exclude each other", 2)
    if address:
        os.environ["RAY_ADDRESS"] = address
    from pairmill.pipeline.early import begin_early

    if limit is None:
        begin_early(file, overrides(set_), base, processes, ray or bool(address), local)
    from pairmill.terminal.display import funnel_table

    found = pipeline(file, set_, base)
    try:
        found.check_places()
    except PipelineFileError as error:
        fail_of_file(error, file)
    replace = may_replace(found, limit, replace)
    came: list[str] = []
    try:
        with stopping_by_signals() as came:
            result = found.run(
                limit=limit,
                retry=[c.strip() for c in retry.split(",") if c.strip()],
                console=err,
                local=local,
                ray=ray or bool(address),
                processes=processes,
                write_report=not no_report,
                replace=replace,
            )
    except KeyboardInterrupt:
        fail(
            f"stopped{f' by {came[0]}' if came else ''}; what was committed stays in "
            f"{found.config.workspace}, and the same command goes on from there",
            1,
        )
    except PairmillError as error:
        fail(f"{error}{goes_on(error, found.config.workspace)}", 1)
    except OSError as error:  # a disk or an object store that does not answer
        fail(
            f"{type(error).__name__}: {error}\n{COMMITTED} "
            f"{found.config.workspace}; the same command goes on from there",
            1,
        )
    # a defect of a stage or of pairmill: no traceback in the terminal, it stands in the log
    except Exception as error:
        fail(
            f"{type(error).__name__}: {error}\n{TRACEBACK} log.jsonl of "
            f"the newest run in {found.config.workspace}/runs",
            1,
        )
    out.print(funnel_table(result.funnel))
    if profile:
        from pairmill.terminal.profile_view import profile_view

        out.print(profile_view(result.seconds, result.stages))
    for line in result.lines():
        out.print(line, soft_wrap=True)
    if strict and result.warnings:
        raise typer.Exit(1)


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
        with stopping_by_signals():
            run_demo(folder, rows, out, err)
    except KeyboardInterrupt:
        fail("stopped; the same command goes on from there", 1)
    except PairmillError as error:
        fail(str(error), 1)


if __name__ == "__main__":
    app()
