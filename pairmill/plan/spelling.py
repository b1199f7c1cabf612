"""What names decide: nothing.  A stage's own name, and those of the columns that it reads, stand in
no address.
"""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from pairmill.schemas.config import COLUMN, TEMPLATE, StageConfig, marks_of
from pairmill.stages.base import Stage

RESERVED = frozenset({"row", "error"})
"""Columns that a stage's stored file has of its own."""


def without_spelling(
    params: dict[str, Any], config: StageConfig, reads: Sequence[str]
) -> dict[str, Any]:
    """What a stage is told, with columns by their place among those that it reads, so that another
    name of a column, or of the stage that writes it, computes nothing again.
    """
    kind, found = type(config), dict(params)
    for key in [k for k in params if k in kind.model_fields]:
        marks, value = marks_of(kind, key), params[key]
        if COLUMN in marks and isinstance(value, str | list):
            names = value if isinstance(value, list) else [value]
            found[key] = {"columns": [reads.index(n) if n in reads else n for n in names]}
        elif TEMPLATE in marks and isinstance(value, str):
            for place, name in enumerate(reads):
                value = value.replace(f"{{{name}}}", f"{{#{place}}}")
            found[key] = value
    return found


def stored_names(stage: Stage, writes: pa.Schema) -> dict[str, str]:
    """A stage's columns → what they are called where they are stored: as if the stage had no name
    of
    its own.
    """
    own = stage.config.name
    names = {name: plain_name(name, own, stage.prefix) for name in writes.names}
    distinct = len(set(names.values())) == len(names) and not RESERVED & set(names.values())
    return names if distinct else {name: name for name in names}


def plain_name(name: str, own: str | None, prefix: str) -> str:
    """A column's name with the type's prefix in place of the stage's own name."""
    if not own or not (name == own or name.startswith(f"{own}_")):
        return name
    rest = name.removeprefix(own).removeprefix("_")
    return "_".join(part for part in (prefix, rest) if part) or "value"
