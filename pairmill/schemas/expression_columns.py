"""The columns that an expression names, known before the columns' types are."""

from pairmill.schemas.sql.values import BadExpression


def columns_of(text: str) -> list[str]:
    """Names in order of the alphabet, of `box.width` the column `box`; none where the text is no
    expression, which compiling it tells.
    """
    from sqlglot import exp  # not needed by who asks for the keys of stages alone

    from pairmill.schemas.sql.parsing import parse

    try:
        return sorted({column.parts[0].name for column in parse(text).find_all(exp.Column)})
    except BadExpression:
        return []
