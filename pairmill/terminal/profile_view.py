"""Where the time of a run went, for `pairmill run --profile`."""

from collections.abc import Mapping

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text

Figures = Mapping[str, Mapping[str, float]]
RUNTIME = "reading, gates, commits"
"""What is left of a stage's seconds beside its own code and its loading."""


def profile_view(seconds: Mapping[str, float], stages: Figures) -> Group:
    """A run's parts by seconds; its stages by rows, rates, seconds, waiting and bytes; and which
    of them is the narrowest.
    """
    total = sum(seconds.values())
    parts = Table("part", title="where the time went", title_justify="left", box=SIMPLE_HEAD)
    parts.add_column("seconds", justify="right")
    parts.add_column("share", justify="right")
    for part, taken in seconds.items():
        parts.add_row(part, f"{taken:,.2f}", f"{taken / total:.0%}" if total else "")
    title = "stages, seconds of all workers together"
    table = Table("stage", title=title, title_justify="left", box=None, pad_edge=False)
    for name in ("workers", "rows", "rows/s", "busy s", "CPU-s", "load s", "rest s", "idle s"):
        table.add_column(name, justify="right")
    table.add_column("MB", justify="right")
    for name, figures in stages.items():
        table.add_row(name, *row_of(figures))
    words = Text(bottleneck(seconds, stages))
    return Group(parts, table, words) if stages else Group(parts, words)


def row_of(figures: Mapping[str, float]) -> tuple[str, ...]:
    """`rest`: reading, gates and commits around the stage; `idle`: workers that had it and waited
    for rows, or worked on other stages.
    """
    busy, spent, loading = figures["busy_s"], figures["seconds"], figures["setup_s"]
    workers = figures.get("workers", 1)
    rate = figures["computed"] * workers / spent if spent else 0.0
    return (
        f"{workers:.0f}", f"{figures['computed']:,.0f}", f"{rate:,.0f}", f"{busy:,.2f}",
        f"{figures['cpu_s']:,.2f}", f"{loading:,.2f}", f"{max(0.0, spent - busy - loading):,.2f}",
        f"{max(0.0, figures.get('held_s', spent) - spent):,.2f}", f"{figures['bytes'] / 1e6:,.1f}",
    )  # fmt: skip


def bottleneck(seconds: Mapping[str, float], stages: Figures) -> str:
    """The part of the run that took longest, and what in it did."""
    if not seconds:
        return "nothing was done"
    part = max(seconds, key=lambda name: seconds[name])
    if not part.startswith("phase") or not stages:
        return f"bottleneck: {part} ({seconds[part]:,.2f} s)"
    name = max(stages, key=lambda stage: stages[stage]["seconds"] / stages[stage].get("workers", 1))
    figures = stages[name]
    shares = {
        "the stage itself": figures["busy_s"],
        "loading it": figures["setup_s"],
        RUNTIME: figures["seconds"] - figures["busy_s"] - figures["setup_s"],
    }
    most = max(shares, key=lambda share: shares[share])
    share = shares[most] / figures["seconds"] if figures["seconds"] else 0.0
    return (
        f"bottleneck: stage {name} in {part} ({seconds[part]:,.2f} s); "
        f"{share:.0%} of its time is {most}"
    )
