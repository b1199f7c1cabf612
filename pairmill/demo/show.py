"""`pairmill demo`: the main job on the generated web, then how good it was."""

import os
from collections.abc import Sequence
from pathlib import Path
from shutil import copyfile
from time import monotonic
from typing import TYPE_CHECKING

import polars as pl
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pairmill.demo.quality import Measure, measures, outcome, scored_rows
from pairmill.demo.server import running
from pairmill.demo.tables import write_world
from pairmill.demo.world import World
from pairmill.texts.amounts import amount

if TYPE_CHECKING:
    from pairmill.run_result import RunResult

HERE = Path(__file__).parent
MODELS = HERE / "models"


def run_demo(folder: Path, rows: int, out: Console, err: Console, seed: int = 0) -> list[Measure]:
    """Writes the world and the pipeline file into `folder`, runs it, prints funnel, package, report
    and quality.
    """
    from pairmill.api import silence_libraries
    from pairmill.terminal.display import funnel_table

    silence_libraries()
    start = monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    _, truth = write_world(World(rows, seed), folder / "world")
    file = folder / "pipeline.yaml"
    copyfile(HERE / "pipeline.yaml", file)
    with running(rows, seed) as resolve:
        os.environ["DEMO_SERVER"] = resolve["*.demo.test"]
        os.environ.setdefault("DEMO_MODELS", str(MODELS))
        result = run_until_fetched(file, truth, err, LONGER_S)
    found = measures(scored_rows(result.table(), truth))
    out.print(funnel_table(result.funnel))
    out.print(quality_table(found))
    for missed in filter(None, (m.missed() for m in found)):
        out.print(Text(missed, style="yellow"), soft_wrap=True)
    for path, manifest in result.packages.items():
        held = f"{amount(manifest['samples'], 'sample')} in {amount(manifest['shards'], 'shard')}"
        out.print(Text(f"package:  {path}  ({held})"), soft_wrap=True)
    out.print(Text(f"pipeline: {file.absolute()}\nreport:   {result.report}"), soft_wrap=True)
    out.print(
        f"done in {monotonic() - start:.0f} s; look closer with `pairmill inspect "
        f"{folder / 'shards'} --verify`",
        highlight=False,
        soft_wrap=True,
    )
    return found


LONGER_S = (16, 32)
"""Timeouts of a download, one after the other; slow servers of the world take a minute."""


def run_until_fetched(
    file: Path, truth: Path, err: Console, longer_s: Sequence[float]
) -> "RunResult":
    """Runs the demo's pipeline, and again with a longer `timeout` while servers that do answer came
    too late: then this machine was busy, and a longer timeout tries such rows again by itself.
    """
    from pairmill.api import Pipeline

    result = Pipeline.from_yaml(file).run(console=err, replace=True)
    for timeout in longer_s:
        late = too_late(scored_rows(result.table(["url"]), truth))
        if not late:
            break
        err.print(f"{amount(late, 'download')} timed out as the machine is busy", highlight=False)
        again = Pipeline.from_yaml(file, {"stages.download.timeout": str(timeout)})
        result = again.run(console=err, replace=True)
    return result


def too_late(rows: pl.DataFrame) -> int:
    """Rows of a run, with the truth, that failed for want of time though their servers answer."""
    came = outcome(rows)
    return rows.filter(
        came.is_in(["timeout", "connect"]) & came.ne(rows["expected_error"].fill_null(""))
    ).height


def quality_table(found: list[Measure]) -> Table:
    """The measures as a table."""
    table = Table(title="Measured against the truth of the generated web", title_justify="left")
    for name, justify in (
        ("measure", "left"),
        ("value", "right"),
        ("rows", "right"),
        ("goal", "right"),
    ):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    for m in found:
        met = m.goal is None or m.value >= m.goal
        table.add_row(
            m.name,
            Text(f"{m.value:.3f}", style="" if met else "yellow"),
            f"{m.rows:,}",
            "" if m.goal is None else f"≥ {m.goal:g}",
        )
    return table
