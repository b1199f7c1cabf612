"""Arrow files: streams and files of record batches, as Hugging Face's `save_to_disk` writes
them.
"""

import json
import posixpath
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa

from pairmill.sources.base import Input, NoInput, Unreadable
from pairmill.sources.parquet_files import first_line
from pairmill.sources.plain_types import plain_type
from pairmill.sources.rows import MAX_COLUMNS, Part, Rows, row_place
from pairmill.sources.sound_values import damaged, readable

BATCH_ROWS = 256
BATCH_BYTES = 2**25
MAGIC = b"ARROW1"


@contextmanager
def batches_of(item: Input) -> Iterator[tuple[pa.Schema, Iterator[pa.RecordBatch]]]:
    """(schema, record batches) of a file in either of Arrow's formats."""
    local = item.url.startswith("file://")
    stream: Any = (
        pa.memory_map(item.url.removeprefix("file://"))
        if local and item.size_bytes
        else fsspec.open(item.url, "rb").open()
    )
    try:
        head = stream.read(len(MAGIC))
        stream.seek(0)
        if head == MAGIC:
            file = pa.ipc.open_file(stream)
            yield file.schema, (file.get_batch(i) for i in range(file.num_record_batches))
        else:
            reader = pa.ipc.open_stream(stream)
            yield reader.schema, iter(reader)
    finally:
        stream.close()


def arrow_schema(item: Input) -> tuple[pa.Schema, int | None]:
    """The columns in types that we store.

    Raises NoInput for what is not to be read, OSError, ValueError or ArrowException for damage.
    """
    with batches_of(item) as (schema, _):
        if len(schema) > MAX_COLUMNS:
            raise NoInput(f"{item.name} has {len(schema):,} columns, too many")
        fields = [pa.field(f.name, plain_type(f.type)) for f in schema]
        return pa.schema(fields, schema.metadata), None


def arrow_rows(item: Input) -> Iterator[Part]:
    """Rows of every record batch, in pieces by bytes; where the file breaks off, that is told."""
    first = 0
    try:
        with batches_of(item) as (_, batches):
            for batch in batches:
                rows = np.arange(first, first + batch.num_rows)
                first += batch.num_rows
                yield from batch_rows(batch, rows, item.name)
    except (OSError, ValueError, pa.ArrowException) as error:
        yield Unreadable(f"{row_place(item.name, first)} and all behind it", first_line(error))


def batch_rows(batch: pa.RecordBatch, places: np.ndarray, file: str) -> Iterator[Part]:
    """Rows of a record batch, in pieces by bytes; what of it is damaged costs no other rows."""
    try:
        tables = list(pieces(batch))
    except pa.ArrowException as error:  # asked for their size, values that are damaged say so
        yield damaged(file, places, first_line(error))
        return
    given = 0
    for table in tables:
        rows = places[given : given + table.num_rows]
        given += table.num_rows
        yield from readable(Rows(table, rows), file)


def pieces(batch: pa.RecordBatch) -> Iterator[pa.Table]:
    """A record batch as tables of at most BATCH_ROWS rows and about BATCH_BYTES bytes, at least a
    row each.
    """
    each = max(1, batch.nbytes // max(1, batch.num_rows))
    size = max(1, min(BATCH_ROWS, BATCH_BYTES // each))
    for at in range(0, batch.num_rows, size):
        yield pa.Table.from_batches([batch.slice(at, size)])


def saved_by_datasets(items: list[Input]) -> tuple[list[Input], list[tuple[str, str]]]:
    """(files that belong to the data set, those that do not and why).

    Beside `save_to_disk`'s files caches of `map` and `filter` may lie; `state.json` names the ones
    that count.  Raises NoInput where rows were only chosen, not written.
    """
    states: dict[str, dict[str, Any] | None] = {}
    kept, left = [], []
    for item in items:
        folder = posixpath.dirname(item.url)
        if folder not in states:
            states[folder] = state_of(folder)
        state = states[folder]
        if state is None:
            kept.append(item)
            continue
        if state.get("_indices_files"):
            raise NoInput(
                f"{folder} was saved with an index of the chosen rows; "
                "call flatten_indices() before save_to_disk()"
            )
        names = {f.get("filename") for f in state.get("_data_files", [])}
        if posixpath.basename(item.url) in names:
            kept.append(item)
        else:
            left.append((item.name, "not among the files that state.json names"))
    return kept, left


def state_of(folder: str) -> dict[str, Any] | None:
    """What `save_to_disk` left as `state.json` in a folder; None where there is none that can be
    read.
    """
    system, path = fsspec.core.url_to_fs(f"{folder}/state.json")
    try:
        state = json.loads(system.cat_file(path))
    except (OSError, ValueError):
        return None
    return state if isinstance(state, dict) else None
