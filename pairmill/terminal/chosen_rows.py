"""Rows of a run that an expression chooses: on the terminal, or into a file."""

import re
from pathlib import Path
from typing import Any

import polars as pl
from rich.table import Table
from rich.text import Text

from pairmill.errors import BadRequest
from pairmill.safe_output import printable
from pairmill.terminal.inspecting import brief
from pairmill.texts.amounts import amount

WRITERS = (".csv", ".jsonl", ".parquet")


TELLING = ("fate", "stage", "reason", "text")
"""Columns that are shown first where not all have room."""
LEAST_WIDTH = 14
"""Of a column of a table, its lines included."""


def rows_table(
    rows: pl.DataFrame, count: int, width: int | None = None, where: str | None = None
) -> Table:
    """The first `count` rows; columns that are null in all of them are left out, and so are, with a
    word, those for which a terminal of this width has no room: last those that `where` reads.
    """
    head = rows.head(count)
    shown = [c for c in head.columns if c not in ("shard", "row") and head[c].null_count() < count]
    most = len(shown) if width is None else max(1, width // LEAST_WIDTH)
    title = f"{amount(rows.height, 'row')}, the first {head.height}"
    if len(shown) > most:
        title += f"; {len(shown) - most} more columns: --columns names those to show"
        first = ["uid", *re.findall(r"\w+", where or ""), *TELLING]
        shown = sorted(shown, key=lambda c: first.index(c) if c in first else len(first))[:most]
    table = Table(title=title, title_justify="left")
    for name in shown:
        table.add_column(Text(printable(name)), overflow="fold", max_width=40)
    for row in head.select(shown).iter_rows():
        table.add_row(*(Text(cell(value)) for value in row))
    return table


def cell(value: Any) -> str:
    """A value in a table's cell."""
    if value is None:
        return ""
    if isinstance(value, float):
        return brief(value)
    text = printable(str(value.to_list() if isinstance(value, pl.Series) else value))
    return text if len(text) <= 120 else text[:117] + "…"


def check_file(path: Path) -> None:
    """Raises BadRequest where rows cannot be written to a file of this name."""
    if path.suffix.lower() not in WRITERS:
        raise BadRequest(f"{path}: a file ends in {', '.join(WRITERS)}")
    if path.exists():
        raise BadRequest(f"{path} is there already; name another file")
    if not path.absolute().parent.is_dir():
        raise BadRequest(f"{path}: there is no folder {path.absolute().parent}")


def write_rows(rows: pl.DataFrame, path: Path) -> None:
    """Into a CSV, JSON Lines or Parquet file, by its ending; raises BadRequest."""
    check_file(path)
    kind = path.suffix.lower()
    if kind == ".parquet":
        rows.write_parquet(path)
    elif kind == ".jsonl":
        rows.write_ndjson(path)
    else:
        nested = [n for n, t in rows.schema.items() if t.is_nested()]
        if nested:
            raise BadRequest(
                f"{path}: CSV has no form for {', '.join(nested)}; write Parquet or JSON Lines, or "
                "name other --columns"
            )
        rows.write_csv(path)
