"""`each`: rows of the elements of a list column, and the columns that come back of them."""

from typing import Annotated, Any, Literal

import pyarrow as pa
from pydantic import Field, SerializeAsAny, model_validator

from pairmill.schemas.arrow import column
from pairmill.schemas.config import SPEED, StageConfig
from pairmill.stages.base import Stage

BLOCK_KEYS = ("each", "name", "stages", "collect", "limit")
"""The keys of a block; all others of a stage belong to the stages in it."""


class EachConfig(StageConfig):
    """The elements of a list column as rows of a child table; stages run over them, gates drop
    elements and never their parents, and columns may be brought back as lists.
    """

    stage: Annotated[Literal["each"], SPEED] = "each"
    each: Annotated[str, SPEED]
    """The list column, of a stage before or of the source.  A struct's fields are columns of the
    child table, any other element is one called like the list; the parent's columns are there, too
    (one that an element hides as `parent_<name>`), beside `parent_uid` and `place`.
    """
    stages: Annotated[list[SerializeAsAny[StageConfig]], SPEED] = []
    """What is computed of each element, and which elements go on: stages, and blocks, as those of
    the pipeline.
    """
    collect: Annotated[list[str], SPEED] = []
    """Columns of the child table that come back as lists, in the order of the elements; null where
    an element was dropped, lacked a value or failed.
    """
    limit: Annotated[int | None, SPEED] = Field(None, ge=1)
    """Elements that are looked at, in order; the others are no rows."""

    @model_validator(mode="after")
    def _keys(self) -> "EachConfig":
        for key in sorted(self.model_fields_set - {"stage", *BLOCK_KEYS}):
            if getattr(self, key) == type(self).model_fields[key].default:
                continue
            raise ValueError(
                f"`{key}:` is a key of stages; write it at one in the block (keys of a block: "
                f"{', '.join(BLOCK_KEYS)})"
            )
        return self

    @property
    def block_name(self) -> str:
        """How the block, and the table of its elements, is called."""
        return self.name or self.each


class CollectStage(Stage):
    """What comes back of a block: made of the child table's columns, not of rows of the parent."""

    Config = EachConfig
    prefix = "each"
    version = 1

    def __init__(self, config: Any, collected: pa.Schema) -> None:
        super().__init__(config)
        self.collected = collected

    def __reduce__(self) -> Any:
        return type(self), (self.config, self.collected)

    @property
    def name(self) -> str:
        return f"each {self.config.block_name}"

    def reads(self) -> list[str]:
        return [self.config.each]

    def may_lack(self) -> list[str]:
        return self.reads()

    def writes(self) -> pa.Schema:
        kept = column(
            f"{self.config.block_name}_kept",
            pa.int32(),
            f"elements of `{self.config.each}` that were kept",
            "",
            0,
        )
        return pa.schema([*map(listed, self.collected), kept])


def listed(field: pa.Field) -> pa.Field:
    """A column of the child table as its parent has it: what it says of itself stays, but for what
    a single value is good for.
    """
    facts = {k.decode(): v.decode() for k, v in (field.metadata or {}).items()}
    kept = {k: v for k, v in facts.items() if k in ("doc", "unit", "volatile")}
    return pa.field(field.name, pa.list_(field.type), metadata=kept or None)
