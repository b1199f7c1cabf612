"""The commands that look at workspaces, and remove from them what nothing refers to."""

from typing import Annotated

import typer

from pairmill.console import Json, fail_with, out, print_json
from pairmill.errors import PairmillError
from pairmill.texts.amounts import amount

app = typer.Typer()


@app.command()
def workspace(path: str, as_json: Json = False) -> None:
    """What a workspace stores, how large it is, which runs use it."""
    from pairmill.terminal.inspecting import workspace_table
    from pairmill.workspace.contents import contents, existing_workspace

    try:
        storage = existing_workspace(path)
        if as_json:
            print_json([vars(stored) for stored in contents(storage)])
        else:
            out.print(workspace_table(storage))
    except PairmillError as error:
        fail_with(error)


@app.command()
def runs(path: str, as_json: Json = False) -> None:
    """The runs of a workspace, the newest first: when, rows in and kept, gates."""
    from pairmill.terminal.runs import runs_of, runs_table
    from pairmill.workspace.contents import existing_workspace

    try:
        found = runs_of(existing_workspace(path))
    except PairmillError as error:
        fail_with(error)
    if as_json:
        print_json(found)
    else:
        out.print(runs_table(found))


@app.command()
def gc(
    path: str, dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell.")] = False
) -> None:
    """Remove tables and column sets that no run refers to (delete a run's folder first to free what
    only it uses).  Nothing is removed while a run reads its source, or begins.
    """
    from pairmill.workspace.contents import (
        collect_unused,
        existing_workspace,
        left_alone,
        unused,
    )

    try:
        storage = existing_workspace(path)
        strangers = left_alone(storage)
        found = unused(storage) if dry_run else collect_unused(storage)
    except (PairmillError, OSError) as error:
        fail_with(error)
    for stored in found:
        out.print(
            f"{'would remove' if dry_run else 'removed'} {stored.folder} "
            f"({stored.bytes / 1e6:,.1f} MB)",
            highlight=False,
        )
    for folder in strangers:
        out.print(f"left {folder}: it holds files that are no table or column set", highlight=False)
    out.print(
        f"{sum(s.bytes for s in found) / 1e6:,.1f} MB in {amount(len(found), 'folder')}",
        highlight=False,
    )
