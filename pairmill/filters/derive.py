"""A column made of others by an expression: levels, weights, flags, choices."""

from typing import Annotated, Literal

import pyarrow as pa
from pydantic import Field

from pairmill.schemas.arrow import column, is_payload
from pairmill.schemas.config import SPEED, StageConfig
from pairmill.schemas.expression_columns import columns_of
from pairmill.schemas.expressions import compile_expression, frame_of
from pairmill.stages.base import Stage


class DeriveConfig(StageConfig):
    """A column made of others by an SQL expression, under the stage's `name`.

    `{stage: derive, name: weight, expression: "CASE WHEN clip_score > 0.3 THEN 1.0 ELSE 0.5 END"}`
    gives each row a weight that travels in the package.
    """

    stage: Annotated[Literal["derive"], SPEED] = "derive"
    batch_size: Annotated[int, SPEED] = Field(16_384, ge=1, le=65_536)
    """Rows given to the stage at once."""
    expression: str = Field(min_length=1)
    """What the column holds, in the SQL of gates."""


class DeriveStage(Stage):
    """The expression's value, null where it has none.

    Rows whose inputs are null are computed as well, so that `COALESCE` and `IS NULL` mean what they
    say.
    """

    Config = DeriveConfig
    prefix = "derived"
    cpus = 0.25
    takes_nulls = True
    kind = pa.float64()

    def bind(self, schema: pa.Schema) -> None:
        """Learns the type that the expression gives."""
        plain = pa.schema([f for f in schema if not is_payload(f.type)])
        expression, _ = compile_expression(self.config.expression, plain)
        self.kind = plain_type(expression.evaluate(frame_of(plain.empty_table())).to_arrow().type)

    def reads(self) -> list[str]:
        return columns_of(self.config.expression)

    def writes(self) -> pa.Schema:
        doc = f"value of `{self.config.expression}`"
        return pa.schema([column(self.column(), self.kind, doc)])

    def __call__(self, rows: pa.Table) -> pa.Table:
        expression, _ = compile_expression(self.config.expression, rows.schema)
        values = expression.evaluate(frame_of(rows)).to_arrow()
        self.kind = plain_type(values.type)
        return pa.table([values.cast(self.kind)], schema=self.writes())


def plain_type(kind: pa.DataType) -> pa.DataType:
    """The type under which a value is stored: texts of Polars are large ones."""
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pa.string()
    return pa.string() if pa.types.is_null(kind) else kind
