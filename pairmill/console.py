"""What all commands share: consoles, common options, reading a pipeline file, ending with a
message.
"""

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from pairmill.errors import PairmillError, PipelineFileError

out = Console()
err = Console(
    file=os.fdopen(os.dup(2), "w")
)  # stays ours while a run sends libraries' stderr to its log

File = Annotated[Path, typer.Argument(help="The pipeline file.", dir_okay=False)]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", help='Override a key, such as stages.clip.keep="clip_score >= 0.3".'),
]
Limit = Annotated[
    int | None, typer.Option(min=1, help="Only the first so many rows of the source.")
]

Json = Annotated[bool, typer.Option("--json", help="As JSON, for programs.")]


def print_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def overrides(pairs: list[str] | None) -> dict[str, str]:
    bad = [p for p in pairs or () if "=" not in p]
    if bad:
        fail(f'--set {bad[0]}: write KEY=VALUE, such as stages.clip.keep="clip_score >= 0.3"', 2)
    return dict(p.split("=", 1) for p in pairs or ())


def fail(message: str, code: int) -> None:
    err.print(Text(message), style="red", soft_wrap=True)
    raise typer.Exit(code)


def pipeline(path: Path, sets: list[str] | None, base: Path | None = None) -> Any:
    from pairmill.api import Pipeline, silence_libraries

    silence_libraries()
    try:
        return Pipeline.from_yaml(path, overrides(sets), base)
    except PipelineFileError as error:
        fault = "fault" if len(error.problems) == 1 else "faults"
        fail(f"{error}\n{len(error.problems)} {fault} in {path}", 2)
    except PairmillError as error:
        fail(str(error), 1)
