"""The plan for people: phase by phase, wrapped on words at the terminal's width."""

import io
from typing import Any

from rich.console import Group
from rich.padding import Padding
from rich.text import Text

from pairmill.fates.ledger import SOURCE
from pairmill.safe_output import SafeConsole
from pairmill.texts.amounts import amount

MEMBERS = 8
"""Columns of a stage that are named; of the others the number (`--columns` names all)."""


class ShownPlan(dict[str, Any]):
    """A plan as plain data, which a notebook shows for people."""

    def _repr_html_(self) -> str:
        console = SafeConsole(record=True, file=io.StringIO(), width=100)
        console.print(plan_view(self))
        return console.export_html(inline_styles=True, code_format="<pre>{code}</pre>")


def plan_view(plan: dict[str, Any], columns: bool = False) -> Group:
    """`columns`: every column by name, with the stage that writes it."""
    rows = "not read yet" if plan["pool_rows"] is None else amount(plan["pool_rows"], "row")
    if plan["news"]:
        rows = f"{rows}: {plan['news']}"
    parts: list[Any] = [Text(f"{plan['name']}: pool {plan['pool']} ({rows})", style="bold")]
    parts += [Text(f"columns: {line}") for line in plan["columns"]]
    parts += [Text(line) for line in plan["input"]]
    parts += phase_lines(plan["stages"], columns)
    parts.append(Text(""))
    parts += [Text(output_line(o)) for o in plan["outputs"]]
    parts.append(Text(memory(plan)))
    return Group(*parts)


def phase_lines(stages: list[dict[str, Any]], columns: bool) -> list[Any]:
    """The stages of one table, phase by phase; those of a block below it."""
    found: list[Any] = []
    phase = None
    for stage in stages:
        if stage["phase"] != phase:
            phase = stage["phase"]
            found.append(Text(f"\nphase {phase}{', over all rows' if stage['global'] else ''}"))
        found += stage_lines(stages, stage, columns)
        if "stages" in stage:
            rows = stage["elements"]
            known = "not known yet" if rows is None else f"{rows:,}"
            found.append(indented(f"elements of {stage['each']}: {known}"))
            found += [Padding(part, (0, 0, 0, 6)) for part in phase_lines(stage["stages"], columns)]
    return found


def output_line(output: dict[str, Any]) -> str:
    """What an output writes where, and which rows it takes."""
    order = ", ".join(output["order"])
    keys = {
        "rows": output["rows"],
        "after": output["after"],
        "where": output["where"],
        "order": order,
    }
    taken = "".join(f"; {key}: {value}" for key, value in keys.items() if value)
    return f"output: {output['type']} → {output['path']}{taken}"


def stage_lines(stages: list[dict[str, Any]], stage: dict[str, Any], columns: bool) -> list[Any]:
    """A stage: its name and what is to do; below it, what it reads, writes and keeps."""
    head = Text(f"  {stage['name']}", style="bold")
    head.append("  " + ", ".join(filter(None, (work(stage), workers(stage)))), style="not bold")
    found: list[Any] = [head]
    reads = [f"{c} ({writer_of(stages, c)})" if columns else c for c in stage["reads"]]
    for label, names in (("reads", reads), ("writes", stage["writes"])):
        if names:
            shown = names if columns else names[:MEMBERS]
            more = f" and {len(names) - len(shown)} more" if len(names) > len(shown) else ""
            found.append(indented(f"{label} {', '.join(shown)}{more}"))
    for label in ("when", "keep"):
        if stage[label]:
            found.append(indented(f"{label}: {stage[label]}"))
    found += [indented(note) for note in (*here(stage), *stage["notes"])]
    identity = stage["identity"] or ("known once its rows are" if stage["writes"] else None)
    if identity:
        found.append(indented(f"identity {identity}"))
    return found


def indented(text: str) -> Padding:
    """Lines below a heading."""
    return Padding(Text(text), (0, 0, 0, 6))


def work(stage: dict[str, Any]) -> str:
    """Rows that wait for the stage and rows that are stored."""
    waiting, stored = stage["rows_waiting"], stage["rows_stored"]
    if waiting is None:
        return "waits for the source to be read"
    parts = [f"{amount(waiting, 'row')} to do"]
    if stored is not None:
        parts.append(f"{stored:,} stored")
    return ", ".join(parts)


def workers(stage: dict[str, Any]) -> str:
    """What one worker needs, and how many there may be."""
    need = f"{stage['cpus']:g} CPU" + (f" + {stage['gpus']:g} GPU" if stage["gpus"] else "")
    if not stage["replicas"]:
        return need
    least, most = stage["replicas"]
    return f"{least if least == most else f'{least} to {most}'} × {need}"


def here(stage: dict[str, Any]) -> list[str]:
    """How many processes would have the stage without Ray, where it loads something in each."""
    size = stage["on_this_machine"]
    if size is None:
        return []
    words = f"{size['processes']} process{'es' if size['processes'] > 1 else ''}"
    if size["batches"] > 1 and not stage["gpus"]:
        each = "each with " if size["processes"] > 1 else ""
        words += f", {each}{size['batches']} batches at a time"
    return [f"on this machine: {words}{size['because'] and ' (' + size['because'] + ')'}"]


def writer_of(stages: list[dict[str, Any]], column: str) -> str:
    """The stage that writes a column, or the source."""
    return next((s["name"] for s in stages if column in s["writes"]), SOURCE)


def memory(plan: dict[str, Any]) -> str:
    """Bytes in flight, in words."""
    if not plan["shard_bytes"]:
        return "in flight: known once the source is read"
    return (
        f"in flight: shards of up to {plan['shard_bytes'] / 1e6:,.1f} MB, "
        f"{plan['bytes_in_flight'] / 1e6:,.0f} MB at least in the largest phase "
        "(more where stages get more workers)"
    )
