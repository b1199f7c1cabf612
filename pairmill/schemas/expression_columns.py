"""The columns that an expression names, known before the columns' types are."""

import sqlglot
from sqlglot import exp


def columns_of(text: str) -> list[str]:
    """Names in order of the alphabet; none where the text is no SQL, which compiling it tells."""
    try:
        tree = sqlglot.parse_one(text, read="postgres")
    except (sqlglot.errors.SqlglotError, RecursionError):
        return []
    return sorted({c.name for c in tree.find_all(exp.Column)})
