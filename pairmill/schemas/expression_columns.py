"""The columns that an expression names, known before the columns' types are."""

from sqlglot import exp

from pairmill.schemas.sql.parsing import parse
from pairmill.schemas.sql.values import BadExpression


def columns_of(text: str) -> list[str]:
    """Names in order of the alphabet; none where the text is no SQL, which compiling it tells."""
    try:
        tree = parse(text)
    except BadExpression:
        return []
    return sorted(
        {
            node.args["table"].name if node.args.get("table") else node.name
            for node in tree.find_all(exp.Column)
        }
    )
