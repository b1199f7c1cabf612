"""Columns of other rows that a row names: bought together, cited, taken at the same place."""

from typing import Annotated, Literal

import numpy as np
import polars as pl
import pyarrow as pa
from pydantic import Field

from pairmill.schemas.arrow import column, is_list, is_payload
from pairmill.schemas.config import COLUMN, SPEED, StageConfig
from pairmill.schemas.expressions import frame_of
from pairmill.stages.base import GlobalStage


class RelatedConfig(StageConfig):
    """Looks up the rows that a row names, and brings columns of theirs: what was bought with it
    (SLIP), what it cites (MAGB), what else its study holds (Libra).

    `{stage: related, by: bought_with, key: product, columns: [text]}` writes `related_text`, a list
    of texts that prompts and packages take.  Behind `neighbours` and `minimal_pair`, which name
    rows by uid, `{stage: related, by: neighbours, columns: [text]}`.  Only rows that live are
    found, so it stands behind the gates.
    """

    stage: Annotated[Literal["related"], SPEED] = "related"
    by: Annotated[str, COLUMN]
    """Column with a name of other rows, or with a list of names."""
    key: Annotated[str, COLUMN] = "uid"
    """Column that holds the rows' own names; several rows may have one name."""
    columns: Annotated[list[str], COLUMN] = Field([], max_length=32)
    """Columns of the rows that are found, each brought as a list."""
    own: bool = False
    """Whether the row itself counts where it names itself, as a soft target does."""
    limit: int | None = Field(None, ge=1)
    """Most rows that are brought, the first ones named."""


class RelatedStage(GlobalStage):
    """`related`: uids of the living rows that the row names, in the order in which it names them,
    rows of one name by uid, each once, and not the row itself unless `own`;
    `related_dangling`: how many names no living row has; `related_<column>`: the columns' values,
    in the order of `related`.
    """

    Config = RelatedConfig
    prefix = "related"

    def bind(self, schema: pa.Schema) -> None:
        """Learns the types of the columns, and checks that names can be compared."""
        config = self.config
        self.types = {n: schema.field(n).type for n in config.columns if n in schema.names}
        if payload := [n for n, kind in self.types.items() if is_payload(kind)]:
            raise ValueError(
                f"{payload[0]!r} holds bytes, which are not brought from other rows; bring what "
                "names them, such as `url`"
            )
        sides = [
            schema.field(n).type if n in schema.names else pa.string()
            for n in (config.by, config.key)
        ]
        named = sides[0].value_type if is_list(sides[0]) else sides[0]
        for name, kind in ((config.by, named), (config.key, sides[1])):
            if not (is_text(kind) or pa.types.is_integer(kind)):
                raise ValueError(f"{name!r} is {kind}; rows are named by texts or whole numbers")
        if is_text(named) != is_text(sides[1]):
            raise ValueError(
                f"{config.by!r} names rows by {named}, and {config.key!r} is {sides[1]}"
            )

    def reads(self) -> list[str]:
        every = dict.fromkeys([self.config.by, self.config.key, *self.config.columns])
        return [name for name in every if name != "uid"]

    def may_lack(self) -> list[str]:
        return self.reads()

    def writes(self) -> pa.Schema:
        c, by = self.column, self.config.by
        types = getattr(self, "types", {})
        brought = [
            column(c(name), pa.list_(types.get(name, pa.string())), f"`{name}` of these rows")
            for name in self.config.columns
        ]
        return pa.schema(
            [
                column(c(), pa.list_(pa.string()), f"uids of the living rows that `{by}` names"),
                column(c("dangling"), pa.int32(), "names that no living row has", "names", 0),
                *brought,
            ]
        )

    def __call__(self, rows: pa.Table) -> pa.Table:
        config, count = self.config, rows.num_rows
        self.types = {name: rows.schema.field(name).type for name in config.columns}
        frame = frame_of(rows.select(list(dict.fromkeys(["uid", config.by, config.key]))))
        named = frame.select(pl.int_range(pl.len()).alias("row"), pl.col(config.by).alias("name"))
        if isinstance(named.schema["name"], pl.List | pl.Array):
            named = named.explode("name")
        named = named.drop_nulls("name").with_columns(pl.int_range(pl.len()).alias("turn"))
        own = frame.select(
            pl.col(config.key).alias("name"), pl.int_range(pl.len()).alias("other"), "uid"
        ).drop_nulls("name")
        met = named.join(own, on="name", how="left").sort("row", "turn", "uid", nulls_last=True)
        missed = met.filter(pl.col("other").is_null())["row"].to_numpy()
        met = met.filter(pl.lit(config.own) | (pl.col("other") != pl.col("row")))
        met = met.drop_nulls("other")
        met = met.unique(["row", "other"], keep="first", maintain_order=True)
        if config.limit is not None:
            met = met.group_by("row", maintain_order=True).head(config.limit)
        ends = np.cumsum(np.bincount(met["row"].to_numpy(), minlength=count))
        offsets = pa.array(np.concatenate([[0], ends]), pa.int32())
        others = pa.array(met["other"].to_numpy())
        columns = [
            pa.ListArray.from_arrays(offsets, rows.column(name).combine_chunks().take(others))
            for name in ("uid", *config.columns)
        ]
        dangling = pa.array(np.bincount(missed, minlength=count), pa.int32())
        schema = self.writes()
        answers = [columns[0], dangling, *columns[1:]]
        return pa.table(
            [a.cast(f.type) for a, f in zip(answers, schema, strict=True)], schema=schema
        )


def is_text(kind: pa.DataType) -> bool:
    """Whether values are texts, of either width."""
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)
