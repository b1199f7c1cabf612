"""How probably a pair is noise, from how its score lies among all others of its group."""

from collections.abc import Callable
from typing import Annotated, Literal

import numpy as np
import polars as pl
import pyarrow as pa
from pydantic import Field, model_validator

from pairmill.models.vectors import check_embeddings, shared_length, units_of, unlike
from pairmill.schemas.arrow import column
from pairmill.schemas.config import SPEED, StageConfig
from pairmill.schemas.expressions import frame_of
from pairmill.schemas.hash_columns import row_chances
from pairmill.stages.base import GlobalStage
from pairmill.stages.select.measured_noise import MeasuredNoise, shuffled
from pairmill.stages.select.stage import groups_of

Fit = Callable[[np.ndarray], "ScoreMixture | MeasuredNoise"]
"""Of a mask of rows, what their scores say of noise."""

STEPS = 300
"""Steps of expectation and maximisation at most."""
STILL = 1e-7
"""Change of the mean log-likelihood at which it ends."""
LEAST_SD = 1e-3
"""Of the scores' own spread: the narrowest a component may be."""


class NoiseConfig(StageConfig):
    """Probability of mismatch by a mixture of two normal distributions of a score, or by what
    mismatched pairs are measured to score (`embedded`), for each language (or other group) by
    itself: a soft label in place of a threshold (NEVLP, AlignGPT).

    `{stage: noise, by: clip_score, per: [lang]}`; `derive` makes weights or levels of it, such as
    `1 - noise`, or `CASE WHEN noise < 0.2 THEN 3 WHEN noise < 0.6 THEN 2 ELSE 1 END`.
    """

    stage: Annotated[Literal["noise"], SPEED] = "noise"
    by: str | None = None
    """Numeric column, high for pairs that match."""
    embedded: list[str] | None = Field(None, min_length=2, max_length=2)
    """In place of `by`, columns with the picture's and the text's embedding, as `embed` writes
    them: the score is their cosine, and what mismatched pairs score is measured on pictures with
    the texts of other rows, so that no normal distribution is assumed.  Reads the vectors of all
    rows at once.
    """
    per: list[str] = Field([], max_length=4)
    """Columns whose values have mixtures of their own, such as `[lang]`."""
    least: int = Field(50, ge=4)
    """Rows that a mixture is fitted to; smaller groups go by the mixture of all rows."""

    @model_validator(mode="after")
    def one_score(self) -> "NoiseConfig":
        if (self.by is None) == (self.embedded is None):
            raise ValueError("give `by` or `embedded`, one of them")
        return self

    def scored(self) -> list[str]:
        """The columns of the score."""
        return self.embedded or [str(self.by)]


class NoiseStage(GlobalStage):
    """`noise`: posterior probability of the lower component, never falling as the score falls;
    `noise_level`: 1 (least noisy) to 5 by fifths of it.
    """

    Config = NoiseConfig
    prefix = "noise"

    def __init__(self, config: NoiseConfig) -> None:
        super().__init__(config)
        self.version = 3 if config.embedded else 2

    def bind(self, schema: pa.Schema) -> None:
        """Checks that embeddings can be compared."""
        check_embeddings(schema, *self.vectors())

    def reads(self) -> list[str]:
        return list(dict.fromkeys([*self.config.scored(), *self.config.per]))

    def may_lack(self) -> list[str]:
        return [name for name in self.config.per if name not in self.config.scored()]

    def writes(self) -> pa.Schema:
        of = " and ".join(f"`{name}`" for name in self.config.scored())
        doc = f"probability that the pair does not match, by {of}"
        return pa.schema(
            [
                column(self.column(), pa.float64(), doc, "", 0, 1, role="score"),
                column(self.column("level"), pa.int32(), "1: least noisy, to 5", "", 1, 5),
            ]
        )

    def __call__(self, rows: pa.Table) -> pa.Table:
        frame = frame_of(rows.select([n for n in rows.column_names if n not in self.vectors()]))
        score, fitted = self.by_vectors(rows) if self.config.embedded else self.by_column(frame)
        group, names = groups_of(frame, list(self.config.per))
        known = np.isfinite(score)
        whole = fitted(known)
        noise = np.full(len(score), np.nan)
        for number in range(len(names)):
            mine = known & (group == number)
            if mine.any():
                enough = mine.sum() >= self.config.least
                noise[mine] = (fitted(mine) if enough else whole).noise(score[mine])
        level = np.minimum(np.floor(np.nan_to_num(noise) * 5) + 1, 5).astype(np.int32)
        columns = [pa.array(noise, from_pandas=True), pa.array(level, mask=~known)]
        table = pa.table(columns, schema=self.writes())
        if not self.vectors():
            return table
        return table.append_column("error", unlike(known, *self.vectors()))

    def vectors(self) -> list[str]:
        """Columns of embeddings that are read."""
        return self.config.embedded or []

    def by_column(self, frame: pl.DataFrame) -> tuple[np.ndarray, "Fit"]:
        """The score of each row, and what the scores of some rows say of noise."""
        score = frame[self.config.by].cast(float).fill_null(float("nan")).to_numpy()
        return score, lambda mine: ScoreMixture.fitted(score[mine])

    def by_vectors(self, rows: pa.Table) -> tuple[np.ndarray, "Fit"]:
        """The same by embeddings."""
        length = shared_length(self.name, self.vectors(), rows)
        (image, one), (text, other) = (units_of(rows.column(n), length) for n in self.vectors())
        score = np.where(one & other, (image * text).sum(1), np.nan)
        uids = np.array(rows.column("uid").to_pylist(), dtype=object)
        order = np.lexsort((uids, row_chances(rows.column("uid"), 0, "noise")))

        def fitted(mine: np.ndarray) -> MeasuredNoise:
            return MeasuredNoise.fitted(score[mine], shuffled(image, text, order[mine[order]]))

        return score, fitted


class ScoreMixture:
    """Two normal distributions: the lower is noise."""

    def __init__(self, weights: np.ndarray, means: np.ndarray, deviations: np.ndarray) -> None:
        self.weights, self.means, self.deviations = weights, means, deviations

    @classmethod
    def fitted(cls, scores: np.ndarray) -> "ScoreMixture":
        """By expectation–maximisation from the halves below and above the middle between the 5th
        and the 95th percentile; the same for any order of scores.
        """
        values = np.sort(scores)
        if not len(values) or values[0] == values[-1]:
            middle = float(values[0]) if len(values) else 0.0
            return cls(np.array([0.0, 1.0]), np.array([middle, middle]), np.ones(2))
        least = LEAST_SD * float(values.std())
        cut = float(np.quantile(values, [0.05, 0.95]).mean())
        part = np.stack([values <= cut, values > cut]).astype(np.float64)
        part = np.clip(part, 0.05, 0.95)
        before = -np.inf
        for _ in range(STEPS):
            total = part.sum(1)
            means = part @ values / total
            spread = (part * (values - means[:, None]) ** 2).sum(1) / total
            found = cls(total / total.sum(), means, np.maximum(np.sqrt(spread), least))
            logs = found.logs(values)
            sums = np.logaddexp(logs[0], logs[1])
            part = np.exp(logs - sums)
            likelihood = float(sums.mean())
            if likelihood - before < STILL:
                break
            before = likelihood
        order = np.argsort(found.means, kind="stable")
        return cls(found.weights[order], found.means[order], found.deviations[order])

    def logs(self, values: np.ndarray) -> np.ndarray:
        """Logarithm of weight times density of each component, (2, n)."""
        far = (values - self.means[:, None]) / self.deviations[:, None]
        with np.errstate(divide="ignore"):
            return np.log(self.weights / self.deviations)[:, None] - far**2 / 2

    def noise(self, values: np.ndarray) -> np.ndarray:
        """Posterior of the lower component; beyond the means it goes on as it was, since tails of
        unequal width would else turn it round.
        """
        inside = np.clip(values, self.means[0], self.means[1])
        logs = self.logs(inside)
        return np.exp(logs[0] - np.logaddexp(logs[0], logs[1]))
