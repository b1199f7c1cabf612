"""SQL text to a tree, with messages for what people write by habit from elsewhere."""

from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.dialects.postgres import Postgres

from pairmill.schemas.sql.habits import hint, reason
from pairmill.schemas.sql.values import BadExpression

LONGEST = 100_000
"""Characters of an expression; a list of 10,000 words fits."""

TOO_DEEP = "is nested too deeply; compute parts of it in stages of their own, or use IN (…)"


PostgresParser: Any = Postgres.Parser


class Gate(Postgres):
    """Postgres' grammar, in which functions keep their names: which ones there are is our list."""

    class Parser(PostgresParser):
        FUNCTIONS: Any = {}
        FUNCTION_PARSERS = {
            name: parser
            for name, parser in PostgresParser.FUNCTION_PARSERS.items()
            if name in ("CAST", "TRY_CAST", "EXTRACT", "SUBSTRING", "TRIM", "POSITION", "NORMALIZE")
        }
        NO_PAREN_FUNCTIONS: Any = {}


def parse(text: str) -> exp.Expr:
    """The tree of an expression; raises BadExpression."""
    if len(text) > LONGEST:
        raise BadExpression(
            f"{text!r:.60} … has {len(text):,} characters; an expression has at most {LONGEST:,}"
        )
    try:
        tree = sqlglot.parse_one(text, read=Gate)
    except RecursionError:
        raise BadExpression(f"{text!r:.60} … {TOO_DEEP}") from None
    except sqlglot.errors.SqlglotError as error:
        why = reason(error, text)
        joined = "; join comparisons by AND or OR" if why.endswith("not expected there") else ""
        raise BadExpression(f"{text!r} is no SQL expression: {why}{hint(text) or joined}") from None
    return tree


def shown(node: exp.Expr) -> str:
    """A part of an expression as it is named in a message."""
    written = node.sql(dialect=Gate)
    return written if len(written) <= 80 else written[:77] + "…"
