"""The runs of a workspace: when, how many rows, which gates."""

import re
from datetime import datetime, timezone
from typing import Any

from rich.table import Table
from rich.text import Text

from pairmill.errors import BadRequest
from pairmill.pipeline.run_metrics import FILE as METRICS
from pairmill.pipeline.run_metrics import RunMetrics
from pairmill.safe_output import printable
from pairmill.schemas.pipeline import PipelineConfig
from pairmill.workspace.contents import open_workspace
from pairmill.workspace.run_plan import FILE as PLAN
from pairmill.workspace.run_plan import RunPlan
from pairmill.workspace.storage import Storage


def runs_of(storage: Storage) -> list[dict[str, Any]]:
    """Runs, the newest first: id, when it began (UTC, ISO 8601), rows in and kept (null where it
    has not finished), gates by stage.
    """
    found = []
    for run in storage.folders("runs"):
        if (plan := RunPlan.read(storage, f"runs/{run}")) is None:
            continue
        gates = {stage.name: stage.keep for stage in plan.every_stage() if stage.keep}
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


def last_run(config: PipelineConfig) -> str:
    """Folder of the run of a pipeline that was planned or ended last; raises BadRequest where none
    was.
    """
    storage = open_workspace(config.workspace)
    own = re.compile(rf"{re.escape(config.name)}-[0-9a-f]{{10}}").fullmatch
    times = {}
    for run in filter(own, storage.folders("runs")):
        files = [storage.path(f"runs/{run}/{name}") for name in (PLAN, METRICS)]
        times[run] = max(info.mtime_ns or 0 for info in storage.fs.get_file_info(files))
    if not times:
        raise BadRequest(
            f"{storage.root} holds no run of {config.name!r} yet; `pairmill run` makes one"
        )
    return storage.path(f"runs/{max(times, key=lambda run: (times[run], run))}")


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
