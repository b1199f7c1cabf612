"""Choose the best rows of the whole set: a top share, a number, or a budget, per group if asked."""

import json
from typing import Annotated, Any, Literal

import numpy as np
import polars as pl
import pyarrow as pa
from pydantic import Field, model_validator

from pairmill.schemas.arrow import QUOTAS, column, is_payload
from pairmill.schemas.config import SPEED, StageConfig
from pairmill.schemas.expression_columns import columns_of
from pairmill.schemas.expressions import BadExpression, compile_expression, frame_of
from pairmill.schemas.group_names import group_names
from pairmill.schemas.hashing import row_chance
from pairmill.stages.base import GlobalStage
from pairmill.stages.select import choice

REASONS = np.array(["chosen", "below the cut of its group", "no score"])


class SelectConfig(StageConfig):
    """The best rows by an expression; `keep: selected` leaves them alone.

    `{stage: select, by: clip_score, fraction: 0.3, keep: selected}` is DataComp's CLIP filter;
    `{by: quality, budget: 10000000, cost: text_words, per: [lang], quotas: {zh: 1, en: 1}}` fills
    ten million words with Chinese and English in equal parts.
    """

    stage: Annotated[Literal["select"], SPEED] = "select"
    by: str = Field(min_length=1)
    """Column or expression; the largest values are chosen first."""
    fraction: float | None = Field(None, gt=0, le=1)
    """Share of the rows, of each group by itself."""
    of: Literal["scored", "all"] = "scored"
    """What `fraction` is a share of: rows with a score, or `all` that come, as DataComp counts; its
    threshold then is no number, and nothing is chosen, where fewer rows have a score.
    """
    budget: float | None = Field(None, gt=0)
    """What is chosen in all: rows, or what `cost` counts; the first that does not fit ends it."""
    cost: str | None = None
    """Column or expression that a row takes from the budget, such as `text_words`; 1 if absent."""
    per: list[str] = Field([], max_length=4)
    """Columns whose values make groups, such as `[lang]`."""
    shares: Literal["equal", "proportional"] = "equal"
    """How groups share the budget; what a small group leaves goes to the others."""
    quotas: dict[str, float] = {}
    """Ratio of the groups' budgets by value, such as `{zh: 1, en: 1}`, of several columns joined by
    ` / ` (a slash in a value that would read so is written `\\/`); groups that are not named get
    nothing.
    """
    short: Literal["shrink", "fill"] = "shrink"
    """Where a group has less than its quota: the total shrinks so that the ratio holds (to nothing
    where a named group has no row), or other groups fill it."""
    ties: Literal["keep", "cut"] = "keep"
    """With `fraction`: rows that equal the last chosen stay, as in DataComp, or uids decide."""
    control: bool = False
    """Whether as many rows of each group are drawn by chance beside, to compare with."""
    seed: int | None = Field(None, ge=0, le=2**32 - 1)
    """Seed of `control`, the pipeline's if absent."""

    @model_validator(mode="after")
    def one_size(self) -> "SelectConfig":
        if (self.fraction is None) == (self.budget is None and not self.quotas):
            raise ValueError("give `fraction`, or `budget` (or `quotas` alone), and not both")
        if self.quotas and not self.per:
            raise ValueError("`quotas` needs `per`: the columns whose values it names")
        if any(not 0 <= q < float("inf") for q in self.quotas.values()) or (
            self.quotas and not any(self.quotas.values())
        ):
            raise ValueError("`quotas` are numbers from 0, not all of them 0")
        if self.of == "all" and self.fraction is None:
            raise ValueError("`of: all` goes with `fraction`")
        if self.cost is not None and self.fraction is not None:
            raise ValueError("`cost` goes with `budget`; `fraction` counts rows")
        return self


class SelectStage(GlobalStage):
    """`selected`, and why.  Equal scores are decided by uid, never by the place of a row; the
    result is the same for any order of rows and any number of partitions.
    """

    Config = SelectConfig
    prefix = "selected"
    version = 3

    def bind(self, schema: pa.Schema) -> None:
        """Checks that score and cost are numbers."""
        plain = pa.schema([f for f in schema if not is_payload(f.type)])
        for key, text in (("by", self.config.by), ("cost", self.config.cost)):
            if text is not None and not compile_expression(text, plain)[1].is_numeric():
                raise BadExpression(f"`{key}: {text}` is no number, and rows are chosen by numbers")

    def keys(self) -> list[str]:
        return list(self.config.per) if self.config.fraction is not None else []

    def reads(self) -> list[str]:
        texts = [self.config.by, *([self.config.cost] if self.config.cost else [])]
        return list(dict.fromkeys([*(c for t in texts for c in columns_of(t)), *self.config.per]))

    def may_lack(self) -> list[str]:
        """Rows without a score count for `of: all`, and are chosen never."""
        return self.reads() if self.config.of == "all" else super().may_lack()

    def writes(self) -> pa.Schema:
        name, doc = self.column(), f"among the best by `{self.config.by}`"
        best = column(name, pa.bool_(), doc, role="chosen")
        fields = [
            best.with_metadata({**(best.metadata or {}), QUOTAS: json.dumps(self.quotas())}),
            column(self.column("reason"), pa.string(), "chosen, or why not", role="choice_reason",
                   of=name),
            column(self.column("rank"), pa.int64(), "place in its group, from 1", "", 1),
        ]  # fmt: skip
        if self.config.control:
            doc = "drawn by chance, as many rows of each group as are selected"
            control = self.column("control")
            fields.append(column(control, pa.bool_(), doc, role="control", of=name))
        return pa.schema(fields)

    def quotas(self) -> dict[str, Any]:
        """The groups, and which shares of the budget they are to have, as the report reads it."""
        config, total = self.config, sum(self.config.quotas.values())
        asked: dict[str, Any] = {"per": config.per}
        if config.quotas:
            asked["requested"] = {name: q / total for name, q in config.quotas.items()}
        elif config.budget is not None and config.per and config.shares == "equal":
            asked["requested"] = {}
        return asked | ({"cost": config.cost} if config.cost else {})

    def __call__(self, rows: pa.Table) -> pa.Table:
        frame = frame_of(rows)
        score = self.numbers(self.config.by, frame, rows.schema)
        cost = self.costs(frame, rows.schema)
        score = np.where(np.isfinite(cost), score, np.nan)
        group, names = groups_of(frame, self.config.per)
        uids = frame["uid"].rank("ordinal").to_numpy().astype(np.int64)
        ranked = choice.ranked(score, group, uids, len(names))
        chosen = self.chosen(score, cost, ranked, names)
        columns = [
            pa.array(chosen),
            pa.array(REASONS[reasons(chosen, score)], pa.string()),
            places(ranked, score),
        ]
        if self.config.control:
            seed = self.config.seed or 0
            chance = np.array(
                [row_chance(uid, seed, "selection control") for uid in frame["uid"].to_list()],
                np.uint64,
            )
            columns.append(pa.array(choice.control(chosen, chance, group, len(names))))
        return pa.table(columns, schema=self.writes())

    def chosen(
        self, score: np.ndarray, cost: np.ndarray, ranked: choice.Ranked, names: list[str]
    ) -> np.ndarray:
        """Whether each row is chosen, bool, (n,)."""
        config = self.config
        if config.fraction is not None:
            every = config.of == "all"
            return choice.top_fraction(score, ranked, config.fraction, config.ties, every)
        ends = ranked.starts[:-1] + ranked.scored
        spans = zip(ranked.starts[:-1], ends, strict=True)
        there = np.array([cost[ranked.order[first:end]].sum() for first, end in spans])
        if config.quotas:
            every = [*names, *(name for name in config.quotas if name not in names)]
            quotas = np.array([config.quotas.get(name, 0.0) for name in every])
            stock = np.append(there, np.zeros(len(every) - len(names)))
            budgets = choice.by_quota(config.budget, stock, quotas, config.short)
            budgets = np.where(quotas > 0, budgets, -1)[: len(names)]  # not even what is free
        else:
            budgets = choice.shared(config.budget, there, config.shares)
        return choice.within_budget(cost, ranked, budgets)

    def costs(self, frame: pl.DataFrame, schema: pa.Schema) -> np.ndarray:
        """What each row takes from the budget, float64, NaN where that is not known."""
        if self.config.cost is None:
            return np.ones(frame.height)
        cost = self.numbers(self.config.cost, frame, schema)
        if (cost < 0).any():
            raise ValueError(f"`cost: {self.config.cost}` is below 0 for some row")
        return cost

    def numbers(self, text: str, frame: pl.DataFrame, schema: pa.Schema) -> np.ndarray:
        """An expression's values as float64, NaN where it has none."""
        expression, _ = compile_expression(text, schema)
        values = expression.evaluate(frame).cast(pl.Float64)
        return values.fill_null(float("nan")).to_numpy()


def groups_of(frame: pl.DataFrame, per: list[str]) -> tuple[np.ndarray, list[str]]:
    """Number of each row's group, int64, and the groups' names in order."""
    if not per:
        return np.zeros(frame.height, np.int64), [""]
    joined = group_names(frame, per)
    names = joined.unique().sort()
    numbers = pl.DataFrame({"name": names, "number": np.arange(len(names), dtype=np.int64)})
    found = pl.DataFrame({"name": joined}).join(numbers, on="name", maintain_order="left")
    return found["number"].to_numpy(), names.to_list()


def reasons(chosen: np.ndarray, score: np.ndarray) -> np.ndarray:
    """Index into REASONS of each row."""
    found = np.full(len(chosen), choice.BELOW)
    found[np.isnan(score)] = choice.NO_SCORE
    found[chosen] = choice.CHOSEN
    return found


def places(ranked: choice.Ranked, score: np.ndarray) -> pa.Array:
    """Place of each row in its group, from 1, null without a score."""
    place = np.empty(len(score), np.int64)
    lengths = np.diff(ranked.starts)
    place[ranked.order] = np.arange(len(score)) - np.repeat(ranked.starts[:-1], lengths) + 1
    return pa.array(place, mask=np.isnan(score))
