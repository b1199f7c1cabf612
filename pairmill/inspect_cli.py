"""The commands that look at what a run left, packages and reports, and that tell what stages there
are.
"""

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from pairmill.console import Json, fail, fail_with, opened, out, print_json
from pairmill.errors import PairmillError
from pairmill.texts.amounts import amount

app = typer.Typer()


@app.command()
def inspect(
    path: str,
    verify: Annotated[
        bool,
        typer.Option(
            "--verify", help="Compare every file with the manifest, or check a workspace whole."
        ),
    ] = False,
    rows: Annotated[int, typer.Option(min=0, help="Rows to show.")] = 3,
    pictures: Annotated[
        bool,
        typer.Option(
            "--pictures/--no-pictures",
            help="Small pictures, in a terminal with 256 colours or more.",
        ),
    ] = True,
    where: Annotated[
        str | None,
        typer.Option(help='Of a run or a pipeline file: its rows, such as "clip_score < 0.2".'),
    ] = None,
    fate: Annotated[
        str | None,
        typer.Option(
            help="Its rows that are kept, dropped, missing, failed, pending; or unreadable: what "
            "could not be read of the source."
        ),
    ] = None,
    columns: Annotated[
        str | None, typer.Option(help="Columns to show, such as uid,text,clip_score.")
    ] = None,
    each: Annotated[
        str | None, typer.Option(help="The elements of an `each` block instead, by its name.")
    ] = None,
    to: Annotated[
        Path | None, typer.Option(help="Write all these rows to a .csv, .jsonl or .parquet file.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Look at a package, a shard, a column set or a run (of a pipeline file: its last): counts,
    schema, a few rows and their pictures; a run's figures, or the rows behind any of them.
    """
    from pairmill.terminal.inspecting import inspect_path

    if where or fate or columns or to or each:
        inspect_rows(path, where, fate, columns, each, rows, to, as_json)
        return
    try:
        if path.endswith((".yaml", ".yml")) and Path(path).is_file():
            from pairmill.terminal.runs import last_run

            path = last_run(opened(path)[0].config)
        if as_json:
            from pairmill.terminal.inspected import inspected

            print_json(found := inspected(path, verify))
            faults = found.get("faults", [])
        else:
            faults = inspect_path(path, rows, verify, out, pictures)
    except (PairmillError, OSError) as error:
        fail_with(error)
    if faults:
        fail("\n".join(faults), 1)


def inspect_rows(
    path: str,
    where: str | None,
    fate: str | None,
    columns: str | None,
    each: str | None,
    count: int,
    to: Path | None,
    as_json: bool,
) -> None:
    """The rows of a run that fit, or elements of a block, on the terminal and in a file."""
    from pairmill.terminal.chosen_rows import check_file, rows_table, write_rows

    found, limit = opened(path)
    named = [c.strip() for c in columns.split(",") if c.strip()] if columns else None
    try:
        if to is not None:
            check_file(to)
        rows = found.stored(limit, each).rows(named, where, fate)
        if to is not None:
            write_rows(rows, to)
    except (PairmillError, OSError) as error:
        fail_with(error)
    if as_json:
        from pairmill.terminal.inspected import rows_as_data

        print_json(rows_as_data(rows, count))
        return
    out.print(rows_table(rows, count, None if named else out.width, where))
    if to is not None:
        out.print(Text(f"{amount(rows.height, 'row')} written to {to}"), soft_wrap=True)


@app.command()
def search(
    package: Annotated[str, typer.Argument(help="A package with an index (`type: index`).")],
    queries: Annotated[
        list[str], typer.Argument(help='Texts, such as "a red bicycle", or picture files.')
    ],
    count: Annotated[
        int, typer.Option("--count", "-n", min=1, max=10_000, help="Rows for each query.")
    ] = 10,
    side: Annotated[
        str | None,
        typer.Option("--in", help="Which index: image or text; of images if there is one."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="The model of the embeddings, where it is not what the package names."),
    ] = None,
    to: Annotated[
        Path | None, typer.Option(help="Write the rows to a .csv, .jsonl or .parquet file.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show the rows of a package that are nearest to a text or a picture."""
    from pairmill.terminal import searching
    from pairmill.terminal.chosen_rows import check_file, write_rows

    try:
        if to is not None:
            check_file(to)
        rows = searching.search(package, queries, count, side, model)
        if to is not None:
            write_rows(rows, to)
    except (PairmillError, OSError) as error:
        fail_with(error)
    if as_json:
        print_json(searching.as_json(rows))
    else:
        out.print(searching.found_table(rows))
    if to is not None and not as_json:
        out.print(Text(f"{amount(rows.height, 'row')} written to {to}"), soft_wrap=True)


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
        fail_with(error)
    out.print(Text(path), soft_wrap=True)
    if show:
        typer.launch(path)


@app.command()
def stages(
    name: Annotated[str | None, typer.Argument(help="One stage, with all its keys.")] = None,
) -> None:
    """The stages, a line each; one of them with its keys, what it reads and writes."""
    if not name:
        from pairmill.terminal.stage_list import stage_list

        out.print(stage_list())
        return
    from pairmill.plan.documentation import stage_page
    from pairmill.stages.catalogue import UnknownStage

    try:
        out.print(Text(stage_page(name)), soft_wrap=True)
    except UnknownStage as error:
        fail(str(error), 2)


@app.command()
def prompts(
    name: Annotated[str | None, typer.Argument(help="One prompt, with all its turns.")] = None,
    as_json: Json = False,
) -> None:
    """The library of prompts: id, version, text, what it reads, what it is for, its source."""
    from pairmill.captioners.library import prompt_of
    from pairmill.captioners.prompts import BadPrompt
    from pairmill.terminal.prompt_list import prompt_facts, prompt_list, prompt_page

    try:
        known = prompt_of(name) if name else None
        if as_json:
            print_json([p for p in prompt_facts() if name in (None, p["id"])])
        else:
            page = Text(prompt_page(known)) if known else prompt_list()
            out.print(page, soft_wrap=bool(name))
    except BadPrompt as error:
        fail(str(error), 2)


@app.command()
def schema() -> None:
    """The pipeline file's JSON Schema, for editors."""
    from pairmill.plan.documentation import json_schema

    print_json(json_schema(), public=True)
