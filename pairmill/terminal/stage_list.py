"""The stages that there are, a line each."""

import inspect

from rich.table import Table
from rich.text import Text

from pairmill.stages.base import GlobalStage
from pairmill.stages.catalogue import known_stages, stage_class
from pairmill.stages.each import EachConfig


def stage_list() -> Table:
    """Name, and the first sentence of what the stage is; `over all rows` marks those that need all
    of them.
    """
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for name in known_stages():
        kind = stage_class(name)
        words = " ".join((inspect.getdoc(kind.Config) or inspect.getdoc(kind) or "").split())
        first = words.partition(". ")[0].rstrip(".") + "."
        everywhere = " Over all rows." if issubclass(kind, GlobalStage) else ""
        table.add_row(Text(name), Text(first + everywhere))
    words = " ".join((inspect.getdoc(EachConfig) or "").split())
    table.add_row(Text("each"), Text(f"A block of stages: {words[0].lower()}{words[1:]}"))
    table.add_row()
    table.add_row(Text(""), Text("`pairmill stages NAME` tells a stage's keys and columns."))
    return table
