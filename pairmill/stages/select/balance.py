"""Balance over concepts or groups: caps as MetaCLIP's, temperature, ratios."""

import json
from typing import Annotated, Literal

import numpy as np
import polars as pl
import pyarrow as pa
from pydantic import Field, model_validator

from pairmill.schemas.arrow import QUOTAS, column, is_list
from pairmill.schemas.config import SPEED, StageConfig
from pairmill.schemas.expressions import frame_of
from pairmill.schemas.hash_columns import row_chances
from pairmill.stages.base import GlobalStage
from pairmill.stages.select import choice
from pairmill.stages.select.stage import groups_of


class BalanceConfig(StageConfig):
    """Rows of frequent concepts (or languages, sources, …) are thinned; `keep: balanced`.

    `{stage: balance, by: concepts, cap: 20000}` is MetaCLIP's balancing: a row stays with the
    probability that one of its concepts asks for it, min(1, cap / rows that name the concept).
    """

    stage: Annotated[Literal["balance"], SPEED] = "balance"
    by: str
    """Column with the group of a row, or with a list of concepts, as `concepts` writes it."""
    per: list[str] = Field([], max_length=4)
    """Columns whose values are balanced apart, such as `[lang]`: counts, `tail`, caps are theirs.
    """
    cap: int | None = Field(None, ge=1)
    """Rows of a concept; MetaCLIP's t, 20,000 for 400 million pairs.  Of a column with one group a
    row, exactly so many stay; of lists, so many on average by each concept.
    """
    tail: float | None = Field(None, gt=0, lt=1)
    """In place of `cap`: the share of all mentions that is to lie in concepts below the cap, from
    which MetaCLIP 2 finds each language's t (6% of its English mentions).
    """
    temperature: float | None = Field(None, ge=0, le=1)
    """In place of `cap`: groups' shares follow their size to this power; 0 makes them equal, 1
    leaves them."""
    ratio: dict[str, float] = {}
    """In place of `cap`: shares of the groups by value, such as `{zh: 1, en: 1}`; others get
    nothing."""
    budget: int | None = Field(None, ge=1)
    """Rows in all, with `temperature` or `ratio`; as many as the shares allow if absent."""
    short: Literal["shrink", "fill"] = "shrink"
    """Where a group has less than its share: the total shrinks, or others fill it."""
    without: Literal["drop", "keep"] = "drop"
    """What becomes of rows without any concept: MetaCLIP drops them."""
    seed: int | None = Field(None, ge=0, le=2**32 - 1)
    """Seed of the draw, the pipeline's if absent."""

    @model_validator(mode="after")
    def one_way(self) -> "BalanceConfig":
        ways = [k for k in ("cap", "tail", "temperature") if getattr(self, k) is not None]
        if len(ways) + bool(self.ratio) != 1:
            raise ValueError("give one of `cap`, `tail`, `temperature`, `ratio`")
        if self.budget is not None and (self.cap is not None or self.tail is not None):
            raise ValueError("`budget` goes with `temperature` or `ratio`; `cap` is a limit itself")
        if self.per and not (self.cap or self.tail):
            raise ValueError("`per` goes with `cap` or `tail`")
        if any(not 0 <= q < float("inf") for q in self.ratio.values()) or (
            self.ratio and not any(self.ratio.values())
        ):
            raise ValueError("`ratio` are numbers from 0, not all of them 0")
        return self


class BalanceStage(GlobalStage):
    """`balanced`, and the probability with which each row was drawn.

    Chance is a function of the row's uid and the seed, so that the result is the same for any order
    of rows and any number of partitions.
    """

    Config = BalanceConfig
    prefix = "balanced"
    version = 2
    listed = False

    def bind(self, schema: pa.Schema) -> None:
        """Learns whether rows have one group or a list of concepts."""
        if self.config.by in schema.names:
            self.listed = is_list(schema.field(self.config.by).type)
            if self.listed and not (self.config.cap or self.config.tail):
                raise ValueError("`temperature` and `ratio` need one group a row, not lists")

    def reads(self) -> list[str]:
        return [self.config.by, *(name for name in self.config.per if name != self.config.by)]

    def may_lack(self) -> list[str]:
        return self.reads()

    def writes(self) -> pa.Schema:
        by, ratio = self.config.by, self.config.ratio
        doc = "probability of the row to stay"
        stays = column(
            self.column(), pa.bool_(), f"stays where `{by}` is balanced", role="chosen", of=by
        )
        if ratio or self.config.temperature == 0:
            wanted = {name: share / sum(ratio.values()) for name, share in ratio.items()}
            asked = json.dumps({"per": [by], "requested": wanted})
            stays = stays.with_metadata({**(stays.metadata or {}), QUOTAS: asked})
        return pa.schema([stays, column(self.column("probability"), pa.float64(), doc, "", 0, 1)])

    def __call__(self, rows: pa.Table) -> pa.Table:
        frame = frame_of(rows)
        seed = self.config.seed or 0
        chance = row_chances(rows.column("uid"), seed, "balance")
        if isinstance(frame.schema[self.config.by], pl.List | pl.Array):
            answer = self.of_lists(frame, chance)
        else:
            answer = self.of_groups(frame, chance)
        return pa.table([pa.array(part) for part in answer], schema=self.writes())

    def of_lists(self, frame: pl.DataFrame, chance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """MetaCLIP's draw over all concepts of a row: 1 - Π (1 - p)."""
        apart, _ = groups_of(frame, self.config.per)
        said = pl.DataFrame({"row": np.arange(frame.height), "apart": apart})
        said = said.with_columns(concept=frame[self.config.by].cast(pl.List(pl.String)))
        said = said.explode("concept", empty_as_null=True).drop_nulls("concept").unique()
        counts = said.group_by("apart", "concept").len("n").sort("apart", "concept")
        asked = np.ones(counts.height)
        for part in counts["apart"].unique().to_list():
            mine = (counts["apart"] == part).to_numpy()
            asked[mine] = probabilities(counts["n"].to_numpy()[mine], self.config)
        counts = counts.with_columns(missed=1 - asked)
        joined = said.join(counts, on=["apart", "concept"]).sort("row", "concept")
        missed = joined.group_by("row").agg(pl.col("missed").product())
        found = np.full(frame.height, self.of_none())
        found[missed["row"].to_numpy()] = 1 - missed["missed"].to_numpy()
        return (chance >> np.uint64(11)).astype(np.float64) / 2**53 < found, found

    def of_none(self) -> float:
        """The probability of a row without a concept."""
        return 1.0 if self.config.without == "keep" else 0.0

    def of_groups(self, frame: pl.DataFrame, chance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Exactly as many rows of each group as it may have, by chance alone."""
        said = frame[self.config.by]
        said = said.fill_nan(None) if said.dtype.is_float() else said
        there = said.is_not_null().to_numpy()
        group, names = groups_of(frame, [*self.config.per, self.config.by])
        sizes = np.bincount(group[there], minlength=len(names))
        wanted = np.minimum(sizes, np.floor(self.wanted(frame, group, sizes, there, names) + 1e-9))
        order = np.lexsort((chance, group, ~there))
        starts = np.searchsorted(group[order][: there.sum()], np.arange(len(names)))
        place = np.arange(there.sum()) - starts[group[order][: there.sum()]]
        chosen = np.full(frame.height, self.of_none() > 0)
        chosen[order[: there.sum()]] = place < wanted[group[order][: there.sum()]]
        share = np.divide(wanted, sizes, out=np.zeros(len(names)), where=sizes > 0)
        return chosen, np.where(there, share[group], self.of_none())

    def wanted(
        self, frame: pl.DataFrame, group: np.ndarray, sizes: np.ndarray, there: np.ndarray,
        names: list[str],
    ) -> np.ndarray:  # fmt: skip
        """How many rows of each group stay, before it is cut to whole ones."""
        config = self.config
        if config.cap is not None:
            return np.full(len(sizes), float(config.cap))
        if config.tail is not None:
            apart, parts = groups_of(frame, config.per)
            found = np.zeros(len(sizes))
            for part in range(len(parts)):
                mine = np.unique(group[(apart == part) & there])
                found[mine] = cap_of(sizes[mine], config) if len(mine) else 0
            return found
        if config.ratio:
            every = [*names, *(name for name in config.ratio if name not in names)]
            quotas = np.array([config.ratio.get(name, 0.0) for name in every])
            stock = np.append(sizes, np.zeros(len(every) - len(names))).astype(np.float64)
            return choice.by_quota(config.budget, stock, quotas, config.short)[: len(names)]
        assert config.temperature is not None
        quotas = np.where(sizes > 0, sizes.astype(np.float64) ** config.temperature, 0)
        if not quotas.any():
            return quotas
        return choice.by_quota(config.budget, sizes.astype(np.float64), quotas, config.short)


def cap_of(counts: np.ndarray, config: BalanceConfig) -> float:
    """MetaCLIP's t: given, or the count at which the cumulated share of mentions, rarest concepts
    first, is nearest to `tail`.
    """
    if config.cap is not None:
        return float(config.cap)
    ordered = np.sort(counts)
    shares = np.cumsum(ordered) / ordered.sum()
    return float(ordered[np.abs(shares - config.tail).argmin()])


def probabilities(counts: np.ndarray, config: BalanceConfig) -> np.ndarray:
    """min(1, t / count) of each concept."""
    cap = cap_of(counts, config)
    return cap / np.maximum(counts, cap)
