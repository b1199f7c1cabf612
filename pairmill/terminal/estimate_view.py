"""What a run will cost, as a table."""

from collections.abc import Callable

from rich.console import Group
from rich.table import Table
from rich.text import Text

from pairmill.pipeline.estimated_cost import Cost, Figure, StageCost
from pairmill.texts.amounts import hundredths

FEWEST = 30
"""Computed rows below which a figure is marked as uncertain."""


def estimate_view(cost: Cost) -> Group:
    """A row for each stage: rows, seconds, hours, tokens, dollars, bytes, each with its
    interval.
    """
    if not cost.stages:
        return Group(Text("nothing is left to compute; no row was drawn"))
    head = f"What is left to do, by {cost.sampled:,} drawn rows of {cost.undecided:,}"
    table = Table(title=head, title_justify="left")
    for name in ("stage", "rows", "s / row", "hours", "tokens in / out", "$", "bytes"):
        table.add_column(name, justify="left" if name == "stage" else "right", overflow="fold")
    for stage in cost.stages:
        table.add_row(*(Text(cell, overflow="fold") for cell in cells(stage)))
    lines = [Text(line) for line in remarks(cost)]
    return Group(table, *lines)


def cells(stage: StageCost) -> list[str]:
    """The columns of one stage."""
    figures = stage.figures
    mark = "?" if 0 < stage.sampled < FEWEST else ""
    rows = ranged(figures["computed"], whole)
    each = ranged(stage.seconds_per_row, seconds) if stage.seconds_per_row else "none computed"
    hours = f"{ranged(stage.hours(stage.cpus), hundredths)} CPU"
    if stage.gpus:
        hours += f"\n{ranged(stage.hours(stage.gpus), hundredths)} GPU"
    asked, made = figures["tokens_asked"], figures["tokens"]
    tokens = f"{ranged(asked, whole)} / {ranged(made, whole)}" if made.value or asked.value else ""
    dollars = ranged(figures["dollars"], hundredths) if figures["dollars"].value else ""
    name = f"{stage.name} ({stage.cpus:g} CPU" + (f" + {stage.gpus:g} GPU)" if stage.gpus else ")")
    stored = ranged(figures["bytes"], bytes_text)
    return [name, rows, f"{each}{mark}", hours, tokens, dollars, stored]


def remarks(cost: Cost) -> list[str]:
    """What a reader has to know of the table."""
    lines = [
        f"In brackets: where 90 of 100 such samples would lie, by {cost.chunks} parts of this one; "
        "a question mark: fewer than 30 rows were computed.",
        "Hours are of one worker in this process, without loading; the values are stored, and a "
        "run "
        "does not compute them again.",
    ]
    setups = [f"{s.name} {s.setup_s:.1f} s" for s in cost.stages if s.setup_s >= 0.1]
    if setups:
        lines.append(f"Loading, once a worker: {', '.join(setups)}.")
    lines += [
        f"{s.name} failed on {s.failed:,} of {s.sampled:,} rows of the sample: what it costs where "
        "it answers may be more."
        for s in cost.stages
        if s.failed
    ]
    lines += [
        f"The server of {s.name} did not count the tokens of {s.uncounted:,} answers, which are "
        "missing in the dollars."
        for s in cost.stages
        if s.uncounted
    ]
    lines += [f"Not sampled: {name}, which {why}." for name, why in cost.left_out.items()]
    return lines


def ranged(figure: Figure, text: Callable[[float], str]) -> str:
    """A figure and its interval, with blanks where a narrow terminal may break it."""
    shown = [text(v) for v in (figure.value, figure.low, figure.high)]
    return shown[0] if shown[1] == shown[2] else f"{shown[0]} ({shown[1]} – {shown[2]})"


def whole(value: float) -> str:
    """A count."""
    return f"{value:,.0f}"


def seconds(value: float) -> str:
    """Seconds with three digits that count."""
    return f"{value:.3g}"


def bytes_text(value: float) -> str:
    """Bytes before compression, in a unit of their size."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if value < 1000 or unit == "TB":
            return f"{value:,.0f} {unit}"
        value /= 1000
    return ""
