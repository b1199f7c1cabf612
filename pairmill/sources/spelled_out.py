"""Objects and lists in columns of text: they are kept as JSON, which is told."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from pairmill.sources.base import Remark

AMONG_TEXTS = "objects and lists among texts"
"""Some rows have a text, others an object: perhaps not what was meant."""
ALONE = "objects and lists as JSON text"
"""No row has anything else: the column has no other form."""


def spelled_out(
    rows: Sequence[Mapping[str, Any]], schema: pa.Schema, place: Callable[[int], str]
) -> Iterator[Remark]:
    """A remark for each column of text in which objects or lists stand; `place`: of a row, by its
    number among `rows`.
    """
    for field in schema:
        if not pa.types.is_string(field.type):
            continue
        values = [row.get(field.name) for row in rows]
        nested = [i for i, value in enumerate(values) if isinstance(value, dict | list)]
        if nested:
            others = sum(value is not None for value in values) - len(nested)
            kind = AMONG_TEXTS if others else ALONE
            what = f"column {field.name!r}: kept as JSON"
            yield Remark(kind, place(nested[0]), what, len(nested))
