"""Rows of Lance data sets."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyarrow as pa

from pairmill.errors import MissingPackage
from pairmill.sources.arrow_files import BATCH_ROWS, batch_rows
from pairmill.sources.base import Input, NoInput, Unreadable
from pairmill.sources.parquet_files import first_line
from pairmill.sources.plain_types import plain_type
from pairmill.sources.rows import Part, row_place
from pairmill.sources.table_config import TableConfig


def opened(item: Input) -> Any:
    """The Lance data set; raises MissingPackage without `pylance`, NoInput where it is none, and
    OSError or ValueError for damage.
    """
    try:
        import lance
    except ModuleNotFoundError:
        raise MissingPackage("pylance", "a source of type lance", "lance") from None
    try:
        with panics_told():
            return lance.dataset(item.url.removeprefix("file://"))
    except (OSError, ValueError) as error:
        if "was not found" not in str(error):
            raise
        raise NoInput(f"{item.name} is no Lance data set: {first_line(error)}") from None


@contextmanager
def panics_told() -> Iterator[None]:
    """Turns the end of Lance's own thread, as over a damaged file, into a ValueError: it is no
    Exception of Python's.
    """
    try:
        yield
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise ValueError(f"Lance cannot read it: {first_line(error)}") from None


def lance_schema(item: Input, config: TableConfig) -> tuple[pa.Schema, int | None]:
    """(columns of a Lance data set, its number of rows)."""
    dataset = opened(item)
    fields = [pa.field(f.name, plain_type(f.type)) for f in dataset.schema]
    return pa.schema(fields, dataset.schema.metadata), dataset.count_rows()


def lance_rows(item: Input, config: TableConfig) -> Iterator[Part]:
    """Rows of every batch; the count is compared with the data set's own."""
    dataset = opened(item)
    first = 0
    fault = "the data set holds fewer rows than it says"
    batches = dataset.to_batches(batch_size=BATCH_ROWS)
    try:
        while True:
            with panics_told():
                batch = next(batches, None)
            if batch is None:
                break
            places = np.arange(first, first + batch.num_rows)
            first += batch.num_rows
            yield from batch_rows(batch, places, item.name)
    except (OSError, ValueError, pa.ArrowException) as error:
        fault = first_line(error)
    if missing := dataset.count_rows() - first:
        yield Unreadable(row_place(item.name, first), fault, rows=missing)
