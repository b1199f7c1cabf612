"""Mix groups to target shares under a cap on repetition."""

import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Literal

import numpy as np
import polars as pl
import pyarrow as pa
from pydantic import Field, model_validator

from pairmill.schemas.arrow import column, error_array
from pairmill.schemas.config import SPEED, StageConfig
from pairmill.schemas.expressions import frame_of
from pairmill.schemas.hash_columns import row_chances
from pairmill.stages.base import GlobalStage
from pairmill.stages.select import choice
from pairmill.stages.select.stage import groups_of


class MixConfig(StageConfig):
    """Sources, tasks or languages in target shares: how often each row is written.

    `{stage: mix, by: [source], shares: {captions: 45, interleaved: 45, text: 10}, budget: 100000,
    max_repeats: 4, keep: mix_repeats > 0}`; without `shares`, groups are equal as far as repetition
    allows (UniMax, Chung et al. 2023).  An output with `repeats: mix_repeats` writes them.
    """

    stage: Annotated[Literal["mix"], SPEED] = "mix"
    by: list[str] = Field(min_length=1, max_length=4)
    """Columns whose values make groups."""
    shares: dict[str, float] = {}
    """Shares of the groups by value (`null`: rows without one), of several columns joined by ` / `;
    others get nothing.  Equal shares if absent.
    """
    budget: float | None = Field(None, gt=0)
    """What the mixture holds in all, repetitions included: rows, or what `cost` counts.  If absent,
    as much as the shares and `max_repeats` allow."""
    cost: str | None = None
    """Numeric column that a row takes from the budget, such as `text_words`; 1 if absent.  A group
    whose rows cost nothing is written once, and takes no share.
    """
    max_repeats: int = Field(1, ge=1, le=1000)
    """How often a row is written at most."""
    short: Literal["fill", "shrink"] = "fill"
    """Where a group has too little even with repetition: others fill its part, or the total shrinks
    so that the shares hold."""
    seed: int | None = Field(None, ge=0, le=2**32 - 1)
    """Seed of the draw, the pipeline's if absent."""

    @model_validator(mode="after")
    def sound(self) -> "MixConfig":
        if any(not 0 <= s < float("inf") for s in self.shares.values()) or (
            self.shares and not any(self.shares.values())
        ):
            raise ValueError("`shares` are numbers from 0, not all of them 0")
        if self.short == "fill" and self.budget is None and self.shares:
            raise ValueError("`shares` without `budget`: set `short: shrink`, so that they hold")
        return self


class MixStage(GlobalStage):
    """`mix_repeats`: how often the row is written, 0 for not at all; `mix_group`: its group.

    Rows of a group repeat equally often, or once more for those that chance (of uid and seed) puts
    first; the result is the same for any order of rows and any number of partitions.
    """

    Config = MixConfig
    prefix = "mix"
    version = 3

    def reads(self) -> list[str]:
        return list(
            dict.fromkeys([*self.config.by, *([self.config.cost] * bool(self.config.cost))])
        )

    def may_lack(self) -> list[str]:
        return list(self.config.by)

    def writes(self) -> pa.Schema:
        total = sum(self.config.shares.values())
        wanted = {name: share / total for name, share in self.config.shares.items()}
        field = column(self.column("repeats"), pa.int32(), "how often the row is written", "times",
                       0, role="repeats", of=self.column("group"))  # fmt: skip
        asked = {b"requested": json.dumps(wanted, ensure_ascii=False).encode()}
        if self.config.cost:
            asked[b"cost"] = self.config.cost.encode()
        return pa.schema(
            [
                field.with_metadata({**(field.metadata or {}), **asked}),
                column(self.column("group"), pa.string(), "group of the mixture"),
            ]
        )

    def __call__(self, rows: pa.Table) -> pa.Table:
        frame, config = frame_of(rows), self.config
        group, names = groups_of(frame, list(config.by))
        cost = np.ones(frame.height)
        if config.cost:
            cost = frame[config.cost].cast(pl.Float64).fill_null(float("nan")).to_numpy()
            if (cost < 0).any():
                raise ValueError(f"`cost: {config.cost}` is below 0 for some row")
        known = np.isfinite(cost)
        with np.errstate(over="ignore"):
            if not np.isfinite(cost[known].sum() * config.max_repeats):
                raise ValueError(f"`cost: {config.cost}` is in all more than a number can be")
        chance = row_chances(rows.column("uid"), config.seed or 0, "mix")
        there, place = np.unique(group[known], return_inverse=True)
        repeats = np.zeros(frame.height, np.int64)
        repeats[known] = self.repeats(place, [names[i] for i in there], cost[known], chance[known])
        named = pa.array(np.array(names, object)[group], pa.string())
        table = pa.table([pa.array(repeats, pa.int32()), named], schema=self.writes())
        why = ("not_finite", f"{config.cost!r}, what the row costs, is no finite number")
        return table.append_column("error", error_array(None if k else why for k in known))

    def repeats(
        self, group: np.ndarray, names: list[str], cost: np.ndarray, chance: np.ndarray
    ) -> np.ndarray:
        """How often each row is written, int64, (n,)."""
        order = np.lexsort((chance, group))
        starts = np.searchsorted(group[order], np.arange(len(names) + 1))
        found = np.zeros(len(group), np.int64)
        sums = [cost[order[a:b]].sum() for a, b in pairwise(starts)]
        budgets = self.budgets(np.array(sums, np.float64), names)
        if self.config.cost is None:
            budgets = whole(budgets)
        asked = self.asked(names)
        for number, budget in enumerate(budgets.tolist()):
            mine = order[starts[number] : starts[number + 1]]
            once = float(cost[mine].sum())
            if once == 0 and asked.get(names[number]):
                found[mine] = 1
            if budget <= 0 or once == 0:
                continue
            times = int(min(budget * (1 + 1e-12) / once, self.config.max_repeats))
            found[mine] = times
            if times < self.config.max_repeats:
                spent = np.cumsum(cost[mine])
                left = (budget - times * once) * (1 + 1e-12)
                found[mine[: np.searchsorted(spent, left, side="right")]] += 1
        return found

    def asked(self, names: Sequence[str]) -> dict[str, float]:
        """The shares that the user wants, of all groups where none are named."""
        return self.config.shares or dict.fromkeys(names, 1.0)

    def budgets(self, there: np.ndarray, names: list[str]) -> np.ndarray:
        """What each group gets of the budget; groups that cost nothing have no share of it."""
        config = self.config
        most = there * config.max_repeats
        free = {name for name, cost in zip(names, there, strict=True) if not cost}
        shares = {name: s for name, s in self.asked(names).items() if name not in free}
        every = [*names, *(name for name in shares if name not in names)]
        quotas = np.array([shares.get(name, 0.0) for name in every])
        stock = np.append(most, np.zeros(len(every) - len(names)))
        if config.budget is None and config.short == "fill":
            return np.where(quotas[: len(names)] > 0, most, 0)
        return choice.by_quota(config.budget, stock, quotas, config.short)[: len(names)]


def whole(budgets: np.ndarray) -> np.ndarray:
    """Budgets in whole rows, of the same sum rounded down: the largest remainders get the rest."""
    low = np.floor(budgets + 1e-9)
    rest = int(np.floor(budgets.sum() + 1e-6) - low.sum())
    first = np.argsort(-(budgets - low), kind="stable")[: max(0, rest)]
    low[first] += budgets[first] > low[first]
    return low
