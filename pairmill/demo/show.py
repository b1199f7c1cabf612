"""`pairmill demo`: the main job on the generated web, then how good it was."""

import os
from pathlib import Path
from shutil import copyfile
from time import monotonic

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pairmill.demo.quality import Measure, measures, scored_rows
from pairmill.demo.server import running
from pairmill.demo.tables import write_world
from pairmill.demo.world import World
from pairmill.texts.amounts import amount

HERE = Path(__file__).parent
MODELS = HERE / "models"


def run_demo(folder: Path, rows: int, out: Console, err: Console, seed: int = 0) -> list[Measure]:
    """Writes the world and the pipeline file into `folder`, runs it, prints funnel, package, report
    and quality.
    """
    from pairmill.api import Pipeline, silence_libraries
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
        result = Pipeline.from_yaml(file).run(console=err, replace=True)
    found = measures(scored_rows(result.table(), truth))
    out.print(funnel_table(result.funnel))
    out.print(quality_table(found))
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
