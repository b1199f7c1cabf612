"""The stages that there are, a line each.

    python -m pairmill.terminal.stage_list > pairmill/terminal/stages.json

writes down what the built-in ones are, so that a list of them imports none.
"""

import inspect
import json
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from pairmill.stages.catalogue import BUILT_IN, known_stages, stage_class

WRITTEN_DOWN = Path(__file__).with_name("stages.json")


def stage_list() -> Table:
    """Name, and the first sentence of what the stage is; `over all rows` marks those that need all
    of them.
    """
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    known: dict[str, str] = json.loads(WRITTEN_DOWN.read_text("utf-8"))
    for name in known_stages():
        sentence = known[name] if name in BUILT_IN else sentence_of(stage_class(name))
        table.add_row(Text(name), Text(sentence))
    table.add_row(Text("each"), Text(known["each"]))
    table.add_row()
    table.add_row(Text(""), Text("`pairmill stages NAME` tells a stage's keys and columns."))
    return table


def sentence_of(kind: type[Any]) -> str:
    """The first sentence of a stage's config, or its own."""
    from pairmill.stages.base import GlobalStage

    words = " ".join((inspect.getdoc(kind.Config) or inspect.getdoc(kind) or "").split())
    first = words.partition(". ")[0].rstrip(".") + "."
    return f"{first} Over all rows." if issubclass(kind, GlobalStage) else first


def sentences() -> str:
    """The built-in stages by name, as JSON."""
    from pairmill.stages.each import EachConfig

    words = " ".join((inspect.getdoc(EachConfig) or "").split())
    said = {name: sentence_of(stage_class(name)) for name in BUILT_IN}
    said["each"] = f"A block of stages: {words[0].lower()}{words[1:]}"
    return json.dumps(said, indent=2, ensure_ascii=False)


if __name__ == "__main__":
    print(sentences())
