"""For each row the rows that are nearest to it by embeddings: negatives, soft targets, company."""

from typing import Annotated, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator

from pairmill.models.vectors import check_embeddings, shared_length, units_of, unlike
from pairmill.schemas.arrow import column, is_payload
from pairmill.schemas.config import COLUMN, SPEED, StageConfig
from pairmill.schemas.expression_columns import columns_of
from pairmill.schemas.expressions import compile_expression, frame_of
from pairmill.stages.base import GlobalStage

BLOCK = 512
"""Rows that are compared with all others at once."""


class NeighboursConfig(StageConfig):
    """The rows nearest to each row by stored embeddings; `related` brings their columns.

    Hard negatives of a rank band (NV-Embed, VLM2Vec): `{stage: neighbours, by: [[image_embedding,
    text_embedding]], top: 4, skip: 2, margin: 0.05}`, whose last key leaves out what may be right,
    too.  Soft targets of several teachers (TeachText, ALBEF): two pairs in `by`, and `scale`.
    Pictures that go together (MMRA): `by: [[image_embedding, image_embedding]], below: 0.98`.
    """

    stage: Annotated[Literal["neighbours"], SPEED] = "neighbours"
    by: Annotated[list[list[str]], COLUMN] = Field(min_length=1, max_length=8)
    """Pairs of columns with embeddings: the row's own, and that of the rows it is compared with.
    Of several pairs the mean of the cosines counts.
    """
    top: int = Field(8, ge=1, le=1000)
    """Neighbours of a row, the nearest first."""
    skip: int = Field(0, ge=0, le=100_000)
    """Nearest ones that are left out in front of them."""
    below: float | None = Field(None, ge=-1, le=1)
    """Rows that are as near as this or nearer are none: the same thing once more."""
    margin: float | None = Field(None, ge=-2, le=2)
    """Rows that are nearer than the row's own other side less this are none: they may be as right
    as it is (NV-Retriever's positive-aware mining).
    """
    least: float | None = Field(None, ge=-1, le=1)
    """Rows that are farther than this are none."""
    among: str | None = None
    """Expression: only rows for which it is true are neighbours, such as `source = 'captioned'`."""
    own: bool = False
    """Whether the row itself may be among them: its own text, for soft targets."""
    scale: float | None = Field(None, gt=0, le=1000)
    """What likeness is multiplied by before a softmax over all rows: `neighbours_weights` and
    `neighbours_own`.  A CLIP's own scale is 100.
    """

    @model_validator(mode="after")
    def in_pairs(self) -> "NeighboursConfig":
        if any(len(pair) != 2 for pair in self.by):
            raise ValueError("`by` is a list of pairs: `[[image_embedding, text_embedding]]`")
        return self


class NeighboursStage(GlobalStage):
    """`neighbours`: uids, the nearest first; `neighbours_likeness`: the cosines.  With `scale`,
    `neighbours_weights`: their part of a softmax over all rows that `among` allows, and
    `neighbours_own`: the row's own part, null where it is none of these.

    Rows with equal vectors count as one, that of the first uid, so that a text that many rows have
    is one target.  Equal cosines are decided by uid.
    """

    Config = NeighboursConfig
    prefix = "neighbours"
    version = 2

    def bind(self, schema: pa.Schema) -> None:
        """Checks that embeddings can be compared, and that `among` is true or false."""
        for pair in self.config.by:
            check_embeddings(schema, *pair)
        if self.config.among is None:
            return
        plain = pa.schema([f for f in schema if not is_payload(f.type)])
        kind = compile_expression(self.config.among, plain)[1]
        if str(kind) != "Boolean":
            raise ValueError(f"`among: {self.config.among}` is {kind}, neither true nor false")

    def vectors(self) -> list[str]:
        """Columns of embeddings."""
        return list(dict.fromkeys(name for pair in self.config.by for name in pair))

    def reads(self) -> list[str]:
        among = columns_of(self.config.among) if self.config.among else []
        return list(dict.fromkeys([*self.vectors(), *(n for n in among if n != "uid")]))

    def may_lack(self) -> list[str]:
        return [name for name in self.reads() if name not in self.vectors()]

    def writes(self) -> pa.Schema:
        c, real = self.column, pa.float32()
        fields = [
            column(c(), pa.list_(pa.string()), "uids of the nearest rows, the nearest first"),
            column(c("likeness"), pa.list_(real), "their cosines", "", -1, 1),
        ]
        if self.config.scale is not None:
            doc = "their softmax weights among all rows"
            fields += [
                column(c("weights"), pa.list_(real), doc, "", 0, 1),
                column(c("own"), real, "softmax weight of the row itself", "", 0, 1, role="score"),
            ]
        return pa.schema(fields)

    def notes(self) -> list[str]:
        return [f"{self.name}: compares each row with each other: 100,000 take minutes"]

    def __call__(self, rows: pa.Table) -> pa.Table:
        if not rows.num_rows:
            return self.writes().empty_table()
        # by uid, so that the order of rows does not decide between equals
        uids = np.array(rows.column("uid").to_pylist(), dtype=object)
        order = np.argsort(uids, kind="stable")
        asking, asked, sound = self.sides(rows.take(pa.array(order)))
        every, member = distinct(asked, self.may_be(rows)[order])
        found = [
            self.nearest(asking[i : i + BLOCK], asked[every], member[i : i + BLOCK])
            for i in range(0, len(order), BLOCK)
        ]
        counts, places, likeness, weights, own = map(np.concatenate, zip(*found, strict=True))
        back = np.argsort(order)
        ends = np.concatenate([[0], np.cumsum(counts)])
        offsets = pa.array(ends, pa.int32())
        names = pa.array(uids[order][every][places], pa.string())
        lists = [names, pa.array(likeness, pa.float32())]
        lists += [pa.array(weights, pa.float32())] * (self.config.scale is not None)
        columns = [
            pa.ListArray.from_arrays(offsets, values).take(pa.array(back)) for values in lists
        ]
        if self.config.scale is not None:
            columns.append(pa.array(own[back], pa.float32(), from_pandas=True))
        table = pa.table(columns, schema=self.writes())
        return table.append_column("error", unlike(sound[back], *self.vectors()))

    def sides(self, rows: pa.Table) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(what each row asks with, what it is found by, float32 (n, d), NaN in rows without a
        vector of some pair; which rows have all, bool (n,)): products are mean cosines.
        """
        asking, asked, sound = [], [], np.ones(rows.num_rows, bool)
        for pair in self.config.by:
            length = shared_length(self.name, pair, rows)
            (own, is_own), (other, is_other) = (units_of(rows.column(n), length) for n in pair)
            asking.append(own / len(self.config.by))
            asked.append(other)
            sound &= is_own & is_other
        both = np.hstack(asking), np.hstack(asked)
        for side in both:
            side[~sound] = np.nan
        return *both, sound

    def may_be(self, rows: pa.Table) -> np.ndarray:
        """Whether each row may be a neighbour, bool, (n,)."""
        if self.config.among is None:
            return np.ones(rows.num_rows, bool)
        plain = rows.select([n for n in rows.column_names if n not in self.vectors()])
        expression, _ = compile_expression(self.config.among, plain.schema)
        return expression.evaluate(frame_of(plain)).fill_null(False).to_numpy().astype(bool)

    def nearest(self, asking: np.ndarray, asked: np.ndarray, own: np.ndarray) -> tuple[np.ndarray,
                ...]:  # fmt: skip
        """Of some rows: how many neighbours each has, then of all of them, row by row, which of
        `asked`, the cosines and the weights, and of each row its own weight.  `own`: which of
        `asked` the row itself is, -1 where it is none.
        """
        config, count = self.config, len(asking)
        likeness = asking @ asked.T if len(asked) else np.zeros((count, 0), np.float32)
        sound = np.isfinite(asking).all(1)
        likeness[~sound] = -np.inf
        mine, there = np.arange(count)[own >= 0], own[own >= 0]
        weights, kept = np.zeros_like(likeness), np.full(count, np.nan)
        if config.scale is not None and likeness.shape[1]:
            with np.errstate(invalid="ignore"):
                raised = config.scale * (likeness - likeness.max(1, keepdims=True))
            raised = np.exp(np.where(np.isfinite(raised), raised, -np.inf))
            weights = raised / np.maximum(raised.sum(1, keepdims=True), 1e-30)
            kept[mine] = weights[mine, there]
            kept[~sound] = np.nan
        possible = np.isfinite(likeness)
        if not config.own:
            possible[mine, there] = False
        if config.below is not None:
            near = likeness >= config.below
            near[mine, there] = False
            possible &= ~near
        if config.margin is not None and len(mine):
            limit = likeness[mine, there][:, None] - config.margin
            possible[mine] &= likeness[mine] <= limit
        if config.least is not None:
            possible &= likeness >= config.least
        ranked = np.where(possible, likeness, -np.inf)
        places = [best(row, config.skip, config.top) for row in ranked]
        counts = np.array([len(p) for p in places])
        at = (np.repeat(np.arange(count), counts), np.concatenate([*places, np.zeros(0, int)]))
        at = (at[0], at[1].astype(np.int64))
        return counts, at[1], likeness[at], weights[at], kept


def best(values: np.ndarray, skip: int, top: int) -> np.ndarray:
    """Places of the largest finite values behind the first `skip`, equal ones by place."""
    wanted = min(skip + top, len(values))
    if not wanted:
        return np.zeros(0, np.int64)
    cut = np.partition(values, len(values) - wanted)[len(values) - wanted]
    places = np.flatnonzero((values >= cut) & np.isfinite(values))
    return places[np.argsort(-values[places], kind="stable")][skip : skip + top]


def distinct(vectors: np.ndarray, allowed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(the first row of each different vector among those that are allowed and known, which of
    these each row is, -1 for none of them).
    """
    known = np.flatnonzero(allowed & np.isfinite(vectors).all(1))
    keys = [vectors[i].tobytes() for i in range(len(vectors))]
    first: dict[bytes, int] = {}
    for place in known.tolist():
        first.setdefault(keys[place], place)
    number = {key: i for i, key in enumerate(first)}
    return (
        np.array(list(first.values()), np.int64),
        np.array([number.get(key, -1) for key in keys], np.int64),
    )
