"""docs/commands.md: `python -m pairmill.commands_page`, from the command line's own help."""

from typing import Any

import typer
from typer.main import get_command

from pairmill.cli import app

WHERE = (
    "`pairmill run` works on this machine in worker processes of its own, as many as cores "
    "(`--processes N`, or `PAIRMILL_PROCESSES`; 0 keeps all work in one process, for a debugger), "
    "and says so. A process that dies, or hangs past a deadline, costs the row that it died of. "
    "It works on Ray where `--address` or `RAY_ADDRESS` names a cluster, or with `--ray`, which "
    "starts Ray here; `--local` stays here though an address is set. `--profile` says where the "
    "time went; `--no-report`, or `report: none` in the file, leaves the report out. A run ends "
    "with what a person has to know: rows that could not be read, values that were repaired, a "
    "gate that dropped everything, failures and how to try them again."
)
BEFORE = (
    "`pairmill plan` and `validate` also say what would stop a run that began now, here or on the "
    "Ray at `--address` or `RAY_ADDRESS`: GPUs that are not there, models that do not fit into "
    "memory, places that cannot be written to."
)
SHELL = (
    "`--json` prints plain data for programs. `pairmill --install-completion` lets bash, zsh and "
    "fish complete commands, options and files."
)
GLANCE = (
    "pairmill validate pipeline.yaml      # all faults at once: file, line, column, remedy",
    "pairmill plan pipeline.yaml          # stages, phases, what is stored and what waits",
    "pairmill run pipeline.yaml           # computes what is missing, writes packages and report",
    'pairmill run pipeline.yaml --set stages.clip.keep="clip_score >= 0.27"  # all stored',
    "pairmill run pipeline.yaml --retry dns,timeout,http_5xx",
    "pairmill report workspace/runs/A workspace/runs/B   # two runs side by side",
    "pairmill inspect shards --verify     # counts, schema, rows; every file against the manifest",
    'pairmill inspect workspace/runs/A --where "clip_score < 0.2" --to low.csv   # the rows',
    "pairmill runs workspace              # the runs: when, rows kept, gates",
    "pairmill stages clip                 # the keys of one stage; without a name: all stages",
    "pairmill schema > pairmill.schema.json   # for editors: completes and checks the YAML",
    "pairmill workspace workspace         # what is stored and used; `pairmill gc` frees the rest",
    "pairmill submit pipeline.yaml --address head:8265   # then status, logs -f, stop, list",
)


def commands_page() -> str:
    """Every command with its arguments and options, as Markdown."""
    root = get_command(app)
    context = typer.Context(root, info_name="pairmill")
    lines = [
        "# Commands",
        "",
        "Exit codes: 0 done, 1 the work failed or was stopped (130: by Ctrl-C before it began), 2 "
        "the pipeline file or the command line is wrong. With `--strict` a run that ends with a "
        "warning ends with 1, too.",
        "",
        BEFORE,
        "",
        WHERE,
        "",
        SHELL,
        "",
        "```",
        *GLANCE,
        "```",
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
