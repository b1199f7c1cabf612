"""docs/commands.md: `python -m pairmill.commands_page`, from the command line's own help."""

from typing import Any

import typer
from typer.main import get_command

from pairmill.cli import app


def commands_page() -> str:
    """Every command with its arguments and options, as Markdown."""
    root = get_command(app)
    context = typer.Context(root, info_name="pairmill")
    lines = [
        "# Commands",
        "",
        "Exit codes: 0 done, 1 the work failed or was stopped, 2 the pipeline file or the command "
        "line is wrong.",
        "",
    ]
    for name in root.list_commands(context):  # type: ignore[attr-defined]
        command = root.get_command(context, name)  # type: ignore[attr-defined]
        arguments = [p for p in command.params if p.param_type_name == "argument"]
        options = [p for p in command.params if p.param_type_name == "option"]
        usage = " ".join(["pairmill", name, *(metavar(p) for p in arguments)])
        lines += [f"## {name}", "", f"`{usage}`", "", " ".join((command.help or "").split()), ""]
        shown = [(", ".join([*p.opts, *p.secondary_opts]), help_of(p)) for p in options]
        if shown:
            lines += ["| option | meaning |", "| --- | --- |"]
            lines += [f"| `{names}` | {meaning} |" for names, meaning in shown]
            lines.append("")
    return "\n".join(lines)


def metavar(argument: Any) -> str:
    """An argument in the usage line: brackets where it may be left out."""
    name = argument.name.upper() + (" …" if argument.nargs == -1 else "")
    return name if argument.required else f"[{name}]"


def help_of(option: Any) -> str:
    """What an option is for, in one cell of a table."""
    return " ".join((option.help or "").split()).replace("|", "\\|")


if __name__ == "__main__":
    print(commands_page())
