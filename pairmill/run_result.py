"""What a run gives to whoever started it: figures, rows, pictures."""

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import polars as pl
from rich.console import Group
from rich.text import Text

from pairmill.fates.ledger import Funnel
from pairmill.fates.run_table import Run
from pairmill.pipeline.findings import lost_rows, package_notes, retry_hint
from pairmill.pipeline.run import RunOutcome
from pairmill.safe_output import SafeConsole, printable
from pairmill.terminal.display import funnel_table
from pairmill.texts.amounts import amount

if TYPE_CHECKING:
    from pairmill.report.gallery import Gallery


@dataclass(frozen=True)
class RunResult:
    """A finished run.

    `funnel`: rows in, kept and lost per step; `packages`: manifests by output path; `folder`: the
    run's folder; `report`: the report's page; `warnings`: what a person has to
    know of it, and do; `notes`: what is worth a word, and no fault.
    """

    run_id: str
    folder: str
    funnel: Funnel
    packages: dict[str, dict[str, Any]]
    report: str
    seconds: dict[str, float]
    run: Run
    """The rows of the run, as tables."""
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    stages: dict[str, dict[str, float]] = field(default_factory=dict)
    """What each stage did in this run, as in metrics.json."""
    elements: dict[str, Run] = field(default_factory=dict)
    """The elements of each `each` block, by its name, as tables."""

    def table(self, columns: Sequence[str] | None = None) -> pl.DataFrame:
        """Every row with its fate and `columns`, all narrow ones if not named (`Run.table`); with
        `.to_arrow()` a pyarrow.Table.
        """
        return self.run.table(columns)

    def rows(
        self,
        columns: Sequence[str] | None = None,
        where: str | None = None,
        fate: str | None = None,
        limit: int | None = None,
    ) -> pl.DataFrame:
        """The rows that fit (`Run.rows`), such as `rows(where="clip_score < 0.2", fate="kept")`."""
        return self.run.rows(columns, where, fate, limit)

    def show(
        self, where: str | None = None, fate: str | None = "kept", count: int = 12
    ) -> "Gallery":
        """Rows with their pictures, for a notebook; the first that fit."""
        from pairmill.report.gallery import gallery

        return gallery(self.run, where, fate, count)

    def lines(self) -> list[Text]:
        """What stands below the funnel at a run's end: packages, report, what to know and do."""
        lines = []
        for path, manifest in self.packages.items():
            held = [amount(manifest[f"{what}s"], what) for what in ("sample", "shard")]
            lines += [f"package: {path} ({' in '.join(held)})"]
            lines += [f"  {note}" for note in package_notes(manifest)]
        lines += [f"report:  {self.report}"] if self.report else []
        lines += [f"run:     {self.folder}"]
        lines += [hint] if (hint := retry_hint(self.funnel)) else []
        lines += lost_rows(self.funnel, self.folder)
        lines += [f"note: {note}" for note in self.notes]
        warnings = [f"warning: {warning}" for warning in self.warnings]
        return [
            *(Text(printable(line)) for line in lines),
            *(Text(printable(line), style="bold yellow") for line in warnings),
        ]

    def __rich__(self) -> Any:
        return Group(funnel_table(self.funnel), *self.lines())

    def _repr_html_(self) -> str:
        console = SafeConsole(record=True, file=io.StringIO(), width=110)
        console.print(funnel_table(self.funnel))
        for line in self.lines():
            console.print(line, soft_wrap=True)
        return console.export_html(inline_styles=True, code_format="<pre>{code}</pre>")


def result_of(outcome: RunOutcome, report: str, fault: str = "") -> RunResult:
    """What a run gives to whoever started it; `fault`: what was wrong with its report, if any."""
    return RunResult(
        outcome.run_id,
        outcome.folder,
        outcome.funnel,
        outcome.packages,
        report,
        outcome.seconds,
        Run(outcome.chain),
        (*outcome.warnings, *([fault] if fault else [])),
        outcome.notes,
        outcome.stages,
        {name: Run(table.chain) for name, table in outcome.tables.items()},
    )
