"""Which rows are chosen: the arithmetic of selection, on arrays, the same for any order of rows."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

Ties = Literal["keep", "cut"]
Shares = Literal["equal", "proportional"]

CHOSEN, BELOW, NO_SCORE = 0, 1, 2
"""Why a row is in or out: chosen, below the cut of its group, without a score."""


@dataclass(frozen=True)
class Ranked:
    """Rows in the order of choice: by group, the best score first, rows without one last.

    `order`: positions of the rows (int64).  `starts`: where each group begins in `order`, and the
    number of rows at the end.  `scored`: rows of each group that have a score.
    """

    order: np.ndarray
    starts: np.ndarray
    scored: np.ndarray


def ranked(score: np.ndarray, group: np.ndarray, uid_rank: np.ndarray, groups: int) -> Ranked:
    """`score`: float64, (n,), NaN for none.  `group`: int64 numbers from 0 to `groups`.
    `uid_rank`: place of each row's uid in the order of uids, which decides between equal scores.
    """
    missing = np.isnan(score)
    order = np.lexsort((uid_rank, np.where(missing, 0.0, -score), missing, group))
    starts = np.searchsorted(group[order], np.arange(groups + 1))
    return Ranked(order, starts, np.bincount(group[~missing], minlength=groups))


def top_fraction(
    score: np.ndarray, rows: Ranked, fraction: float, ties: Ties, every: bool = False
) -> np.ndarray:
    """The best rows of each group, as a mask.  `every`: a share of all rows, scored or not.

    `keep` is DataComp's rule: all rows at or above the score at place int(n · fraction) of the n
    scored rows, best first, so that the boundary and all its ties stay.  `cut` takes exactly
    int(n · fraction) rows.
    """
    chosen = np.zeros(len(score), bool)
    for first, count, size in zip(rows.starts[:-1], rows.scored, np.diff(rows.starts), strict=True):
        place = int((size if every else count) * fraction)
        if not count or (place == 0 and ties == "cut"):
            continue
        best = rows.order[first : first + count]
        if every and ties == "keep" and count <= place < size:
            continue  # DataComp's threshold is the NaN of a row without a score: none reaches it
        if ties == "cut":
            chosen[best[:place]] = True
        else:
            chosen[best] = score[best] >= score[best[min(place, count - 1)]]
    return chosen


def within_budget(cost: np.ndarray, rows: Ranked, budgets: np.ndarray) -> np.ndarray:
    """The best rows of each group up to the first that its budget does not hold, as a mask.

    `cost`: float64, (n,), not negative.  `budgets`: float64, one a group.
    """
    chosen = np.zeros(len(cost), bool)
    for first, count, budget in zip(rows.starts[:-1], rows.scored, budgets, strict=True):
        best = rows.order[first : first + count]
        spent = np.cumsum(cost[best])
        chosen[best[: np.searchsorted(spent, budget * (1 + 1e-12), side="right")]] = True
    return chosen


def shared(budget: float, there: np.ndarray, shares: Shares) -> np.ndarray:
    """The budget of each group, of which none gets more than it has (`there`: its whole cost).

    `equal` fills the smallest groups first and gives what they leave to the others; `proportional`
    follows the groups' sizes.
    """
    total = float(there.sum())
    if total <= budget:
        return there.astype(np.float64)
    if shares == "proportional":
        return there * (budget / total)
    found = np.zeros(len(there))
    left, groups = budget, len(there)
    for at in np.argsort(there, kind="stable"):
        found[at] = min(float(there[at]), left / groups)
        left, groups = left - found[at], groups - 1
    return found


def by_quota(
    budget: float | None, there: np.ndarray, quotas: np.ndarray, short: Literal["shrink", "fill"]
) -> np.ndarray:
    """The budget of each group in the ratio of `quotas` (0: nothing of that group).

    Where a group has too little, `shrink` lowers the total so that the ratio holds, and `fill`
    gives the rest to groups that have more, in their ratio.
    """
    quotas = quotas / quotas.sum() if quotas.sum() else quotas
    wanted = quotas > 0
    most = float(np.min(there[wanted] / quotas[wanted])) if wanted.any() else 0.0
    if short == "shrink" or budget is None:
        return quotas * min(most, budget if budget is not None else most)
    found, left = np.zeros(len(there)), min(budget, float(there[wanted].sum()))
    open_ = wanted.copy()
    while open_.any() and left > 1e-9:
        ratio = quotas / quotas[open_].sum()
        full = open_ & (found + left * ratio >= there)
        if not full.any():
            found[open_] += left * ratio[open_]
            break
        left -= float((there - found)[full].sum())
        found[full] = there[full]
        open_ &= ~full
    return found


def control(chosen: np.ndarray, chance: np.ndarray, group: np.ndarray, groups: int) -> np.ndarray:
    """As many rows of each group as are chosen there, by chance alone, as a mask.

    `chance`: a number for each row that depends on its uid and a seed.
    """
    counts = np.bincount(group[chosen], minlength=groups)
    order = np.lexsort((chance, group))
    starts = np.searchsorted(group[order], np.arange(groups))
    place = np.arange(len(group)) - starts[group[order]]
    found = np.zeros(len(group), bool)
    found[order] = place < counts[group[order]]
    return found
