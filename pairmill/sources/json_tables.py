"""JSON documents as tables."""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa

from pairmill.sources.base import Input, NoInput, Remark, Unreadable
from pairmill.sources.json_columns import JsonShape, columns_of
from pairmill.sources.json_documents import document_of, first_byte, not_finite, opened
from pairmill.sources.rows import Part, Rows
from pairmill.sources.spelled_out import spelled_out
from pairmill.sources.table_config import PairsConfig, TableConfig
from pairmill.sources.unpacking import packing_of
from pairmill.sources.widening import unsettled

BATCH_ROWS = 1024
ANSWERERS = {"gpt", "assistant", "model", "chatgpt", "bard"}


def may_be_document(name: str) -> bool:
    """Whether a file's suffix is `.json`, packed or not."""
    packing = packing_of(name) or ""
    return name.lower().removesuffix(packing).endswith(".json")


def is_document(item: Input) -> bool:
    """Whether a `.json` is one document, and no lines of JSON."""
    first = first_byte(item)
    if first != b"{":
        return first == b"["
    with opened(item) as stream:
        head = stream.read(2**20).strip()
    line, _, rest = head.partition(b"\n")
    return not (line.rstrip().endswith(b"}") and rest.lstrip().startswith(b"{"))


def json_document_schema(item: Input, config: TableConfig) -> tuple[pa.Schema, int | None]:
    """(columns of a JSON document, its rows where their number is known)."""
    return schema_of(item, config.json_path if isinstance(config, PairsConfig) else None)


@lru_cache(256)
def schema_of(item: Input, rows: str | None) -> tuple[pa.Schema, int]:
    """The columns of a document's rows by a look at all of them, and how many rows there are."""
    shape, count = JsonShape(), 0
    for record in document_of(item, rows).rows():
        if isinstance(record, dict):
            shape.see(with_answer(record))
            count += 1
    if not count:
        raise NoInput(f"{item.name} holds no row")
    unseen = shape.unseen()
    fields = [(f.name, unsettled(f.type) if f.name in unseen else f.type) for f in shape.schema()]
    return pa.schema(fields), count


def json_document_rows(item: Input, config: TableConfig) -> Iterator[Part]:
    """The rows of a JSON document as tables of at most BATCH_ROWS rows, and what of it cannot be
    read.
    """
    rows = config.json_path if isinstance(config, PairsConfig) else None
    schema, _ = schema_of(item, rows)
    batch: list[dict[str, Any]] = []
    first = 0
    for record in document_of(item, rows).rows():
        if isinstance(record, Unreadable | Remark):
            yield record
            continue
        batch.append(with_answer(record))
        if len(batch) == BATCH_ROWS:
            yield from table(item, batch, schema, first)
            first += len(batch)
            batch = []
    if batch:
        yield from table(item, batch, schema, first)
    if count := not_finite(item):
        yield Remark("numbers that JSON does not know", item.name, "NaN or Infinity: null", count)


def table(
    item: Input, batch: list[dict[str, Any]], schema: pa.Schema, first: int
) -> Iterator[Part]:
    """The rows of a batch as a table, and a remark on the values that have no column; `first`: the
    number of the first of them.
    """
    made, _, count = columns_of(batch, schema)
    if count:
        what = "values of keys that few rows have, beyond a thousand keys"
        yield Remark("values left out", item.name, what, count)
    yield from spelled_out(batch, schema, lambda i: f"{item.name} row {first + i}")
    yield Rows(made, np.arange(first, first + len(batch)))


def with_answer(record: dict[str, Any]) -> dict[str, Any]:
    """A row of conversations, as LLaVA and ShareGPT4V have them, with the first answer as text."""
    turns = record.get("conversations") or record.get("messages")
    if not isinstance(turns, list) or {"text", "caption"} & set(record):
        return record
    for turn in turns:
        who = turn.get("from") or turn.get("role") if isinstance(turn, dict) else None
        if who in ANSWERERS:
            said = turn.get("value") or turn.get("content")
            return record | {"text": said} if isinstance(said, str) else record
    return record
