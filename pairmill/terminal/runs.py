"""The runs of a workspace: when, how many rows, which gates."""

from datetime import datetime, timezone
from typing import Any

from rich.table import Table
from rich.text import Text

from pairmill.pipeline.run_metrics import RunMetrics
from pairmill.safe_output import printable
from pairmill.workspace.storage import Storage
from pairmill.workspace.used import read_plan


def runs_of(storage: Storage) -> list[dict[str, Any]]:
    """Runs, the newest first: id, when it began (UTC, ISO 8601), rows in and kept (null where it
    has not finished), gates by stage.
    """
    found = []
    for run in storage.folders("runs"):
        if not storage.exists(f"runs/{run}/plan.json"):
            continue
        gates = {
            s["name"]: s["keep"]
            for s in with_inside(read_plan(storage, f"runs/{run}")["stages"])
            if s.get("keep")
        }
        metrics = RunMetrics.read(storage, f"runs/{run}")
        modified = storage.fs.get_file_info(storage.path(f"runs/{run}/pipeline.yaml")).mtime
        began = modified.astimezone(timezone.utc).isoformat(timespec="seconds") if modified else ""
        found.append(
            {
                "run": run,
                "began": began,
                "rows": metrics.funnel.rows if metrics else None,
                "kept": metrics.funnel.kept if metrics else None,
                "gates": gates,
            }
        )
    return sorted(found, key=lambda r: (r["began"], r["run"]), reverse=True)


def with_inside(stages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The stages of a plan, those of blocks in front of what brings back their columns."""
    found: list[dict[str, Any]] = []
    for stage in stages:
        found += [*(with_inside(stage["block"]["stages"]) if stage.get("block") else []), stage]
    return found


def runs_table(runs: list[dict[str, Any]]) -> Table:
    """Runs of a workspace as a table."""
    table = Table(title_justify="left")
    for name, justify in (
        ("run", "left"),
        ("began", "left"),
        ("rows", "right"),
        ("kept", "right"),
        ("gates", "left"),
    ):
        table.add_column(name, justify=justify, no_wrap=name == "run")  # type: ignore[arg-type]
    for run in runs:
        began = run["began"] and datetime.fromisoformat(run["began"]).astimezone()
        kept = "not finished" if run["kept"] is None else f"{run['kept']:,}"
        table.add_row(
            Text(printable(run["run"])),
            began.strftime("%Y-%m-%d %H:%M") if began else "",
            "" if run["rows"] is None else f"{run['rows']:,}",
            kept,
            Text(printable("\n".join(f"{s}: {gate}" for s, gate in run["gates"].items()))),
        )
    return table
