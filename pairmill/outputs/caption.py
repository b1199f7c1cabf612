"""`caption:` of an output: which text stands for a sample."""

from collections.abc import Iterator

import polars as pl
import pyarrow as pa

from pairmill.outputs.base import ShardRows
from pairmill.outputs.chosen import WITHOUT
from pairmill.outputs.values import holds_bytes
from pairmill.schemas.expressions import (
    BadExpression,
    Expression,
    compile_expression,
    frame_of,
    unknown_column,
)


class CaptionChoice:
    """One SQL expression, or a list of columns of which the first with a text counts."""

    def __init__(self, caption: str | list[str]) -> None:
        self.caption = caption
        self.expression: Expression | None = None
        self.schema: pa.Schema | None = None
        """The columns that it was compiled for."""

    def names(self) -> list[str]:
        """The columns of a preference list, or the expression."""
        return self.caption if isinstance(self.caption, list) else [self.caption]

    def problems(self, schema: pa.Schema) -> Iterator[tuple[tuple[str, ...], str]]:
        """The one problem of `caption:` over these columns, under its key, if it has one."""
        try:
            self.compiled(schema)
        except BadExpression as error:
            yield ("caption",), str(error)

    def compiled(self, schema: pa.Schema) -> Expression:
        """The choice as an expression; raises BadExpression where it reads what is no column, or
        gives no text.
        """
        if self.expression is not None and schema.equals(self.schema):
            return self.expression
        plain = pa.schema([f for f in schema if not holds_bytes(f.type)])
        if isinstance(self.caption, list):
            for name in self.caption:
                if name not in plain.names:
                    raise BadExpression(unknown_column("caption", name, plain.names))
            quoted = ('"' + name.replace('"', '""') + '"' for name in self.caption)
            text = f"COALESCE({', '.join(f'NULLIF({name}, {chr(39) * 2})' for name in quoted)})"
        else:
            text = self.caption
        expression, dtype = compile_expression(text, plain)
        if dtype != pl.String:
            raise BadExpression(f"caption {text!r} gives {dtype}, not a text")
        self.expression, self.schema = expression, schema
        return expression

    def of_shard(self, rows: ShardRows) -> list[str | None]:
        """The text of each row of an output shard; where there is none, that is told."""
        texts = self.of(rows.table)
        asked = not self.compiled(rows.table.schema).columns  # such as `caption: "''"`
        empty = sum(not (text and text.strip()) for text in texts)
        if empty and not asked:
            rows.told[f"{WITHOUT}a caption: nothing that `caption` names holds a text"] += empty
        return texts

    def of(self, rows: pa.Table) -> list[str | None]:
        """The text of each row, null where the choice has none."""
        expression = self.expression or self.compiled(rows.schema)
        read = list(expression.columns) or rows.schema.names[:1]
        return expression.evaluate(frame_of(rows.select(read))).to_list()
